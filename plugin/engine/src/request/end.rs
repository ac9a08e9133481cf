//! The end of a stream: the one callback that sees everything, for every stream, also one that never had a request or an
//! answer.

use std::sync::Arc;

use super::attributes::Attributes;
use super::coverage::{self, Sorted};
use super::facts::Facts;
use super::outline::{self, Route};
use super::{Held, Parts, RequestContext, admit, answer, attributes, head, measure, shadow, signal, unseen};
use crate::central::RuleId;
use crate::door::{Attribute, Exchange, Host, Side};
use crate::http::ResponseFlags;
use crate::span::KindSetting;
use crate::stream::{Stream, Upgrade};
use crate::trace_context::TraceId;
use crate::upgrade::Trigger;

/// What becomes of a stream that has ended.
pub enum Ended {
    /// Nothing: it stays dropped.
    Dropped,
    /// Nothing, unless Envoy's access log shows it next: its answer was sent past the filter, and how it ended was not asked for.
    Unseen,
    /// Its span is exported.
    Kept(Box<Held>),
    /// Its span is held, in case that its trace is recalled.
    Held(Box<Held>),
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish {
    /// Envoy's response flags, where they were read.
    pub flags: Option<ResponseFlags>,
    /// The answer was whole, or of a kind that has no other end than this.
    pub complete: bool,
    /// The answer is a switched protocol, a tunnel or a stream of events: it lasts until one side closes it.
    pub lasting: bool,
    /// Unix nanoseconds of the end, where the clock was read.
    pub ended: Option<u64>,
}

/// The stream has ended. `is_recent` says whether a trace was upgraded in this process a moment ago.
pub fn ended<X: Exchange>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    is_recent: impl FnOnce(TraceId) -> bool,
) -> Ended {
    let is_late = context.stream.is_none();
    if is_late {
        if context.answered_here {
            return Ended::Dropped;
        }
        let exchange = parts.exchange;
        exchange.headers(Side::Request, |headers| head::begin_late(parts, context, headers));
        if let Some(head) = context.early.take().or_else(|| answer::as_logged(exchange)) {
            answer::answered_late(parts, context, head);
        }
    } else if context.is_unanswered() && !unseen::ended(parts, context) {
        return Ended::Unseen;
    }
    let RequestContext {
        stream: Some(stream),
        shadow,
        xray_rule,
        root,
        asked,
        measured,
        route,
        named,
        sorted,
        said,
        unseen,
        ..
    } = context
    else {
        return Ended::Dropped;
    };
    let name = named.as_ref().map_or(&[][..], |named| &named.0);
    let sorted = sorted.take().map(|sorted| (sorted, (*route, name)));
    let read = if *unseen && stream.is_unanswered() { Some(read_unseen(parts, stream, *root)) } else { None };
    let known = Known { unseen: *unseen, flags: read.as_ref().map(|read| read.flags), is_measured: measured.is_some() };
    let finish = finish(parts, (stream, shadow.take(), *xray_rule, sorted), known);
    let counted = measured.map(|measured| measure::ended(parts, (measured, *route, name), stream, (&finish, is_late)));
    let audited = audit(parts, stream);
    let mut held = false;
    let recall = &parts.policy.upgrade.recall;
    if stream.keep().is_none() && recall.enabled && stream.release(parts.policy.rules()) {
        held = !is_recent(stream.trace_id());
        if !held && !parts.joins() {
            return Ended::Dropped;
        }
        if !held {
            parts.count_upgrade(Some(Upgrade::Upgraded(Trigger::Recall)));
        }
    }
    if stream.status().is_none() && !recall.enabled && stream.keep().is_none() {
        join_unanswered(parts, stream);
    }
    let Some(keep) = stream.keep() else { return Ended::Dropped };
    let xray_rule = parts.scope.central.as_ref().zip(*xray_rule).and_then(|(central, rule)| central.name(rule));
    let how = (finish, counted.as_ref().map(|counted| counted.started), *asked);
    let mut facts = Facts::read(parts.exchange, (*root, parts.policy), &keep, how, (read, said.take()), xray_rule);
    facts.template = outline::template(parts.policy, measured.is_some(), (*route, name));
    facts.answered(parts.exchange, counted.as_ref().and_then(|counted| counted.grpc(*route)));
    let exemplar = counted.and_then(|counted| measure::exemplar(parts.policy, (&counted, (*route, name)), &keep));
    let span = Box::new(Held { root: *root, policy: Arc::clone(parts.policy), keep, facts, exemplar, audited });
    if held {
        return Ended::Held(span);
    }
    show_decision(parts.exchange, keep.trigger);
    Ended::Kept(span)
}

/// Counts a request whose trace was decided here by chance; answers whether it failed. What a signal or a recall keeps counts as dropped:
/// had the head sampled it, nothing would have been asked.
#[inline(always)] // For every request.
fn audit<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream) -> Option<bool> {
    if let Some(steering) = &mut parts.scope.steering {
        steering.ended(stream.failed());
    }
    let threshold = stream.decided_by(&parts.policy.sampling)?;
    parts.scope.audit.ended(stream.failed(), Some(threshold).filter(|_| !stream.is_kept_whole()));
    Some(stream.failed())
}

/// A request that had no answer could not learn from it that its trace was upgraded: its application's calls hang below it.
#[inline(never)] // Rare.
fn join_unanswered<X: Exchange>(parts: &mut Parts<'_, X>, stream: &mut Stream) {
    if signal::joins_at_end(parts, stream.trace_id()) && stream.join(parts.policy.rules()) {
        parts.count_upgrade(Some(Upgrade::Upgraded(Trigger::Signal)));
    }
}

