//! The head of a request: the caller's context is read, the trace decided, and the context written for the upstream.

use super::asked::Asked;
use super::facts::said;
use super::glance::Glance;
use super::{Parts, RequestContext, Scope, force, outline, own, rate, shadow, signal, unseen};
use crate::door::{Exchange, HeaderView, Host, Refused, Side};
use crate::policy::Policy;
use crate::sampling::{Randomness, Reason, RequestFacts, Steps};
use crate::shared::NewIds;
use crate::stream::{Arriving, Outgoing, Stream};
use crate::telemetry::Metric;
use crate::trace_context::{CallerDecision, Extracted, HeaderEdit, TRACESTATE, extract, inject};
use crate::upgrade::Verdict;
use crate::upgrade::signal::SIGNAL;

/// The first rule that matches, of the live policy and of its shadow.
#[derive(Clone, Copy, Default)]
struct Matched {
    live: Option<u16>,
    shadow: Option<u16>,
    /// What is left for rules of X-Ray.
    steps: Steps,
    /// The key of a token.
    forced: Option<u8>,
}

/// The head of a request of which only `traceparent` was read came. `None`: all of its headers are to be read, since its caller has it
/// sampled, or is one of Tracelift's own, or has a context that is not valid.
#[inline(never)]
pub fn requested_by_one<X: Exchange>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    traceparent: Option<&[u8]>,
) -> Option<bool> {
    let exchange = parts.exchange;
    if traceparent.is_none() {
        // A trace begins. What a caller left in `tracestate` is of none, and goes unseen.
        let _ = exchange.remove(Side::Request, TRACESTATE); // An error is that there is none.
    }
    let mut glance = Glance::<X::Headers<'_>>::at_one(traceparent);
    let answered = requested_at(parts, context, &mut glance, Read::One);
    let is_sampled = context.stream.as_ref().is_some_and(|stream| stream.decision().sampled);
    parts.scope.whole.learn(is_sampled || answered.is_none());
    if is_sampled && answered.is_some() {
        exchange.headers(Side::Request, |headers| {
            let headers = parts.known(headers);
            let of = |name| headers.first(name);
            context.asked = Asked::of(of(":path"), of(":authority"));
            context.said = said(parts.policy, headers, (headers.first(TRACESTATE), false));
        });
    }
    answered
}

/// The head of a request came. `true`: it was answered here and goes no further.
#[inline(always)] // Once for a request.
pub fn requested<'a, X: Exchange<Headers<'a> = V>, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    headers: Result<V, Refused>,
) -> bool {
    let token = parts.policy.force.as_ref().map(|force| &force.header);
    let read = if headers.is_ok() { Read::All } else { Read::Nothing };
    let headers = parts.known(headers);
    let mut glance = Glance::of(headers, token, parts.policy.is_outlined());
    let answered = requested_at(parts, context, &mut glance, read).unwrap_or(false);
    if X::GAINS_BY_SLOTS && parts.policy.border.one_header {
        parts.scope.whole.learn(context.stream.as_ref().is_some_and(|stream| stream.decision().sampled));
    }
    answered
}

/// How much of a request's head was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// The host showed nothing.
    Nothing,
    /// `traceparent`.
    One,
    /// All headers.
    All,
}

