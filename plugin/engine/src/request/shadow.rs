//! The shadow policy: it decides about every request beside the live one, and nothing of what it decides leaves but numbers.
//! One request's shadow is a [`Stream`] of its own under other rules, so that both are decided by one code.
//!
//! Apart, and never inlined: where there is no shadow, a request pays for a test.

use super::coverage::{self, Found};
use super::{Parts, admit, attributes};
use crate::door::{Exchange, HeaderView};
use crate::sampling::Rate;
use crate::span::KindSetting;
use crate::stream::{Head, Stream};
use crate::telemetry::Metric;
use crate::trace_context::Extracted;
use crate::upgrade::{Ending, Verdict};

/// What became of one request under both policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The shadow's head would sample it.
    pub sampled: bool,
    /// What the shadow's budget would say of a request that its head drops and that has a trigger.
    pub verdict: Option<Verdict>,
    /// The shadow would keep it.
    pub kept: bool,
    /// The live policy keeps it.
    pub live: bool,
}

impl Outcome {
    /// Compares at the end of a stream.
    pub fn of(live: &Stream, shadow: &Stream) -> Self {
        let sampled = shadow.decision().sampled;
        Self {
            sampled,
            verdict: shadow.verdict().filter(|_| !sampled),
            kept: shadow.keep().is_some(),
            live: live.keep().is_some(),
        }
    }
}

/// The same request under the shadow policy, if there is one.
#[inline(never)]
pub fn begin<X: Exchange>(
    parts: &Parts<'_, X>,
    stream: &Stream,
    decided_by: (Option<u16>, Option<Rate>),
    extracted: &Extracted,
) -> Option<Box<Stream>> {
    parts.policy.shadow_rules().map(|rules| Box::new(stream.under(rules, decided_by, extracted)))
}

/// The head of an answer, or its trailers, under the shadow policy.
#[inline(never)]
pub fn answered<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    shadow: &mut Stream,
    (mut head, found): (Head, Option<Found>),
    known: Option<Verdict>,
    headers: Option<V>,
) {
    let Some(rules) = parts.policy.shadow_rules() else { return };
    head.slow = head.shadow_slow;
    head.marked = !rules.edge && headers.is_some_and(|headers| rules.upgrade.is_marked(headers));
    let known = known.filter(|_| rules.upgrade.signal.accept);
    let (exchange, budget) = (parts.exchange, &mut parts.scope.shadow_budget);
    let flags = || attributes::response_flags(exchange);
    shadow.response(rules, head, flags, known, |limit| admit(exchange, budget, limit));
    if let Some(found) = found {
        coverage::shadow(parts, rules, shadow, found);
    }
}

/// The end of a stream under the shadow policy, and what became of it under both.
#[inline(never)]
pub fn ended<X: Exchange>(
    parts: &mut Parts<'_, X>,
    shadow: &mut Stream,
    stream: &Stream,
    (ending, found): (&Ending, Option<Found>),
) {
    let Some(rules) = parts.policy.shadow_rules() else { return };
    let (exchange, budget) = (parts.exchange, &mut parts.scope.shadow_budget);
    shadow.end(rules, ending, |limit| admit(exchange, budget, limit));
    if let Some(found) = found {
        coverage::shadow(parts, rules, shadow, found);
    }
    let metrics = &mut *parts.metrics;
    let outcome = Outcome::of(stream, shadow);
    metrics.count(if outcome.sampled { Metric::ShadowSampled } else { Metric::ShadowDropped });
    match outcome.verdict {
        Some(Verdict::Upgraded) => metrics.count(Metric::ShadowUpgraded),
        Some(Verdict::Shed) => metrics.count(Metric::ShadowShed),
        None => {}
    }
    match (outcome.kept, outcome.live) {
        (true, false) => metrics.count(Metric::ShadowAlone),
        (false, true) => metrics.count(Metric::ShadowWithout),
        _ => {}
    }
    if outcome.kept {
        let spans = if matches!(rules.kind, KindSetting::Both) { 2 } else { 1 };
        let bytes = i64::try_from(parts.scope.mean_span_bytes).unwrap_or_default();
        metrics.add(Metric::ShadowSpans, spans);
        metrics.add(Metric::ShadowBytes, bytes.saturating_mul(spans));
    }
}
