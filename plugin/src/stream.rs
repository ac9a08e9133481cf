//! One request's life as a state machine: facts in, effects out. Owns no host handle, reads no clock, cannot fail.
//!
//! `begin` -> `response` -> (`body_ended` | `trailers`) -> `end`. Each step may be missing and may come twice: a client
//! that leaves never reaches a response, a codec error begins and ends at once.

use crate::central::{Choice, MEMBER};
use crate::sampling::{self, Decision, ExportClass, Randomness, Threshold};
use crate::span::KindSetting;
use crate::trace_context::{
    CallerDecision, Extracted, HeaderEdit, OutgoingContext, ParentContext, SpanId, ThEdit, TraceFlags, TraceId,
    TraceState, xray,
};
use crate::upgrade::signal::Signal;
use crate::upgrade::{self, Budget, Ending, GrpcStatus, ResponseFlags, Trigger, Verdict};

/// Where new ids come from: eight random bytes at a time.
pub trait Ids {
    /// The next random number; zero is fine, it is asked again.
    fn next(&mut self) -> u64;

    /// Whether all that was given came from a random source, as the random flag promises (W3C Trace Context Level 2).
    fn are_random(&self) -> bool;

    /// What new trace-ids begin with, in Unix seconds; `None` for ids that are random throughout. Asked once, and only
    /// where a trace begins.
    fn trace_id_seconds(&mut self) -> Option<u32> {
        None
    }
}

/// The parts of the policy that a stream obeys.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What is sampled.
    pub sampling: &'a sampling::Policy,
    /// What is upgraded.
    pub upgrade: &'a upgrade::Policy,
    /// Which spans a stream becomes.
    pub kind: KindSetting,
    /// This is the mesh's outer listener: what a client says of sampling is not believed.
    pub edge: bool,
}

/// One request between its first callback and its last.
#[derive(Clone, Debug)]
pub struct Stream {
    trace_id: TraceId,
    /// The id that went upstream as parent-id.
    span_id: SpanId,
    /// The SERVER span's id where a stream becomes two spans, of which the CLIENT's went upstream.
    server_span_id: Option<SpanId>,
    parent_id: Option<SpanId>,
    flags: TraceFlags,
    decision: Decision,
    rule: Option<u16>,
    /// Unix nanoseconds; asked for only where a latency limit holds.
    started: Option<u64>,
    status: Option<u16>,
    grpc_status: Option<GrpcStatus>,
    complete: bool,
    heard: bool,
    trigger: Option<Triggered>,
    /// The caller wrote `Sampled=?` and is to hear our decision.
    asked: bool,
}

/// A trigger and what the budget said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Triggered {
    trigger: Trigger,
    admitted: bool,
}

/// What goes upstream.
pub struct Outgoing {
    /// Ids and flags for every propagator.
    pub context: OutgoingContext,
    /// What becomes of `tracestate`.
    pub tracestate: HeaderEdit,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// `:status`.
    pub status: Option<u16>,
    /// What `grpc-status` said, if it was there (trailers-only).
    pub grpc_status: Option<GrpcStatus>,
    /// Nothing follows.
    pub end_of_stream: bool,
}

/// What a trigger did to a stream, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// A dropped stream is kept after all.
    Upgraded(Trigger),
    /// The budget was spent and the stream stays dropped.
    Shed,
    /// The head had sampled it already.
    AlreadySampled,
}