/// The head of a request, as far as it was read. `None`: more of it has to be read, and nothing was done.
#[inline(never)] // Called at each way out of a look at headers.
fn requested_at<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    glance: &mut Glance<'a, V>,
    so_far: Read,
) -> Option<bool> {
    if context.stream.is_some() || context.answered_here {
        return Some(context.answered_here);
    }
    let (mut matched, mut extracted) =
        if so_far == Read::Nothing { Default::default() } else { read(parts.policy, glance) };
    if so_far == Read::One && (extracted.invalid || extracted.decision == CallerDecision::Sampled) {
        return None;
    }
    let headers = glance.headers();
    if let Some(own) = extracted.own
        && own::answer(parts, own, headers)
    {
        context.answered_here = true;
        return Some(true);
    }
    context.asked = Asked::of(glance.path, glance.authority);
    own::guard_edge(parts, headers);
    if glance.has_token {
        matched.forced = force::requested(parts, headers);
    }
    let outgoing = begin(parts, context, matched, &mut extracted, glance);
    if outgoing.context.sampled {
        let tracestate = match &outgoing.tracestate {
            HeaderEdit::Replace(value) => Some(&value[..]),
            HeaderEdit::Keep if extracted.tracestate_valid => extracted.tracestate.as_deref(),
            HeaderEdit::Keep | HeaderEdit::Remove => None,
        };
        context.said = said(parts.policy, headers, (tracestate, true));
    }
    let exchange = parts.exchange;
    let mut refused = false;
    let propagators = &parts.policy.propagators;
    inject(propagators, &outgoing.context, outgoing.tracestate, &extracted, &mut |name, value| {
        // Where traceparent stays as it was, tracestate must, too.
        if refused {
            return;
        }
        let result = match value {
            Some(value) if extracted.lacks(name) => exchange.add(Side::Request, name, value),
            Some(value) => exchange.replace(Side::Request, name, value),
            None => exchange.remove(Side::Request, name),
        };
        refused = result.is_err();
    });
    if refused {
        parts.metrics.count(Metric::HeadersNotSet);
    }
    if parts.policy.edge {
        // A signal in a request is not read, but an application may echo it in its answer: it is removed before it enters the mesh.
        parts.take_off(Side::Request, headers, SIGNAL);
    }
    if parts.policy.border.skips {
        unseen::ask(parts, context);
    }
    Some(false)
}

/// A request that its codec refused: its headers, if there are any, are readable at its end for the first time.
pub fn begin_late<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    headers: Result<V, Refused>,
) {
    let mut glance = Glance::of(headers.unwrap_or(V::NONE), None, true);
    let (matched, mut extracted) = if headers.is_ok() { read(parts.policy, &mut glance) } else { Default::default() };
    begin(parts, context, matched, &mut extracted, &glance);
}

/// Which rules match, and the caller's context.
fn read<'a, V: HeaderView<'a>>(policy: &Policy, glance: &mut Glance<'a, V>) -> (Matched, Extracted) {
    let sampling = &policy.sampling;
    let shadow = policy.shadow_rules().map(|shadow| shadow.sampling).filter(|shadow| shadow.needs_request());
    let mut matched = Matched::default();
    if sampling.needs_request() || shadow.is_some() {
        let entries = glance.headers().entries();
        let facts = RequestFacts::of(&entries);
        let steps = &mut matched.steps;
        matched.live = sampling.first_match(&facts, steps);
        matched.shadow = shadow.and_then(|shadow| steps.half(|steps| shadow.first_match(&facts, steps)));
    }
    (matched, extract(&policy.propagators, glance))
}

