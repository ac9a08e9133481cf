//! One stream's callbacks: read the facts, ask the state machine, do what it says.

use std::rc::Rc;

use super::abi::Map;
use super::central::Central;
use super::entropy::NewIds;
use super::facts::Facts;
use super::headers::{self, Encoded, Listed};
use super::host::{self, HostResult};
use super::metrics::Metrics;
use super::recall::Held;
use super::root::{Active, Root};
use super::signal::{self, Source};
use super::vm::{Vm, failed};
use super::{answer, attributes, budget::SharedBudget, facts};
use crate::central::RuleId;
use crate::sampling::Reason;
use crate::shadow::Outcome;
use crate::span::KindSetting;
use crate::stream::{Head, Outgoing, Stream, Upgrade};
use crate::telemetry::Metric;
use crate::trace_context::{Extracted, XRAY, extract, inject};
use crate::upgrade::{Budget, Ending, GrpcStatus, ResponseFlags, Trigger, Verdict};

/// A stream of a root context. `stream` is empty until its request headers came.
pub struct StreamContext {
    root: u32,
    stream: Option<Stream>,
    /// The same request under the policy that looks on, if there is one.
    shadow: Option<Box<Stream>>,
    /// A recall request that was answered here: no request of the mesh's applications.
    answered: bool,
    /// The X-Ray rule by which the trace was decided, here or at its root.
    xray_rule: Option<RuleId>,
}

impl StreamContext {
    pub fn new(root: u32) -> Self {
        Self { root, stream: None, shadow: None, answered: false, xray_rule: None }
    }

    pub fn root(&self) -> u32 {
        self.root
    }

    /// Dropped so far, and not yet at its end.
    pub fn is_pending(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.keep().is_none())
    }
}

/// What of the VM a callback of one stream works on.
struct Parts<'a> {
    context: &'a mut StreamContext,
    root: &'a mut Root,
    active: Rc<Active>,
    metrics: &'a mut Metrics,
    entropy: &'a mut super::entropy::Entropy,
}