/// A stream that is exported, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Trace of the span, or of both.
    pub trace_id: TraceId,
    /// The id that went upstream.
    pub span_id: SpanId,
    /// Set where the stream becomes a SERVER span with this id and a CLIENT child with `span_id`.
    pub server_span_id: Option<SpanId>,
    /// The caller's span.
    pub parent_id: Option<SpanId>,
    /// With `sampled` set: an exported span is sampled.
    pub flags: TraceFlags,
    /// What the exported span's tracestate says of its probability.
    pub th: ThEdit,
    /// Who decided, at the head.
    pub reason: sampling::Reason,
    /// The rule that matched, whether or not it decided.
    pub rule: Option<u16>,
    /// The trigger, if the budget admitted it.
    pub trigger: Option<Trigger>,
    /// How many requests this span stands for, where that is known.
    pub adjusted_count: Option<f64>,
    /// HTTP status, if there was one.
    pub status: Option<u16>,
    /// gRPC status, if there was one.
    pub grpc_status: Option<GrpcStatus>,
    /// The request went upstream with `sampled`.
    pub sent_sampled: bool,
    /// The answer said that the trace is kept there.
    pub heard: bool,
}

impl Stream {
    /// Reads the caller's context, decides, and says what goes upstream. `rule` is the first rule that matched; `now`
    /// (Unix nanoseconds) is needed where [`Self::wants_clock`] says so. `known` looks up what became of the trace in this
    /// process; it is asked for calls of a dropped trace only.
    pub fn begin(
        rules: Rules<'_>,
        rule: Option<u16>,
        extracted: &Extracted,
        now: Option<u64>,
        known: impl FnOnce(TraceId) -> Option<Verdict>,
        ids: &mut impl Ids,
    ) -> (Self, Outgoing) {
        let parent = extracted.parent.as_ref();
        let (trace_id, random) = match parent {
            Some(parent) => (parent.trace_id, parent.random),
            None => (new_trace_id(ids), ids.are_random()),
        };
        let tracestate = extracted.trace_state();
        let (mut decision, has_caller) = head(rules, rule, parent, &tracestate, trace_id);
        if has_caller && !decision.sampled && upgrades(rules, rule) && known(trace_id) == Some(Verdict::Upgraded) {
            decision = Decision::UPGRADED;
        }

        let span_id = new_span_id(ids);
        let server_span_id = matches!(rules.kind, KindSetting::Both).then(|| new_span_id(ids));
        let stream = Self {
            trace_id,
            span_id,
            server_span_id,
            parent_id: parent.and_then(|parent| parent.parent_id),
            flags: TraceFlags::default().with_random(random).with_sampled(decision.sampled),
            rule,
            started: now,
            status: None,
            grpc_status: None,
            complete: false,
            heard: false,
            trigger: None,
            // Strangers are told nothing of what is recorded.
            asked: extracted.xray_asks && !rules.edge,
            decision,
        };
        let edit = tracestate.edit(stream.decision.th, None);
        let context = OutgoingContext { trace_id, span_id, sampled: stream.decision.sampled, random };
        (stream, Outgoing { context, tracestate: edit })
    }

    /// The trace's randomness, where no caller's decision holds: a rule of X-Ray may decide such a request.
    pub fn undecided(&self, rules: Rules<'_>, extracted: &Extracted) -> Option<Randomness> {
        let decided = callers_decision(rules, extracted.parent.as_ref()).is_some();
        let open = !decided || rules.sampling.mode == sampling::Mode::Independent;
        open.then(|| randomness(extracted.trace_state().ot().rv, self.trace_id))
    }

    /// The same request as a rule of X-Ray decides it, and what goes upstream then. Not a part of [`Self::begin`], so that
    /// a request pays for such rules only where there are some.
    pub fn obey(
        &mut self,
        choice: &Choice,
        rules: Rules<'_>,
        extracted: &Extracted,
        known: impl FnOnce(TraceId) -> Option<Verdict>,
    ) -> Outgoing {
        let has_caller = callers_decision(rules, extracted.parent.as_ref()).is_some();
        self.decision = choice.decision;
        if has_caller
            && !self.decision.sampled
            && upgrades(rules, self.rule)
            && known(self.trace_id) == Some(Verdict::Upgraded)
        {
            self.decision = Decision::UPGRADED;
        }
        self.flags = self.flags.with_sampled(self.decision.sampled);
        let state = extracted.trace_state();
        let mut tracestate = state.edit(self.decision.th, None);
        if choice.boosts {
            // The hops below report their failures to the rule by which the trace was decided.
            tracestate = state.with_member(tracestate, MEMBER, &choice.rule.to_member());
        }
        let (sampled, random) = (self.decision.sampled, self.flags.random());
        let context = OutgoingContext { trace_id: self.trace_id, span_id: self.span_id, sampled, random };
        Outgoing { context, tracestate }
    }

