//! One request's life as a state machine: facts in, effects out. Owns no host handle, reads no clock, cannot fail.
//!
//! `begin` -> `response` -> (`body_ended` | `trailers`) -> `end`. Each step may be missing and may come twice: a client
//! that leaves never reaches a response, a codec error begins and ends at once.

use crate::http::{GrpcStatus, ResponseFlags};
use crate::policy::Rules;
use crate::sampling::{self, Chosen, Decided, Decider, Decision, ExportClass, Randomness, Rate, Threshold};
use crate::span::KindSetting;
use crate::trace_context::{
    CallerDecision, Extracted, HeaderEdit, Ids, OutgoingContext, SpanId, ThEdit, TraceFlags, TraceId, new_span_id,
    new_trace_id, xray,
};
use crate::upgrade::signal::Signal;
use crate::upgrade::{Budget, Ending, Mark, Slow, Trigger, Verdict};

/// One request between its first callback and its last.
#[derive(Clone, Debug)]
pub struct Stream {
    trace_id: TraceId,
    /// The randomness that was chosen here, not by the trace-id: the edge's for a caller's trace, or a session's.
    rv: Option<u64>,
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
    marked: bool,
    trigger: Option<Triggered>,
    /// Something failed here, whatever it is kept for.
    failed: bool,
    /// The caller wrote `Sampled=?` and is to hear our decision.
    asked: bool,
    /// The caller's flag said that it records nothing.
    caller_dropped: bool,
    /// Its trace shares its randomness with others.
    in_session: bool,
    /// The rate that was in force, whether or not it decided.
    rate: Option<Rate>,
}

/// A trigger and what the budget said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Triggered {
    trigger: Trigger,
    admitted: bool,
}

/// What is known of a request when its trace is decided, beside its context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arriving {
    /// The first rule that matched.
    pub rule: Option<u16>,
    /// Unix nanoseconds, where [`Stream::wants_clock`] says so.
    pub now: Option<u64>,
    /// The key of the token that has it recorded.
    pub forced: Option<u8>,
    /// The randomness of its session, for a trace that begins here.
    pub session: Option<u64>,
    /// What is in force in place of the fixed ratio, where that steers itself.
    pub rate: Option<Rate>,
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
    /// The application marked it as worth keeping.
    pub marked: bool,
    /// It took longer than usual.
    pub slow: Option<Slow>,
    /// The same by what the shadow policy has learned.
    pub shadow_slow: Option<Slow>,
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
    /// The answer bore our mark, whatever it said.
    pub marked: bool,
    /// An upgrade keeps it: its own, or an earlier one of its trace.
    pub upgraded: bool,
    /// The caller's flag said that it records nothing.
    pub caller_dropped: bool,
    /// The parent-id that came with the request, where the span goes out below another.
    pub unrecorded_parent: Option<SpanId>,
}

impl Stream {
    /// Reads the caller's context, decides, and says what goes upstream. `central` is asked what X-Ray's rules say of a
    /// request that no caller has decided and no token forces, by the trace's randomness. `known` looks up what became of the
    /// trace in this process; it is asked for calls of a dropped trace only.
    pub fn begin(
        rules: Rules<'_>,
        arriving: Arriving,
        extracted: &Extracted,
        central: impl FnOnce(Randomness) -> Option<Chosen>,
        known: impl FnOnce(TraceId) -> Option<Verdict>,
        ids: &mut impl Ids,
    ) -> (Self, Outgoing) {
        let Arriving { rule, now, forced, session, rate } = arriving;
        let parent = extracted.parent.as_ref();
        let (trace_id, random) = match parent {
            Some(parent) => (parent.trace_id, parent.random),
            None => (new_trace_id(ids), ids.are_random()),
        };
        let tracestate = extracted.trace_state();
        let rv = match session {
            // Inside the mesh, the randomness of a trace is that of the hop where it began.
            Some(_) if rules.edge || parent.is_none() => session,
            _ if rules.edge && parent.is_some() => Some(ids.next() >> 8),
            _ => None,
        };
        let decider = Decider { policy: rules.sampling, edge: rules.edge, rule, rate, rv };
        let Decided { mut decision, has_caller, member } = match forced {
            Some(key) => Decided { decision: Decision::forced(key), has_caller: false, member: None },
            None => decider.decide(extracted.decision, &tracestate, trace_id, central),
        };
        if has_caller && !decision.sampled && upgrades(rules, rule) && known(trace_id) == Some(Verdict::Upgraded) {
            decision = Decision::UPGRADED;
        }

        let span_id = new_span_id(ids);
        let server_span_id = matches!(rules.kind, KindSetting::Both).then(|| new_span_id(ids));
        let stream = Self {
            trace_id,
            rv,
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
            marked: false,
            trigger: None,
            failed: false,
            // A client outside the mesh does not hear what is recorded.
            asked: extracted.xray_asks && !rules.edge,
            caller_dropped: parent.is_some_and(|parent| parent.decision == CallerDecision::NotSampled),
            in_session: rv.is_some() && rv == session,
            rate,
            decision,
        };
        let th = stream.decision.th;
        let mut edit = rv.map_or_else(|| tracestate.edit(th, None), |rv| tracestate.with_own(th, rv));
        if let Some((key, value)) = member {
            edit = tracestate.with_member(edit, key, &value);
        }
        let sampled = stream.decision.sampled;
        let debug = extracted.debug && sampled && !rules.edge;
        let context = OutgoingContext { trace_id, span_id, sampled, random, debug };
        (stream, Outgoing { context, tracestate: edit })
    }