impl Vm {
    /// `None` for a context that was never created, or whose root passes everything through.
    fn parts(&mut self, context: u32) -> Option<Parts<'_>> {
        let Self { roots, streams, metrics, entropy, .. } = self;
        let context = streams.get_mut(&context)?;
        let root = roots.iter_mut().find(|root| root.id == context.root)?;
        let active = root.active()?;
        Some(Parts { context, root, active, metrics, entropy })
    }

    /// Whether a context is a stream of a root that does anything: for others no header is read.
    fn serves(&self, context: u32) -> bool {
        let stream = self.streams.get(&context);
        stream.and_then(|stream| self.root(stream.root)).is_some_and(Root::is_active)
    }

    /// `true`: the request was answered here and goes no further.
    pub fn request_headers(&mut self, context: u32) -> bool {
        self.serves(context) && headers::of(Map::RequestHeaders, |read| self.requested(context, read))
    }

    #[inline(never)]
    fn requested(&mut self, context: u32, headers: HostResult<Encoded<'_>>) -> bool {
        let Some(Parts { context, root, active, metrics, entropy }) = self.parts(context) else { return false };
        if context.stream.is_some() || context.answered {
            return context.answered;
        }
        let (rule, shadow_rule, extracted) = headers.map(|headers| read(&active, headers)).unwrap_or_default();
        let headers = known(headers, metrics);
        if extracted.recall && answer::answer(&active, root, metrics) {
            context.answered = true;
            return true;
        }
        let (mut stream, mut outgoing) = begin(&active, (rule, shadow_rule), &extracted, entropy);
        if let Some(central) = &mut root.central {
            context.xray_rule = obey(&active, central, &mut stream, &mut outgoing, (headers, &extracted), metrics);
        }
        count_head(&stream, &extracted, metrics);
        context.shadow = shadow(&active, &stream, shadow_rule, &extracted);
        let mut refused = false;
        inject(&active.policy.propagators, &outgoing.context, outgoing.tracestate, &extracted, &mut |name, value| {
            // Where traceparent goes on unchanged, tracestate must, too.
            if refused {
                return;
            }
            let result = match value {
                Some(value) if extracted.lacks(name) => host::add_header(Map::RequestHeaders, name, value),
                Some(value) => host::replace_header(Map::RequestHeaders, name, value),
                None => host::remove_header(Map::RequestHeaders, name),
            };
            refused = result.is_err();
        });
        if refused {
            metrics.count(Metric::HeadersNotSet);
        }
        context.stream = Some(stream);
        false
    }

    pub fn response_headers(&mut self, context: u32, end_of_stream: bool) {
        if self.serves(context) {
            headers::of(Map::ResponseHeaders, |read| self.answered_with(context, read, end_of_stream));
        }
    }

    #[inline(never)]
    fn answered_with(&mut self, context: u32, headers: HostResult<Encoded<'_>>, end_of_stream: bool) {
        let Some(Parts { context, root, active, metrics, .. }) = self.parts(context) else { return };
        let headers = known(headers, metrics);
        let Some(stream) = &mut context.stream else { return };
        let status = headers.first(":status").and_then(facts::decimal);
        // gRPC has its status in the headers only where they are all there is (trailers-only), always with HTTP 200.
        let trailers_only = end_of_stream && status == Some(200);
        let grpc_status = if trailers_only { headers.first("grpc-status") } else { None };
        let grpc_status = grpc_status.map(GrpcStatus::from_header);
        let head = Head { status, grpc_status, end_of_stream };
        let map = Map::ResponseHeaders;
        let known = signal::verdict(&active, root, metrics, stream, &head, Source::Head(headers));
        let verdict = known.map(|it| it.verdict);
        let upgrade = stream
            .response(active.rules(), head, attributes::response_flags, verdict, |it| admit(&mut root.budget, it));
        if let Some(shadow) = &mut context.shadow {
            respond_shadow(shadow, &active, head, verdict, root);
        }
        count_upgrade(upgrade, metrics);
        if active.policy.edge {
            signal::strip(metrics, map, headers);
        }
        if upgrade.is_some() {
            signal::announce(&active, metrics, stream, Some(map), known.is_some_and(|it| it.told));
        } else {
            signal::answer_context(&active, metrics, stream);
        }
        if let Some(answer) = stream.xray_answer()
            && host::replace_header(map, XRAY, &answer).is_err()
        {
            failed(metrics);
        }
    }

    pub fn response_body_ended(&mut self, context: u32) {
        let Some(context) = self.streams.get_mut(&context) else { return };
        if let Some(stream) = &mut context.stream {
            stream.body_ended();
        }
        if let Some(shadow) = &mut context.shadow {
            shadow.body_ended();
        }
    }

    pub fn response_trailers(&mut self, context: u32) {
        if self.serves(context) {
            headers::of(Map::ResponseTrailers, |read| self.trailed_with(context, read));
        }
    }

    #[inline(never)]
    fn trailed_with(&mut self, context: u32, trailers: HostResult<Encoded<'_>>) {
        let Some(Parts { context, root, active, metrics, .. }) = self.parts(context) else { return };
        let trailers = known(trailers, metrics);
        let Some(stream) = &mut context.stream else { return };
        let map = Map::ResponseTrailers;
        let grpc_status = trailers.first("grpc-status").map(GrpcStatus::from_header);
        let head = Head { status: stream.status(), grpc_status, end_of_stream: true };
        let known = signal::verdict(&active, root, metrics, stream, &head, Source::Trailers(trailers));
        let verdict = known.map(|it| it.verdict);
        let upgrade = stream
            .response(active.rules(), head, attributes::response_flags, verdict, |it| admit(&mut root.budget, it));
        if let Some(shadow) = &mut context.shadow {
            respond_shadow(shadow, &active, head, verdict, root);
        }
        count_upgrade(upgrade, metrics);
        if active.policy.edge {
            signal::strip(metrics, map, trailers);
        }
        if upgrade.is_some() {
            signal::announce(&active, metrics, stream, Some(map), known.is_some_and(|it| it.told));
        }
    }

    /// The one callback that sees everything, for every stream, also one that never had a request or an answer.
    pub fn log(&mut self, context_id: u32) {
        let Some(mut context) = self.streams.remove(&context_id) else { return };
        let Self { roots, metrics, entropy, recall, .. } = self;
        let Some(root) = roots.iter_mut().find(|root| root.id == context.root) else { return };
        let Some(active) = root.active() else { return };
        let mut stream = match context.stream {
            Some(stream) => stream,
            None if context.answered => return,
            // A request that its codec refused: its headers, if there are any, are readable here for the first time.
            None => headers::of(Map::RequestHeaders, |headers| {
                let (rule, shadow_rule, extracted) = headers.map(|headers| read(&active, headers)).unwrap_or_default();
                let headers = headers.unwrap_or(Encoded::NONE);
                let (mut stream, mut outgoing) = begin(&active, (rule, shadow_rule), &extracted, entropy);
                if let Some(central) = &mut root.central {
                    let request = (headers, &extracted);
                    context.xray_rule = obey(&active, central, &mut stream, &mut outgoing, request, metrics);
                }
                count_head(&stream, &extracted, metrics);
                context.shadow = shadow(&active, &stream, shadow_rule, &extracted);
                stream
            }),
        };
        let mut shadow = context.shadow.take();
        let now = if stream.is_timed() { Some(host::now()) } else { None };
        let wants_flags = stream.wants_flags() || shadow.as_ref().is_some_and(|shadow| shadow.wants_flags());
        let tunnel = wants_flags && !stream.is_complete() && facts::is_tunnel();
        let read = wants_flags.then(attributes::response_flags);
        // Somebody has to hang up first: that is how a tunnel ends.
        let ended = |flags: &ResponseFlags| tunnel && *flags == ResponseFlags::DOWNSTREAM_DISCONNECT;
        let flags = read.filter(|flags| !ended(flags)).unwrap_or_default();
        let ending = stream.ending(flags, tunnel, now);
        let upgrade = stream.end(active.rules(), &ending, |it| admit(&mut root.budget, it));
        if let Some(shadow) = &mut shadow {
            end_shadow(shadow, &stream, &active, &ending, root, metrics);
        }
        count_upgrade(upgrade, metrics);
        if upgrade.is_some() {
            signal::announce(&active, metrics, &stream, None, false);
        }
        if let (Some(central), Some(rule)) = (&mut root.central, context.xray_rule) {
            count_end(central, rule, &stream, active.policy.span_kind);
        }
        let mut dropped = false;
        if stream.keep().is_none() && active.policy.upgrade.recall.enabled && stream.give_up(active.rules()) {
            dropped = !recall.is_recent(stream.trace_id());
            if !dropped {
                count_upgrade(Some(Upgrade::Upgraded(Trigger::Recall)), metrics);
            }
        }
        let Some(keep) = stream.keep() else { return };

        let central = root.central.as_ref().zip(context.xray_rule);
        let xray_rule = central.and_then(|(central, rule)| central.name(rule));
        let facts = Facts::read(&active, &keep, read, ending.complete, xray_rule);
        let held = Box::new(Held { root: root.id, active: Rc::clone(&active), keep, facts });
        if dropped {
            return recall.hold(held);
        }
        show_decision(keep.trigger);
        recall.keep(held, &mut |held: &Held, calls| {
            held.facts.spans(&held.keep, &held.active, calls, &mut |span| root.offer(&span));
        });
        if root.batch_is_ready() && host::set_effective_context(root.id).is_ok() {
            // The answer must outlive this stream, so the request is the root's.
            root.send(host::now(), false, entropy);
            if host::set_effective_context(context_id).is_err() {
                failed(metrics);
            }
        }
    }
}