    /// The same request under other rules: the same ids, another decision. What a failure in this process had upgraded
    /// goes on sampled under both.
    pub fn under(&self, rules: Rules<'_>, rule: Option<u16>, extracted: &Extracted) -> Self {
        let (decision, _) = head(rules, rule, extracted.parent.as_ref(), &extracted.trace_state(), self.trace_id);
        let upgraded = self.decision.reason == sampling::Reason::Upgraded;
        Self { decision: if upgraded { self.decision } else { decision }, rule, ..self.clone() }
    }

    /// Whether a latency limit may hold for a stream that this rule matched, so that its start must be known.
    pub fn wants_clock(rules: Rules<'_>, rule: Option<u16>) -> bool {
        latency_limit(rules, rule).is_some()
    }

    /// The head decision.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The head of an answer, or its trailers, which are a head that ends it. `flags` reads Envoy's response flags, and is
    /// asked only where there is a trigger.
    pub fn response(
        &mut self,
        rules: Rules<'_>,
        head: Head,
        flags: impl FnOnce() -> ResponseFlags,
        known: Option<Verdict>,
        admit: impl FnOnce(&Budget) -> bool,
    ) -> Option<Upgrade> {
        self.status = head.status.or(self.status);
        // A switched protocol has no end of stream that a filter could see.
        self.complete |= head.end_of_stream || head.status == Some(101);
        self.answered(rules, head.grpc_status, flags, known, admit)
    }

    fn answered(
        &mut self,
        rules: Rules<'_>,
        grpc_status: Option<GrpcStatus>,
        flags: impl FnOnce() -> ResponseFlags,
        known: Option<Verdict>,
        admit: impl FnOnce(&Budget) -> bool,
    ) -> Option<Upgrade> {
        self.grpc_status = grpc_status.or(self.grpc_status);
        if self.trigger.is_some() {
            return None;
        }
        let own = rules.upgrade.at_response(self.status, self.grpc_status, flags);
        match (own, known) {
            // The verdict came with the failure: this hop charges nothing and keeps what the hops below keep.
            (Some(trigger), Some(verdict)) => self.settle(rules, trigger, |_| verdict == Verdict::Upgraded),
            (Some(trigger), None) => self.settle(rules, trigger, admit),
            (None, Some(Verdict::Upgraded)) => self.settle(rules, Trigger::Signal, |_| true),
            (None, Some(Verdict::Shed) | None) => None,
        }
    }

    /// Whether a verdict from elsewhere would change anything, now that the head of the answer is known.
    pub fn wants_verdict(&self, rules: Rules<'_>, head: &Head) -> bool {
        self.trigger.is_none()
            && upgrades(rules, self.rule)
            && (!self.decision.sampled || rules.upgrade.by_status(head.status, head.grpc_status).is_some())
    }

    /// What became of this trace here, for its caller and for the other streams of this process.
    pub fn verdict(&self) -> Option<Verdict> {
        self.trigger.map(|it| if it.admitted { Verdict::Upgraded } else { Verdict::Shed })
    }

    /// `X-Amzn-Trace-Id` of the answer, for a caller that asked for the decision: as it stands by now.
    pub fn xray_answer(&self) -> Option<Vec<u8>> {
        self.asked.then(|| xray::answer(self.trace_id, self.keep().is_some()))
    }