/// What coverage has not looked at yet, with its route.
type Waits<'a> = (Sorted, (Route, &'a [u8]));

/// Reads what a span says of a request that is kept, and whose answer was sent past the filter: its status with the rest.
#[inline(never)] // Of a wrapped filter.
fn read_unseen<X: Exchange>(parts: &Parts<'_, X>, stream: &mut Stream, root: u32) -> Attributes {
    let kind = (parts.policy.span_kind, parts.policy.upgrade.recall.enabled);
    let read = Attributes::read_unseen(parts.exchange, root, kind);
    stream.set_logged_status(read.status.filter(|code| *code != 0));
    read
}

/// What is known of an end before it is judged.
struct Known {
    /// Its answer was sent past the filter.
    unseen: bool,
    /// Its flags, where they were read.
    flags: Option<ResponseFlags>,
    /// It is counted and timed.
    is_measured: bool,
}

/// Judges the end.
#[inline(always)] // It is called once for a request, and has much to pass and return.
fn finish<X: Exchange>(
    parts: &mut Parts<'_, X>,
    (stream, mut shadow, xray_rule, sorted): (&mut Stream, Option<Box<Stream>>, Option<RuleId>, Option<Waits<'_>>),
    known: Known,
) -> Finish {
    let exchange = parts.exchange;
    let is_timed = known.is_measured
        || stream.is_limited(parts.policy.rules())
        || shadow.as_ref().zip(parts.policy.shadow_rules()).is_some_and(|(shadow, rules)| shadow.is_limited(rules));
    let now = if is_timed { Some(exchange.host().now()) } else { None };
    let wants_flags = stream.wants_flags() || shadow.as_ref().is_some_and(|shadow| shadow.wants_flags());
    let read = known.flags.or_else(|| wants_flags.then(|| attributes::response_flags(exchange)));
    // One that was not seen was whole, unless a flag says that something failed.
    let is_whole = known.unseen && !read.is_some_and(ResponseFlags::failed);
    let lasting = !is_whole && is_lasting(exchange, stream);
    let closed = if lasting { ResponseFlags::CLOSED } else { ResponseFlags::default() };
    let flags = read.unwrap_or_default().without(closed);
    let complete = lasting || is_whole || flags.is_empty() && is_redirected(exchange, stream);
    let ending = stream.ending(flags, complete, now);
    let (budget, rules) = (&mut parts.scope.budget, parts.policy.rules());
    let mut upgrade = stream.end(rules, &ending, |limit| admit(exchange, budget, limit));
    let found = sorted.and_then(|(sorted, route)| coverage::ended(sorted, route, stream, ending.complete));
    if let Some(found) = found {
        upgrade = coverage::live(parts, stream, found).or(upgrade);
    }
    if let Some(shadow) = &mut shadow {
        shadow::ended(parts, shadow, stream, (&ending, found));
    }
    parts.count_upgrade(upgrade);
    if upgrade.is_some() {
        signal::announce(parts, stream, None, false);
    }
    if parts.scope.central.is_some() {
        count_for_rule(parts, xray_rule, stream, parts.policy.span_kind);
    }
    Finish { flags: read, complete: ending.complete, lasting, ended: now }
}

/// Counts the end of a request whose trace was decided by an X-Ray rule that wants to know of failures.
#[inline(never)]
fn count_for_rule<X: Exchange>(parts: &mut Parts<'_, X>, rule: Option<RuleId>, stream: &Stream, kind: KindSetting) {
    let (Some(central), Some(rule)) = (&mut parts.scope.central, rule) else { return };
    // An outbound hop counts what began there: everything else was counted on the way in.
    if central.boosts(rule) && (!stream.has_parent() || !attributes::is_client(parts.exchange, kind)) {
        central.ended(rule, stream.failed(), stream.decision().sampled);
    }
}

/// An answer that began well and has no end of stream that would say whether it was whole: whoever closes it first ends it. A
/// switched protocol, a tunnel (CONNECT), server-sent events. Asked of the host only for what did not end otherwise.
#[inline(always)] // A dropped request that was answered pays for two comparisons.
fn is_lasting(exchange: &impl Exchange, stream: &Stream) -> bool {
    match stream.status() {
        Some(101) => true,
        Some(200..=299) if !stream.is_complete() => is_tunnel_or_events(exchange),
        _ => false,
    }
}

#[inline(never)]
fn is_tunnel_or_events(exchange: &impl Exchange) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let is_events = |value: &[u8]| {
        let kind = value.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or(value);
        kind.trim_ascii().eq_ignore_ascii_case(EVENTS)
    };
    exchange.header(Side::Request, ":method", |method| method == Some(b"CONNECT"))
        || exchange.header(Side::Response, "content-type", |value| value.is_some_and(is_events))
}

/// Envoy followed a redirect of the upstream's: the request goes on as another stream, and this one had no answer to pass on.
#[inline(always)] // A dropped request that was answered pays for a comparison.
fn is_redirected(exchange: &impl Exchange, stream: &Stream) -> bool {
    stream.status().is_none()
        && !stream.is_complete()
        && exchange.text(Attribute::CodeDetails, |details| details == b"internal_redirect")
}

/// For access logs: `%FILTER_STATE(wasm.tracelift.decision:PLAIN)%`. A dropped request has none and prints `-`.
fn show_decision(exchange: &impl Exchange, trigger: Option<Trigger>) {
    let decision = trigger.map_or_else(|| "sampled".to_owned(), |trigger| ["upgraded.", trigger.name()].concat());
    exchange.note("tracelift.decision", &decision);
}