/// Decides, and counts the decision.
#[inline(always)] // It is called once for a request, and has much to pass and return.
fn begin<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    mut matched: Matched,
    extracted: &mut Extracted,
    glance: &Glance<'a, V>,
) -> Outgoing {
    let (policy, headers) = (parts.policy, glance.headers());
    if policy.edge && extracted.parent.is_some() && policy.restarts_traces() {
        extracted.restart();
        parts.metrics.count(Metric::Replaced);
    }
    let rules = policy.rules();
    let host = parts.exchange.host();
    let counts = parts.scope.recorder.is_some() && policy.sampling.rule(matched.live).is_none_or(|rule| rule.metrics);
    let timed = counts
        || Stream::wants_clock(rules, matched.live)
        || policy.shadow_rules().is_some_and(|shadow| Stream::wants_clock(shadow, matched.shadow));
    let now = if timed { Some(host.now()) } else { None };
    if let Some(outline) = glance.outline
        && (counts || policy.names.is_some())
    {
        outline::requested(policy, context, counts, (glance.path, outline, headers));
    }
    let rates = rate::of(parts, context, extracted, headers);
    let Scope { central, limits, .. } = &mut *parts.scope;
    let metrics = &mut *parts.metrics;
    let mut asked = false;
    let mut xray_rule = None;
    let choose = |randomness: Randomness| {
        let central = central.as_deref_mut()?;
        asked = true;
        let entries = if central.has_rules() { headers.entries() } else { Vec::new() };
        let choice = central.decide(host, &entries, randomness, &mut matched.steps, metrics)?;
        xray_rule = Some(choice.rule);
        Some(choice.chosen())
    };
    let mut refused = false;
    let known = |trace_id| {
        let known = signal::forward(host, policy, trace_id)?;
        refused = known == Verdict::Upgraded && !limits.joins.admit(&policy.upgrade.budget, host);
        Some(known).filter(|_| !refused)
    };
    let ids = &mut NewIds { entropy: parts.entropy, host, format: policy.trace_id_format };
    // Inside the mesh a caller's randomness counts, so that nothing is looked for.
    let session = policy.session.as_ref().filter(|_| policy.edge || extracted.parent.is_none());
    let session = session.and_then(|session| session.randomness(headers));
    let arriving = Arriving { rule: matched.live, now, forced: matched.forced, session, rate: rates.live() };
    let (stream, outgoing) = Stream::begin(rules, arriving, extracted, choose, known, ids);
    if let Some(central) = parts.scope.central.as_deref().filter(|_| !asked) {
        xray_rule = central.rule_of(extracted);
    }
    if refused {
        parts.metrics.count(Metric::JoinsRefused);
    }
    context.xray_rule = xray_rule;
    if matched.steps.is_over() {
        parts.metrics.count(Metric::RulesOverBudget);
    }
    count(parts, &stream, extracted);
    context.shadow = shadow::begin(parts, &stream, (matched.shadow, rates.shadow()), extracted);
    rates.count(parts.scope, &stream, context.shadow.as_deref());
    context.stream = Some(stream);
    outgoing
}

fn count<X: Exchange>(parts: &mut Parts<'_, X>, stream: &Stream, extracted: &Extracted) {
    let decision = stream.decision();
    let metrics = &mut *parts.metrics;
    metrics.count(match (decision.sampled, decision.reason) {
        (true, Reason::Parent) => Metric::SampledByParent,
        (true, Reason::Rule { .. }) => Metric::SampledByRule,
        (true, Reason::Ratio) => Metric::SampledByRatio,
        (true, Reason::XRay) => Metric::SampledByXRay,
        (true, Reason::Adaptive) => Metric::SampledByRate,
        (_, Reason::Upgraded) => Metric::SampledByUpgrade,
        (_, Reason::Forced { .. }) => Metric::SampledByForce,
        (false, Reason::Parent) => Metric::DroppedByParent,
        (false, Reason::Rule { .. }) => Metric::DroppedByRule,
        (false, Reason::XRay) => Metric::DroppedByXRay,
        (false, Reason::Ratio) => Metric::DroppedByRatio,
        (false, Reason::Adaptive) => Metric::DroppedByRate,
    });
    for (metric, happened) in [
        (Metric::Inconsistent, decision.inconsistent),
        (Metric::Restarted, extracted.invalid),
        (Metric::TracestateDiscarded, extracted.tracestate.is_some() && !extracted.tracestate_valid),
    ] {
        if happened {
            metrics.count(metric);
        }
    }
}

impl<X: Exchange> Parts<'_, X> {
    /// Headers that the host would not show are counted, and count as none.
    pub(super) fn known<'a, V: HeaderView<'a>>(&mut self, headers: Result<V, Refused>) -> V {
        headers.unwrap_or_else(|_| {
            self.failed();
            V::NONE
        })
    }
}