    /// Something failed here: a trigger of this hop's own, whether or not the budget admitted it.
    pub fn failed(&self) -> bool {
        self.trigger.is_some_and(|it| !matches!(it.trigger, Trigger::Signal | Trigger::Recall))
    }

    /// Some caller's span is above this one.
    pub fn has_parent(&self) -> bool {
        self.parent_id.is_some()
    }

    /// The trace of this stream.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The rule that matched.
    pub fn rule(&self) -> Option<u16> {
        self.rule
    }

    /// What the caller is told of [`Self::verdict`]: by the span that it called.
    pub fn signal(&self, verdict: Verdict) -> Signal {
        Signal::new(self.trace_id, self.server_span_id.unwrap_or(self.span_id), self.flags.random(), verdict)
    }

    /// The last byte of the answer's body has passed.
    pub fn body_ended(&mut self) {
        self.complete = true;
    }

    /// The answer has passed whole. If not, only the response flags can tell why.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// HTTP status of the answer, as far as it was seen.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Envoy's flags can say more than status and completeness: they cost a hostcall, so only where they may matter.
    pub fn wants_flags(&self) -> bool {
        self.trigger.is_none() && (!self.complete || self.status.is_none_or(|status| 400 <= status))
    }

    /// What is known of the end; `now` is Unix nanoseconds, needed where a start was given.
    pub fn ending(&self, flags: ResponseFlags, complete: bool, now: Option<u64>) -> Ending {
        let latency_ms = match (self.started, now) {
            (Some(started), Some(now)) => Some(now.saturating_sub(started) / 1_000_000),
            _ => None,
        };
        Ending { flags, complete: complete || self.complete, latency_ms }
    }

    /// Whether the end needs a clock.
    pub fn is_timed(&self) -> bool {
        self.started.is_some()
    }

    /// The end of the stream.
    pub fn end(&mut self, rules: Rules<'_>, ending: &Ending, admit: impl FnOnce(&Budget) -> bool) -> Option<Upgrade> {
        let trigger = rules.upgrade.at_end(ending, latency_limit(rules, self.rule))?;
        self.settle(rules, trigger, admit)
    }

    /// Whether the caller had sampled the trace, and is to be told that this hop keeps its part.
    pub fn owes_context(&self) -> bool {
        self.decision.sampled && self.decision.reason == sampling::Reason::Parent && self.trigger.is_none()
    }

    /// The answer said that the trace is kept where it came from.
    pub fn hears(&mut self) {
        self.heard = true;
    }

    /// Keeps a dropped stream because its trace was upgraded elsewhere, also one that the budget shed here. `false` where it
    /// is kept already, or where a rule switches upgrades off.
    pub fn give_up(&mut self, rules: Rules<'_>) -> bool {
        let given = self.keep().is_none() && upgrades(rules, self.rule);
        if given {
            self.trigger = Some(Triggered { trigger: Trigger::Recall, admitted: true });
        }
        given
    }

    /// The first trigger counts. The budget is charged for it whatever the head had decided, so that admission does not
    /// depend on randomness.
    fn settle(&mut self, rules: Rules<'_>, trigger: Trigger, admit: impl FnOnce(&Budget) -> bool) -> Option<Upgrade> {
        if self.trigger.is_some() || !upgrades(rules, self.rule) {
            return None;
        }
        let admitted = admit(&rules.upgrade.budget);
        self.trigger = Some(Triggered { trigger, admitted });
        Some(match (self.decision.sampled, admitted) {
            (true, _) => Upgrade::AlreadySampled,
            (false, true) => Upgrade::Upgraded(trigger),
            (false, false) => Upgrade::Shed,
        })
    }

