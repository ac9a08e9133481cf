//! The upgrade signal on the wire: read from the upstream's answer, told to the caller, taken off at the edge.

use super::abi::Map;
use super::headers::Encoded;
use super::metrics::Metrics;
use super::root::{Active, Root};
use super::signs::Signs;
use super::vm::failed;
use super::{host, recall, verdicts};
use crate::span::KindSetting;
use crate::stream::{Head, Stream};
use crate::telemetry::Metric;
use crate::trace_context::{Headers, TraceId};
use crate::upgrade::signal::{self, SERVER_TIMING, TRACERESPONSE};
use crate::upgrade::{Budget, Verdict};

/// Signals are admitted already, by the hop that saw the failure. This many times our own budget is what the hops behind
/// a busy gateway may admit together; beyond it an upstream is lying.
const SIGNALS_PER_UPGRADE: u64 = 10;

/// How many signals of upstreams this root believes.
#[derive(Default)]
pub struct SignalLimit {
    arrival: u64,
}

impl SignalLimit {
    pub fn admit(&mut self, budget: &Budget) -> bool {
        match budget.times(SIGNALS_PER_UPGRADE).charge(self.arrival, host::now()) {
            Some(next) => {
                self.arrival = next;
                true
            }
            None => false,
        }
    }
}

/// What this process already knows of a dropped trace, at the request of a later call.
pub fn forward(active: &Active, trace_id: TraceId) -> Option<Verdict> {
    let signs = Signs::of(active.policy.span_kind);
    (active.policy.upgrade.signal.accept && signs.forward).then(|| verdicts::find(trace_id)).flatten()
}

/// Where an answer's own words on the trace stand.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// In its head; after it, the table of this process is asked.
    Head(Encoded<'a>),
    /// In its trailers. The table was asked at the head: one lookup a response.
    Trailers(Encoded<'a>),
}

/// A verdict from elsewhere.
#[derive(Clone, Copy)]
pub struct Known {
    pub verdict: Verdict,
    /// By the answer, which then has a `Server-Timing` entry already. An application that swallowed the failure wrote none.
    pub told: bool,
}

/// What the answer, or this process, says of the trace; asked only for streams to which it matters.
pub fn verdict(
    active: &Active,
    root: &mut Root,
    metrics: &mut Metrics,
    stream: &mut Stream,
    head: &Head,
    source: Source<'_>,
) -> Option<Known> {
    let policy = &active.policy;
    let wanted = stream.wants_verdict(active.rules(), head);
    // The answer to a call that left sampled tells its context, for the ledger of the call.
    let asks_context = stream.decision().sampled && policy.span_kind != KindSetting::Server;
    if !policy.upgrade.signal.accept || !(wanted || asks_context) {
        return None;
    }
    let signs = Signs::of(policy.span_kind);
    let (headers, join) = match source {
        Source::Head(headers) => (headers, signs.join),
        Source::Trailers(trailers) => (trailers, false),
    };
    let mut told = headers.first(TRACERESPONSE).and_then(|value| signal::read(value, stream.trace_id()));
    if told == Some(Verdict::Upgraded) {
        stream.hears();
        let is_context = || match source {
            Source::Head(headers) => !is_announced(headers, stream.trace_id()),
            Source::Trailers(_) => false,
        };
        if stream.decision().sampled && wanted && is_context() {
            told = None;
        }
    }
    if !wanted {
        return None;
    }
    match told {
        Some(Verdict::Upgraded) if !root.signals.admit(&policy.upgrade.budget) => {
            metrics.count(Metric::SignalsRefused);
            None
        }
        Some(verdict) => Some(Known { verdict, told: true }),
        None if join => verdicts::find(stream.trace_id()).map(|verdict| Known { verdict, told: false }),
        None => None,
    }
}

/// Whether the head of the answer tells of an upgrade, and not of a context alone.
fn is_announced(mut headers: Encoded<'_>, trace_id: TraceId) -> bool {
    signal::announces(&headers.joined(SERVER_TIMING).unwrap_or_default(), trace_id)
}

/// Answers a caller that sampled the trace with our context: it then knows that this hop keeps its part, too. Nothing was
/// upgraded, so `Server-Timing` says nothing.
pub fn answer_context(active: &Active, metrics: &mut Metrics, stream: &Stream) {
    let policy = &active.policy;
    let emits = policy.upgrade.signal.emit && !policy.edge && policy.span_kind != KindSetting::Client;
    if emits && stream.owes_context() {
        let context = stream.signal(Verdict::Upgraded).traceresponse;
        if host::replace_header(Map::ResponseHeaders, TRACERESPONSE, &context).is_err() {
            failed(metrics);
        }
    }
}

/// Tells the other streams of this process and, where there still is a head or a trailer to write to, the caller.
/// `relayed` says that the upstream told us, so that its `Server-Timing` entry is there already.
pub fn announce(active: &Active, metrics: &mut Metrics, stream: &Stream, map: Option<Map>, relayed: bool) {
    let Some(verdict) = stream.verdict() else { return };
    let policy = &active.policy.upgrade.signal;
    let recall = active.policy.upgrade.recall.enabled;
    let is_news = (policy.accept || recall) && verdicts::remember(stream.trace_id(), verdict);
    if is_news && recall && verdict == Verdict::Upgraded {
        recall::announce(stream.trace_id(), metrics);
    }
    let Some(map) = map.filter(|_| policy.emit && !active.policy.edge) else { return };
    let signal = stream.signal(verdict);
    let told = host::replace_header(map, TRACERESPONSE, &signal.traceresponse);
    let timed = if relayed { Ok(()) } else { host::add_header(map, SERVER_TIMING, &signal.server_timing) };
    if told.and(timed).is_err() {
        failed(metrics);
    }
}

/// No signal leaves the mesh: ours was never written, an upstream's is taken off. An application's own entries stay.
pub fn strip(metrics: &mut Metrics, map: Map, mut headers: Encoded<'_>) {
    if headers.first(TRACERESPONSE).is_none() {
        return;
    }
    let stripped = match headers.joined(SERVER_TIMING).as_deref().map(signal::without_context) {
        None => Ok(()),
        Some(None) => host::remove_header(map, SERVER_TIMING),
        Some(Some(kept)) => host::replace_header(map, SERVER_TIMING, &kept),
    };
    if host::remove_header(map, TRACERESPONSE).and(stripped).is_err() {
        failed(metrics);
    }
}