/// The head of an answer, or its trailers, under the policy that looks on.
#[inline(never)]
fn respond_shadow(shadow: &mut Stream, active: &Active, head: Head, known: Option<Verdict>, root: &mut Root) {
    let Some(rules) = active.shadow() else { return };
    let known = known.filter(|_| rules.upgrade.signal.accept);
    shadow.response(rules, head, attributes::response_flags, known, |limit| admit(&mut root.shadow_budget, limit));
}

/// The end of a stream under the policy that looks on, and what became of it under both.
#[inline(never)]
fn end_shadow(
    shadow: &mut Stream,
    stream: &Stream,
    active: &Active,
    ending: &Ending,
    root: &mut Root,
    metrics: &mut Metrics,
) {
    let Some(rules) = active.shadow() else { return };
    shadow.end(rules, ending, |limit| admit(&mut root.shadow_budget, limit));
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
        let bytes = i64::try_from(root.mean_span_bytes()).unwrap_or_default();
        metrics.add(Metric::ShadowSpans, spans);
        metrics.add(Metric::ShadowBytes, bytes.saturating_mul(spans));
    }
}

/// Headers that the host would not show are counted, and are none.
fn known<'a>(headers: HostResult<Encoded<'a>>, metrics: &mut Metrics) -> Encoded<'a> {
    headers.unwrap_or_else(|_| {
        failed(metrics);
        Encoded::NONE
    })
}

/// The live policy's rule that matches, that of the policy that looks on, and the caller's context.
fn read(active: &Active, headers: Encoded<'_>) -> (Option<u16>, Option<u16>, Extracted) {
    let sampling = active.rules().sampling;
    let shadow = active.shadow().map(|shadow| shadow.sampling).filter(|shadow| shadow.needs_request());
    let propagators = &active.policy.propagators;
    if sampling.needs_request() || shadow.is_some() {
        let entries = headers.entries();
        let mut headers = Listed(&entries);
        let facts = headers.facts();
        let shadow = shadow.and_then(|shadow| shadow.first_match(&facts));
        (sampling.first_match(&facts), shadow, extract(propagators, &mut headers))
    } else {
        let mut headers = headers;
        (None, None, extract(propagators, &mut headers))
    }
}