    /// Whether and as what this stream is exported, as far as is known by now.
    pub fn keep(&self) -> Option<Keep> {
        let trigger = self.trigger.filter(|triggered| triggered.admitted).map(|triggered| triggered.trigger);
        let class = match trigger {
            Some(Trigger::Signal | Trigger::Recall) => ExportClass::Signalled,
            Some(_) => ExportClass::KeptWhole,
            None if self.decision.sampled => ExportClass::Head,
            None => return None,
        };
        let th = sampling::exported_th(&self.decision, class);
        Some(Keep {
            trace_id: self.trace_id,
            span_id: self.span_id,
            server_span_id: self.server_span_id,
            parent_id: self.parent_id,
            flags: self.flags.with_sampled(true),
            adjusted_count: match class {
                ExportClass::KeptWhole => Some(1.0),
                ExportClass::Head => self.decision.threshold.map(Threshold::adjusted_count),
                ExportClass::Signalled => None,
            },
            th,
            reason: self.decision.reason,
            rule: self.rule,
            trigger,
            status: self.status,
            grpc_status: self.grpc_status,
            sent_sampled: self.decision.sampled,
            heard: self.heard,
        })
    }
}

/// The decision of the head, and whether a caller had made one.
#[inline(always)] // A call with this much to hand over and back would cost each request a hundred instructions.
fn head(
    rules: Rules<'_>,
    rule: Option<u16>,
    parent: Option<&ParentContext>,
    tracestate: &TraceState<'_>,
    trace_id: TraceId,
) -> (Decision, bool) {
    // Half of all requests bring no tracestate: nothing is built to say that nothing is in it.
    let (th, rv) = if tracestate.is_empty() {
        (None, None)
    } else {
        let ot = tracestate.ot();
        (ot.th, ot.rv)
    };
    let randomness = randomness(rv, trace_id);
    let decided = callers_decision(rules, parent);
    let decided = decided.map(|sampled| sampling::Parent { sampled, threshold: th.and_then(Threshold::from_bits) });
    (sampling::decide(rules.sampling, rule, decided.as_ref(), trace_id, randomness), decided.is_some())
}

#[inline(always)] // As above.
fn randomness(rv: Option<u64>, trace_id: TraceId) -> Randomness {
    rv.map_or_else(|| Randomness::from_trace_id(trace_id), Randomness::from_rv)
}

/// What the caller says of sampling, where it is believed.
#[inline(always)] // As above.
fn callers_decision(rules: Rules<'_>, parent: Option<&ParentContext>) -> Option<bool> {
    parent.filter(|_| !rules.edge).and_then(|parent| match parent.decision {
        CallerDecision::Sampled => Some(true),
        CallerDecision::NotSampled => Some(false),
        CallerDecision::Deferred => None,
    })
}

fn matched(rules: Rules<'_>, rule: Option<u16>) -> Option<&sampling::Rule> {
    rules.sampling.rules.get(usize::from(rule?))
}

/// A rule may switch upgrades off for its requests.
fn upgrades(rules: Rules<'_>, rule: Option<u16>) -> bool {
    matched(rules, rule).is_none_or(|rule| rule.upgrade)
}

fn latency_limit(rules: Rules<'_>, rule: Option<u16>) -> Option<u64> {
    match matched(rules, rule) {
        Some(rule) if !rule.upgrade => None,
        Some(rule) => rule.latency_ms.or(rules.upgrade.latency_ms),
        None => rules.upgrade.latency_ms,
    }
}

/// Zero is no id; a source that gives nothing else still ends here.
const TRIES: usize = 4;

fn new_span_id(ids: &mut impl Ids) -> SpanId {
    (0..TRIES).find_map(|_| SpanId::from_u64(ids.next())).unwrap_or(SpanId::MIN)
}

fn new_trace_id(ids: &mut impl Ids) -> TraceId {
    let seconds = ids.trace_id_seconds();
    let mut id = || {
        let random = u128::from(ids.next()) << 64 | u128::from(ids.next());
        let id = seconds.map_or(random, |seconds| u128::from(seconds) << 96 | random & (u128::MAX >> 32));
        TraceId::from_u128(id)
    };
    (0..TRIES).find_map(|_| id()).unwrap_or(TraceId::MIN)
}
