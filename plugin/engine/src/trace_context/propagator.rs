//! Which headers carry the trace context, and in what order they are believed.

use super::{SpanId, TraceId};
use crate::json::names;

names! {
    /// A header format of the trace context. The list of them is the order of belief; all of them are written.
    ///
    /// B3 is read in both forms, whichever is listed: OpenTelemetry API specification, "B3 Requirements".
    pub enum Propagator {
        /// W3C `traceparent` and `tracestate`.
        TraceContext = "tracecontext",
        /// AWS `X-Amzn-Trace-Id`.
        XRay = "xray",
        /// B3 in one header.
        B3 = "b3",
        /// B3 in several headers.
        B3Multi = "b3multi",
    }
}

/// What the caller decided about the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerDecision {
    /// Record it.
    Sampled,
    /// Drop it.
    NotSampled,
    /// Nothing: B3 without a state, X-Ray without `Sampled` or with `Sampled=?`. Ours to decide.
    #[default]
    Deferred,
}

impl CallerDecision {
    /// What a `sampled` flag says.
    pub const fn of(sampled: bool) -> Self {
        if sampled { Self::Sampled } else { Self::NotSampled }
    }
}

/// The trace context that arrived with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentContext {
    /// The trace to continue.
    pub trace_id: TraceId,
    /// The caller's span; `None` when a load balancer sent only the root of an X-Ray trace.
    pub parent_id: Option<SpanId>,
    /// The caller's word on sampling.
    pub decision: CallerDecision,
    /// The `random` flag; only `traceparent` can set it.
    pub random: bool,
}

/// The trace context that leaves with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingContext {
    /// The trace, continued or new.
    pub trace_id: TraceId,
    /// Our own span, sampled or not.
    pub span_id: SpanId,
    /// The flag for the upstream.
    pub sampled: bool,
    /// The `random` flag for the upstream.
    pub random: bool,
    /// B3's debug flag, which goes beyond sampled.
    pub debug: bool,
}

/// The request's headers, all of them.
pub trait Headers {
    /// All lines of that name joined by `,` in order of arrival; `None` without any. `name` is in lower case.
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>>;

    /// What `read` makes of the same value, which is not kept: a host that can lend it needs not hand over a copy.
    fn read<T>(&mut self, name: &'static str, read: fn(&[u8]) -> T) -> Option<T> {
        self.joined(name).map(|value| read(&value))
    }
}
