//! The span as it will be exported.

use std::borrow::Cow;

use crate::trace_context::{SpanId, TraceFlags, TraceId};

/// Which side of a call a span describes. A proxy makes no other kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The call as it arrived.
    Server,
    /// The call as it went on to the upstream.
    Client,
}

/// The value of an attribute. Texts are the stream's own where they can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, bounded by [`super::bounds`].
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A number with a fraction.
    Double(f64),
    /// A list of texts.
    TextArray(Vec<Cow<'a, str>>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// Span status. `Ok` is for applications to say, so it does not exist here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing went wrong that counts against this side.
    Unset,
    /// The call failed.
    Error {
        /// What the status code does not tell; empty when it tells all.
        description: String,
    },
}

/// One recorded stream, or one side of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The caller's span; `None` for a root.
    pub parent_id: Option<SpanId>,
    /// The parent came over the wire.
    pub parent_remote: bool,
    /// W3C flags; an exported span is sampled.
    pub flags: TraceFlags,
    /// The `tracestate` of the exported span, which may differ from the propagated one; `None` when empty.
    pub tracestate: Option<String>,
    /// Which side of the call.
    pub kind: SpanKind,
    /// Low-cardinality name, never empty.
    pub name: Cow<'static, str>,
    /// Nanoseconds since the epoch.
    pub start_unix_nanos: u64,
    /// Nanoseconds since the epoch, never before the start.
    pub end_unix_nanos: u64,
    /// Attributes, no key twice.
    pub attributes: Vec<(Cow<'static, str>, Value<'a>)>,
    /// How it ended.
    pub status: Status,
}

impl<'a> Span<'a> {
    /// The value of the attribute, if the span carries it.
    pub fn attribute(&self, key: &str) -> Option<&Value<'a>> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}