/// Decides.
fn begin(
    active: &Active,
    (rule, shadow_rule): (Option<u16>, Option<u16>),
    extracted: &Extracted,
    entropy: &mut super::entropy::Entropy,
) -> (Stream, Outgoing) {
    let rules = active.rules();
    let timed = Stream::wants_clock(rules, rule)
        || active.shadow().is_some_and(|shadow| Stream::wants_clock(shadow, shadow_rule));
    let now = if timed { Some(host::now()) } else { None };
    Stream::begin(
        rules,
        rule,
        extracted,
        now,
        |trace| signal::forward(active, trace),
        &mut NewIds { entropy, format: active.policy.trace_id_format },
    )
}

/// Lets X-Ray's rules decide a request that no caller has decided. Answers the one by which the trace was decided, here or at
/// its root. Apart, like all that is theirs.
#[inline(never)]
fn obey(
    active: &Active,
    central: &mut Central,
    stream: &mut Stream,
    outgoing: &mut Outgoing,
    (headers, extracted): (Encoded<'_>, &Extracted),
    metrics: &mut Metrics,
) -> Option<RuleId> {
    let rules = active.rules();
    let Some(randomness) = stream.undecided(rules, extracted) else { return central.rule_of(extracted) };
    let choice = central.decide(headers, randomness, metrics)?;
    *outgoing = stream.obey(&choice, rules, extracted, |trace| signal::forward(active, trace));
    Some(choice.rule)
}

/// Counts the end of a request whose trace was decided by a rule that wants to know of failures.
#[inline(never)]
fn count_end(central: &mut Central, rule: RuleId, stream: &Stream, kind: KindSetting) {
    // An outbound hop counts what began there: everything else was counted on the way in.
    if central.boosts(rule) && (!stream.has_parent() || !facts::is_client(kind)) {
        central.ended(rule, stream.failed(), stream.decision().sampled);
    }
}

/// The same request under the policy that looks on. Apart, like all that is the shadow's: where there is none, a request
/// pays for a test.
#[inline(never)]
fn shadow(active: &Active, stream: &Stream, rule: Option<u16>, extracted: &Extracted) -> Option<Box<Stream>> {
    active.shadow().map(|rules| Box::new(stream.under(rules, rule, extracted)))
}

fn count_head(stream: &Stream, extracted: &Extracted, metrics: &mut Metrics) {
    let decision = stream.decision();
    metrics.count(match (decision.sampled, decision.reason) {
        (true, Reason::Parent) => Metric::SampledByParent,
        (true, Reason::Rule { .. }) => Metric::SampledByRule,
        (true, Reason::Ratio) => Metric::SampledByRatio,
        (true, Reason::XRay) => Metric::SampledByXRay,
        (_, Reason::Upgraded) => Metric::SampledByUpgrade,
        (false, Reason::Parent) => Metric::DroppedByParent,
        (false, Reason::Rule { .. }) => Metric::DroppedByRule,
        (false, Reason::XRay) => Metric::DroppedByXRay,
        (false, Reason::Ratio) => Metric::DroppedByRatio,
    });
    for (metric, happened) in [
        (Metric::Inconsistent, decision.inconsistent),
        (Metric::Restarted, extracted.traceparent_invalid),
        (Metric::TracestateDiscarded, extracted.tracestate.is_some() && !extracted.tracestate_valid),
    ] {
        if happened {
            metrics.count(metric);
        }
    }
}

fn count_upgrade(upgrade: Option<Upgrade>, metrics: &mut Metrics) {
    match upgrade {
        Some(Upgrade::Upgraded(trigger)) => metrics.count(match trigger {
            Trigger::HttpStatus(_) => Metric::UpgradedByHttpStatus,
            Trigger::GrpcStatus(_) => Metric::UpgradedByGrpcStatus,
            Trigger::ResponseFlags(_) => Metric::UpgradedByResponseFlags,
            Trigger::Reset => Metric::UpgradedByReset,
            Trigger::Latency => Metric::UpgradedByLatency,
            Trigger::Signal => Metric::UpgradedBySignal,
            Trigger::Recall => Metric::UpgradedByRecall,
        }),
        Some(Upgrade::Shed) => metrics.count(Metric::UpgradesShed),
        Some(Upgrade::AlreadySampled) | None => {}
    }
}

fn admit(budget: &mut SharedBudget, limit: &Budget) -> bool {
    budget.admit(limit, host::now())
}

/// For access logs: `%FILTER_STATE(wasm.tracelift.decision:PLAIN)%`. A dropped request has none and prints `-`.
fn show_decision(trigger: Option<Trigger>) {
    let decision = trigger.map_or_else(|| "sampled".to_owned(), |trigger| ["upgraded.", trigger.name()].concat());
    // A host without filter state still has the traceparent in its log.
    let _ = host::set_filter_state("tracelift.decision", &decision);
}
