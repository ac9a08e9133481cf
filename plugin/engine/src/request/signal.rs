//! The upgrade signal on the wire: read from the upstream's answer, written for the caller, taken off at the edge.

use super::headers::Lines;
use super::signs::Signs;
use super::{Answered, Parts};
use crate::door::{Exchange, HeaderView, Host, Refused, Side};
use crate::policy::Policy;
use crate::shared::{upgrade_log, verdicts};
use crate::span::KindSetting;
use crate::stream::{Head, Stream};
use crate::telemetry::Metric;
use crate::trace_context::{HeaderEdit, TraceId};
use crate::upgrade::signal::{self, SERVER_TIMING, SIGNAL, TRACERESPONSE};
use crate::upgrade::{Mark, SignalPolicy, Verdict};

/// What this process already knows of a dropped trace, at the request of a later call.
pub fn forward(host: &impl Host, policy: &Policy, trace_id: TraceId) -> Option<Verdict> {
    let signs = Signs::of(policy.span_kind);
    (policy.upgrade.signal.accept && signs.forward).then(|| verdicts::find(host, trace_id)).flatten()
}

/// What this process already knows, at the answer. A trace-id is the caller's choice, and may be repeated for ever: what is upgraded
/// already has a bound of its own. Beyond it a failure is shed like any other, and who passes it on is told so.
fn join<X: Exchange>(parts: &mut Parts<'_, X>, trace_id: TraceId) -> Option<Verdict> {
    let known = verdicts::find(parts.exchange.host(), trace_id)?;
    Some(if known == Verdict::Upgraded && !parts.joins() { Verdict::Shed } else { known })
}

/// Whether a request that ends without an answer is kept because its trace was upgraded in this process.
pub fn joins_at_end<X: Exchange>(parts: &mut Parts<'_, X>, trace_id: TraceId) -> bool {
    let joins = parts.policy.upgrade.signal.accept && Signs::of(parts.policy.span_kind).join;
    joins && join(parts, trace_id) == Some(Verdict::Upgraded)
}

/// An answer's own words on the trace.
#[derive(Clone, Copy)]
pub struct Source<V> {
    /// After a head the table of this process is asked, once for a response.
    pub which: Answered,
    /// What came.
    pub headers: V,
}

/// What the answer, or this process, says of the trace; asked only for streams to which it matters.
pub fn verdict<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    stream: &mut Stream,
    head: &Head,
    Source { which, headers }: Source<V>,
) -> Option<Verdict> {
    let policy = parts.policy;
    let wanted = stream.wants_verdict(policy.rules(), head);
    // The answer to a call that left sampled names its context, for the ledger of the call.
    let asks_context = stream.decision().sampled && policy.span_kind != KindSetting::Server;
    let (accepts, recalls) = (policy.upgrade.signal.accept, policy.upgrade.recall.enabled);
    if !(accepts || recalls) || !(wanted || asks_context) {
        return None;
    }
    let is_head = which != Answered::Trailers;
    let mut said = mark(headers, stream.trace_id());
    if said.is_some() {
        stream.is_answered_by_us();
    }
    if !accepts {
        return None;
    }
    let settings = &policy.upgrade.signal;
    if said.is_none() && (settings.accept_previous || settings.accept_server_timing) {
        said = marked_by_others(headers, settings, stream);
    }
    if said.is_some_and(Mark::is_kept) {
        stream.hears();
    }
    if !wanted {
        return None;
    }
    match said.and_then(Mark::verdict) {
        Some(Verdict::Upgraded) if !parts.scope.limits.signals.admit(&policy.upgrade.budget, parts.exchange.host()) => {
            parts.metrics.count(Metric::SignalsRefused);
            None
        }
        Some(verdict) => Some(verdict),
        None if is_head && Signs::of(policy.span_kind).join => join(parts, stream.trace_id()),
        None => None,
    }
}

/// Our mark in an answer, for this trace. `traceresponse` and `Server-Timing` alone say nothing, unless the configuration has
/// it otherwise: any SDK writes them.
#[inline(always)] // It has one caller, and most answers have no mark.
fn mark<'a, V: HeaderView<'a>>(headers: V, trace_id: TraceId) -> Option<Mark> {
    Lines(headers).read_with(SIGNAL, |value| signal::read(value, trace_id)).flatten()
}

#[inline(never)] // Off by default.
fn marked_by_others<'a, V: HeaderView<'a>>(headers: V, settings: &SignalPolicy, stream: &Stream) -> Option<Mark> {
    let (trace_id, sampled) = (stream.trace_id(), stream.decision().sampled);
    let timing = || headers.values(SERVER_TIMING);
    let mut contexts = headers.values(TRACERESPONSE).filter(|_| settings.accept_previous);
    let previous = contexts.find_map(|context| signal::read_previous(context, timing(), trace_id));
    previous.or_else(|| {
        settings.accept_server_timing.then(|| signal::read_server_timing(timing(), trace_id, sampled)).flatten()
    })
}

