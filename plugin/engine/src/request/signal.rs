//! The upgrade signal on the wire: read from the upstream's answer, written for the caller, taken off at the edge.

use super::headers::join;
use super::signs::Signs;
use super::{Answered, Parts};
use crate::door::{Exchange, HeaderView, Host, Side};
use crate::policy::Policy;
use crate::shared::{upgrade_log, verdicts};
use crate::span::KindSetting;
use crate::stream::{Head, Stream};
use crate::telemetry::Metric;
use crate::trace_context::TraceId;
use crate::upgrade::Verdict;
use crate::upgrade::signal::{self, SERVER_TIMING, TRACERESPONSE};

/// What this process already knows of a dropped trace, at the request of a later call.
pub fn forward(host: &impl Host, policy: &Policy, trace_id: TraceId) -> Option<Verdict> {
    let signs = Signs::of(policy.span_kind);
    (policy.upgrade.signal.accept && signs.forward).then(|| verdicts::find(host, trace_id)).flatten()
}

/// An answer's own words on the trace.
#[derive(Clone, Copy)]
pub struct Source<V> {
    /// After a head the table of this process is asked, once for a response.
    pub which: Answered,
    /// What came.
    pub headers: V,
}

/// A verdict from elsewhere.
#[derive(Clone, Copy)]
pub struct Known {
    pub verdict: Verdict,
    /// By the answer, which then has a `Server-Timing` entry already. An application that swallowed the failure wrote none.
    pub by_answer: bool,
}

/// What the answer, or this process, says of the trace; asked only for streams to which it matters.
pub fn verdict<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    stream: &mut Stream,
    head: &Head,
    Source { which, headers }: Source<V>,
) -> Option<Known> {
    let policy = parts.policy;
    let wanted = stream.wants_verdict(policy.rules(), head);
    // The answer to a call that left sampled names its context, for the ledger of the call.
    let asks_context = stream.decision().sampled && policy.span_kind != KindSetting::Server;
    if !policy.upgrade.signal.accept || !(wanted || asks_context) {
        return None;
    }
    let is_head = which != Answered::Trailers;
    let mut said = headers.first(TRACERESPONSE).and_then(|value| signal::read(value, stream.trace_id()));
    if said == Some(Verdict::Upgraded) {
        stream.hears();
        if stream.decision().sampled && wanted && is_head && !is_announced(headers, stream.trace_id()) {
            said = None; // A context, and no upgrade.
        }
    }
    if !wanted {
        return None;
    }
    let host = parts.exchange.host();
    match said {
        Some(Verdict::Upgraded) if !parts.scope.signals.admit(&policy.upgrade.budget, host.now()) => {
            parts.metrics.count(Metric::SignalsRefused);
            None
        }
        Some(verdict) => Some(Known { verdict, by_answer: true }),
        None if is_head && Signs::of(policy.span_kind).join => {
            verdicts::find(host, stream.trace_id()).map(|verdict| Known { verdict, by_answer: false })
        }
        None => None,
    }
}

/// Whether the head of the answer tells of an upgrade, and not of a context alone.
fn is_announced<'a, V: HeaderView<'a>>(headers: V, trace_id: TraceId) -> bool {
    signal::announces(&join(headers.values(SERVER_TIMING)).unwrap_or_default(), trace_id)
}

/// Answers a caller that sampled the trace with our context: it then knows that this hop keeps its part, too. Nothing was
/// upgraded, so `Server-Timing` says nothing.
pub fn answer_context<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream) {
    let policy = parts.policy;
    let emits = policy.upgrade.signal.emit && !policy.edge && policy.span_kind != KindSetting::Client;
    if emits && stream.owes_context() {
        let context = stream.signal(Verdict::Upgraded).traceresponse;
        if parts.exchange.replace(Side::Response, TRACERESPONSE, &context).is_err() {
            parts.failed();
        }
    }
}

/// Tells the other streams of this process and, where there still is a head or a trailer to write to, the caller.
/// `relayed` says that the upstream's answer had the signal, so that its `Server-Timing` entry is there already.
pub fn announce<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream, side: Option<Side>, relayed: bool) {
    let Some(verdict) = stream.verdict() else { return };
    let policy = parts.policy;
    let (signal, recall) = (&policy.upgrade.signal, policy.upgrade.recall.enabled);
    let exchange = parts.exchange;
    let is_news = (signal.accept || recall) && verdicts::remember(exchange.host(), stream.trace_id(), verdict);
    if is_news && recall && verdict == Verdict::Upgraded && !upgrade_log::append(exchange.host(), stream.trace_id()) {
        parts.metrics.count(Metric::RecallMissed);
    }
    let Some(side) = side.filter(|_| signal.emit && !policy.edge) else { return };
    let signal = stream.signal(verdict);
    let context = exchange.replace(side, TRACERESPONSE, &signal.traceresponse);
    let timing = if relayed { Ok(()) } else { exchange.add(side, SERVER_TIMING, &signal.server_timing) };
    if context.and(timing).is_err() {
        parts.failed();
    }
}

/// No signal leaves the mesh: ours was never written, an upstream's is taken off. An application's own entries stay.
pub fn strip<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, side: Side, headers: V) {
    if headers.first(TRACERESPONSE).is_none() {
        return;
    }
    let exchange = parts.exchange;
    let stripped = match join(headers.values(SERVER_TIMING)).as_deref().map(signal::without_context) {
        None => Ok(()),
        Some(None) => exchange.remove(side, SERVER_TIMING),
        Some(Some(kept)) => exchange.replace(side, SERVER_TIMING, &kept),
    };
    if exchange.remove(side, TRACERESPONSE).and(stripped).is_err() {
        parts.failed();
    }
}
