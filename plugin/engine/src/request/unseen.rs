//! Answers that Envoy sends past the filter: those without anything notable, where its configuration says that a matcher does that
//! ([`crate::border`]). What such a request came to is known by what Envoy logs alone: its status and its response flags. To ask for
//! them costs more than the whole of a dropped request, so that a filter of Envoy's access log does it, which shows a request to the
//! module a second time if it has any flag, or failed.
//!
//! A matcher that is not there costs time. One that skips more than it should is found out here, by what was logged.

use super::signal::announces;
use super::signs::Signs;
use super::{Parts, RequestContext, Scope, answer};
use crate::border::ASKED;
use crate::door::{Exchange, Host, Level, Side};
use crate::policy::Policy;
use crate::telemetry::Metric;
use crate::trace_context::{TRACEPARENT, TraceParent};

/// Asks for the answer of a request to which it matters, whatever it is.
#[inline(always)] // It has one caller.
pub fn ask<X: Exchange>(parts: &mut Parts<'_, X>, context: &mut RequestContext) {
    let Some(stream) = &context.stream else { return };
    let policy = parts.policy;
    // Behind this hop is an application, of whose calls another listener of this process may learn something.
    let joins = parts.scope.application && policy.upgrade.signal.accept && Signs::of(policy.span_kind).join;
    let tells = stream.owes_context() && announces(policy);
    if policy.border.asks_all || stream.is_asked() || tells || joins && stream.may_be_held(policy.rules()) {
        context.asks_answer = true;
        parts.exchange.note(ASKED, "1");
    }
}

/// A request has ended of whose answer nothing was seen. `false`: nothing of it is asked for, since it is dropped, and Envoy would
/// have shown an answer that fails.
#[inline(never)]
pub fn ended<X: Exchange>(parts: &mut Parts<'_, X>, context: &mut RequestContext) -> bool {
    let policy = parts.policy;
    let skips = policy.border.skips && !context.asks_answer && !context.unseen;
    if !skips {
        judge(parts, context);
        return true;
    }
    let Some(stream) = &context.stream else { return true };
    if stream.keep().is_none() && !stream.is_slow(policy.rules(), || parts.exchange.host().now()) {
        return false;
    }
    context.unseen = true;
    true
}

/// Judges an answer by its head as it was logged. `None` was, where a client left before any came.
fn judge<X: Exchange>(parts: &mut Parts<'_, X>, context: &mut RequestContext) {
    const FAILED: u16 = 500;
    let Some(mut head) = answer::as_logged(parts.exchange) else { return };
    let was_expected = context.unseen && head.status.is_none_or(|status| status < FAILED);
    context.unseen = true;
    if !was_expected {
        warn(parts);
    }
    head.end_of_stream = false; // Whether it was whole is for its flags to say.
    answer::answered_late(parts, context, head);
}

fn warn<X: Exchange>(parts: &mut Parts<'_, X>) {
    parts.metrics.count(Metric::AnswersUnseen);
    if !std::mem::replace(&mut parts.scope.warned_unseen, true) {
        let text = "tracelift: an answer was sent past the filter that it was to see: compare `envoy.answers` with the matcher \
                    around the filter (`tracelift check` does). Such answers are judged at their end, too late to signal their \
                    callers (answers.unseen counts them)";
        parts.exchange.host().log(Level::Warn, text);
    }
}

/// Whether Envoy logs this request now, for its access log. Its own log of the filter came just before.
pub fn is_logged_request(exchange: &impl Exchange, context: &RequestContext) -> bool {
    exchange.header(Side::Request, TRACEPARENT, |value| {
        value.and_then(|value| TraceParent::parse(value).ok()).is_some_and(|sent| context.is_of(sent.parent_id))
    })
}

impl RequestContext {
    /// Envoy logs it a second time, for it did not end well.
    pub fn set_logged_again(&mut self) {
        self.unseen = true;
    }
}

/// Nothing more comes of a request that has ended as [`super::Ended::Unseen`]: it is counted.
#[inline(always)] // It has one caller.
pub fn settled(scope: &mut Scope, policy: &Policy, context: &RequestContext) {
    let threshold = context.stream.as_ref().and_then(|stream| stream.decided_by(&policy.sampling));
    if threshold.is_some() {
        scope.audit.ended(false, threshold);
    }
}