/// Whether `Server-Timing` has the entry already that [`announce`] would add, as behind a hop that has said it.
pub fn is_shown<'a, V: HeaderView<'a>>(headers: V, stream: &Stream) -> bool {
    let sampled = stream.verdict().is_some_and(|verdict| Mark::from(verdict).is_kept());
    signal::announces(headers.values(SERVER_TIMING), stream.trace_id(), sampled)
}

/// Whether a caller that sampled the trace is answered, and with recall on one that did not.
pub fn announces(policy: &Policy) -> bool {
    policy.upgrade.signal.emit && !policy.edge && policy.span_kind != KindSetting::Client
}

/// Answers a caller that sampled the trace with our context: it then knows that this hop keeps its part, too. Nothing was
/// upgraded, so `Server-Timing` says nothing. With recall on, the caller of a dropped trace hears that a span of it is held
/// here: it asks nobody who has not said so.
pub fn answer_context<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, stream: &Stream, headers: V) {
    let policy = parts.policy;
    let emits = announces(policy);
    if emits && stream.owes_context() {
        let signal = stream.signal(Mark::Kept);
        let exchange = parts.exchange;
        let marked = write(exchange, headers, SIGNAL, &signal.mark);
        if write(exchange, headers, TRACERESPONSE, &signal.traceresponse).and(marked).is_err() {
            parts.failed();
        }
    } else if emits && policy.upgrade.recall.enabled && stream.may_be_held(policy.rules()) {
        let marked = write(parts.exchange, headers, SIGNAL, &Mark::Here.write(stream.trace_id()));
        if marked.is_err() {
            parts.failed();
        }
    }
}

/// Answers whoever forced a request from outside of the mesh with its context, so that its trace can be found. Nothing else leaves.
#[inline(never)] // Seldom.
pub fn answer_bearer<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream) {
    let context = stream.signal(Mark::Kept).traceresponse;
    if parts.exchange.replace(Side::Response, TRACERESPONSE, &context).is_err() {
        parts.failed();
    }
}

/// Writes the one entry of that name of an answer. What is not there is added: to replace it Envoy would index all headers first.
fn write<'a, V: HeaderView<'a>>(exchange: &impl Exchange, headers: V, name: &str, value: &[u8]) -> Result<(), Refused> {
    match headers.first(name) {
        Some(_) => exchange.replace(Side::Response, name, value),
        None => exchange.add(Side::Response, name, value),
    }
}

/// Tells the other streams of this process and, where there still is a head or a trailer to write to, the caller.
/// `shown` says that its `Server-Timing` entry is there already.
pub fn announce<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream, side: Option<Side>, shown: bool) {
    let Some(verdict) = stream.verdict() else { return };
    let policy = parts.policy;
    let signal = &policy.upgrade.signal;
    let shared = signal.accept || policy.upgrade.recall.enabled || policy.upgrade.applications.enabled;
    let exchange = parts.exchange;
    let is_news = shared && verdicts::remember(exchange.host(), parts.metrics, stream.trace_id(), verdict);
    if is_news && verdict == Verdict::Upgraded && !upgrade_log::append(exchange.host(), stream.trace_id()) {
        parts.metrics.count(Metric::RecallMissed);
    }
    let Some(side) = side.filter(|_| signal.emit && !policy.edge) else { return };
    let signal = stream.signal(verdict.into());
    let marked = exchange.replace(side, SIGNAL, &signal.mark);
    let context = exchange.replace(side, TRACERESPONSE, &signal.traceresponse);
    let timing = if shown { Ok(()) } else { exchange.add(side, SERVER_TIMING, &signal.server_timing) };
    if marked.and(context).and(timing).is_err() {
        parts.failed();
    }
}

/// No signal leaves the mesh: ours was never written, an upstream's is taken off, each of its headers by itself. An
/// application's own entries stay.
pub fn strip<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, side: Side, headers: V) {
    let exchange = parts.exchange;
    let stripped = match signal::without_context(headers.values(SERVER_TIMING)) {
        HeaderEdit::Keep => Ok(()),
        HeaderEdit::Remove => exchange.remove(side, SERVER_TIMING),
        HeaderEdit::Replace(kept) => exchange.replace(side, SERVER_TIMING, &kept),
    };
    if stripped.is_err() {
        parts.failed();
    }
    for name in [SIGNAL, TRACERESPONSE] {
        parts.take_off(side, headers, name);
    }
}