    /// The same request under other rules: the same ids, another decision. What a failure in this process had upgraded, and what a
    /// token forces, stays sampled under both.
    pub fn under(&self, rules: Rules<'_>, (rule, rate): (Option<u16>, Option<Rate>), extracted: &Extracted) -> Self {
        let decider = Decider { policy: rules.sampling, edge: rules.edge, rule, rate, rv: self.rv };
        let Decided { decision, .. } =
            decider.decide(extracted.decision, &extracted.trace_state(), self.trace_id, |_| None);
        let stays = matches!(self.decision.reason, sampling::Reason::Upgraded | sampling::Reason::Forced { .. });
        let decision = if stays { self.decision } else { decision };
        Self { rate, decision, rule, ..self.clone() }
    }

    /// Whether a latency limit may hold for a stream that this rule matched, so that its start must be known.
    pub fn wants_clock(rules: Rules<'_>, rule: Option<u16>) -> bool {
        latency_limit(rules, rule).is_some()
            || rules.upgrade.slow.is_some()
            || rules.upgrade.coverage.is_some_and(|coverage| coverage.latency)
    }

    /// Whether a latency limit holds for it, so that its end must be known.
    pub fn is_limited(&self, rules: Rules<'_>) -> bool {
        self.started.is_some() && latency_limit(rules, self.rule).is_some()
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
        self.grpc_status = head.grpc_status.or(self.grpc_status);
        if self.trigger.is_some() {
            return None;
        }
        let own = rules.upgrade.at_response(self.status, self.grpc_status, flags);
        let own = own.or(head.marked.then_some(Trigger::ResponseHeader)).or(head.slow.map(Trigger::Slow));
        match (own, known) {
            // A callee was kept already, and is the reason why this hop waited.
            (Some(Trigger::Slow(_)), Some(Verdict::Upgraded)) => self.settle(rules, Trigger::Signal, |_| true),
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
            && (!self.decision.sampled
                || head.marked
                || head.slow.is_some()
                || rules.upgrade.by_status(head.status, head.grpc_status).is_some())
    }

    /// What became of this trace here, for its caller and for the other streams of this process.
    pub fn verdict(&self) -> Option<Verdict> {
        self.trigger.map(|it| if it.admitted { Verdict::Upgraded } else { Verdict::Shed })
    }

    /// `X-Amzn-Trace-Id` of the answer, for a caller that asked for the decision: as it stands by now.
    pub fn xray_answer(&self) -> Option<Vec<u8>> {
        self.asked.then(|| xray::answer(self.trace_id, self.keep().is_some()))
    }

    /// Something failed here, or took too long, whether or not the budget admitted it.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether coverage may keep it: a rule may exempt its requests.
    pub fn may_be_covered(&self, rules: Rules<'_>) -> bool {
        upgrades(rules, self.rule)
    }

    /// It was slower than usual and is kept for that: nothing below had said that it was, too.
    pub fn is_culprit(&self) -> bool {
        self.trigger.is_some_and(|it| it.admitted && matches!(it.trigger, Trigger::Slow(_)))
    }

    /// A trigger of this hop's own keeps it already.
    pub fn is_kept_whole(&self) -> bool {
        self.trigger.is_some_and(|it| it.admitted && !it.trigger.is_from_elsewhere())
    }

    /// It is one of the first of its kind: kept whole, whatever the head, a signal or the budget of failures said.
    pub fn cover(&mut self) -> Upgrade {
        self.trigger = Some(Triggered { trigger: Trigger::Coverage, admitted: true });
        if self.decision.sampled { Upgrade::AlreadySampled } else { Upgrade::Upgraded(Trigger::Coverage) }
    }

    /// The threshold by which its trace was decided here by itself, sampled or not; `None` where a caller, a token, X-Ray, another
    /// algorithm or the randomness of a session decided, and for ratio 0.
    #[inline(always)] // For every request.
    pub fn decided_by(&self, sampling: &sampling::Policy) -> Option<Threshold> {
        match self.decision.reason {
            sampling::Reason::Ratio | sampling::Reason::Rule { .. } if !self.in_session => {
                sampling.sampler(self.rule).threshold()
            }
            sampling::Reason::Adaptive if !self.in_session => self.rate?.threshold(),
            _ => None,
        }
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

    /// What the caller hears, from the span that it called.
    pub fn signal(&self, mark: Mark) -> Signal {
        Signal::new(self.trace_id, self.server_span_id.unwrap_or(self.span_id), self.flags.random(), mark)
    }

    /// The last byte of the answer's body has passed.
    pub fn body_ended(&mut self) {
        self.complete = true;
    }

    /// No part of an answer was seen.
    pub fn is_unanswered(&self) -> bool {
        self.status.is_none() && !self.complete
    }

    /// What is known of an answer that was not seen: its status, as it was logged.
    pub fn set_logged_status(&mut self, status: Option<u16>) {
        self.status = self.status.or(status);
    }

    /// Whether it has taken so long by now that this would keep it.
    pub fn is_slow(&self, rules: Rules<'_>, now: impl FnOnce() -> u64) -> bool {
        let took = |started: u64| now().saturating_sub(started) / 1_000_000;
        let limit = latency_limit(rules, self.rule);
        self.started.zip(limit).is_some_and(|(started, limit)| limit <= took(started))
    }

    /// The caller wants to hear the decision in the answer.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// The answer has passed whole. If not, only the response flags can tell why.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// HTTP status of the answer, as far as it was seen.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// gRPC status of the answer, as far as it was seen.
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        self.grpc_status
    }

    /// Unix nanoseconds of the request's head, where they were asked for.
    pub fn started(&self) -> Option<u64> {
        self.started
    }

    /// Envoy's flags can say more than status and completeness: they cost a hostcall, so only where they may matter.
    pub fn wants_flags(&self) -> bool {
        self.trigger.is_none() && (!self.complete || self.status.is_none_or(|status| 400 <= status))
    }

    /// What is known of the end; `now` is Unix nanoseconds, needed where [`Self::is_limited`] says so.
    pub fn ending(&self, flags: ResponseFlags, complete: bool, now: Option<u64>) -> Ending {
        let latency_ms = match (self.started, now) {
            (Some(started), Some(now)) => Some(now.saturating_sub(started) / 1_000_000),
            _ => None,
        };
        Ending { flags, complete: complete || self.complete, latency_ms }
    }

    /// The end of the stream.
    #[inline(always)] // It is called once for a request, and has much to pass.
    pub fn end(&mut self, rules: Rules<'_>, ending: &Ending, admit: impl FnOnce(&Budget) -> bool) -> Option<Upgrade> {
        let trigger = rules.upgrade.at_end(ending, latency_limit(rules, self.rule))?;
        self.settle(rules, trigger, admit)
    }

    /// Whether the caller had sampled the trace, or had it forced, and is to hear that this hop keeps its part.
    pub fn owes_context(&self) -> bool {
        let is_asked_for = matches!(self.decision.reason, sampling::Reason::Parent | sampling::Reason::Forced { .. });
        self.decision.sampled && is_asked_for && self.trigger.is_none()
    }

    /// A token had it recorded.
    pub fn is_forced(&self) -> bool {
        matches!(self.decision.reason, sampling::Reason::Forced { .. })
    }

    /// The answer said that the trace is kept where it came from.
    pub fn hears(&mut self) {
        self.heard = true;
    }

    /// The answer bore our mark for this trace.
    pub fn is_answered_by_us(&mut self) {
        self.marked = true;
    }

    /// Dropped so far, without a trigger: at its end its span is held, where recall is on.
    pub fn may_be_held(&self, rules: Rules<'_>) -> bool {
        self.trigger.is_none() && !self.decision.sampled && upgrades(rules, self.rule)
    }

    /// Whether it is kept already, or will be at its answer, or at its end with recall on, since its trace was upgraded in this process.
    pub fn will_be_kept(&self, rules: Rules<'_>) -> bool {
        let upgrade = rules.upgrade;
        let later = upgrade.recall.enabled || upgrade.signal.accept && self.status.is_none();
        self.keep().is_some() || later && self.may_be_held(rules)
    }

    /// The id that went upstream.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Keeps a dropped stream because its trace was upgraded elsewhere, also one that the budget shed here. `false` where it
    /// is kept already, or where a rule switches upgrades off.
    pub fn release(&mut self, rules: Rules<'_>) -> bool {
        self.keep_for(rules, Trigger::Recall)
    }

    /// The same at the end of a stream that had no answer, whose trace was upgraded in this process.
    pub fn join(&mut self, rules: Rules<'_>) -> bool {
        self.keep_for(rules, Trigger::Signal)
    }

    fn keep_for(&mut self, rules: Rules<'_>, trigger: Trigger) -> bool {
        let given = self.keep().is_none() && upgrades(rules, self.rule);
        if given {
            self.trigger = Some(Triggered { trigger, admitted: true });
        }
        given
    }

    /// The first trigger counts. The budget is charged for it whatever the head had decided, so that admission does not
    /// depend on randomness.
    fn settle(&mut self, rules: Rules<'_>, trigger: Trigger, admit: impl FnOnce(&Budget) -> bool) -> Option<Upgrade> {
        if !upgrades(rules, self.rule) {
            return None;
        }
        self.failed |= trigger.is_failure();
        if self.trigger.is_some() {
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
            Some(trigger) if trigger.is_from_elsewhere() => ExportClass::Signalled,
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
            marked: self.marked,
            upgraded: trigger.is_some() || self.decision.reason == sampling::Reason::Upgraded,
            caller_dropped: self.caller_dropped,
            unrecorded_parent: None,
        })
    }
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
