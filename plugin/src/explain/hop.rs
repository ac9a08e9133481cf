//! One hop: the request phase, the answer, and what is kept.

use serde::Serialize;

use super::{Answer, Request, SpanShown, Surroundings, span};
use crate::config::Policy;
use crate::sampling::{Decision, Randomness, Reason, Sampler, Threshold};
use crate::stream::{self, Head, Rules, Stream, Upgrade};
use crate::trace_context::{CallerDecision, Extracted, HeaderEdit, OutgoingContext, extract, inject};
use crate::upgrade::{Trigger, Verdict};

/// One thing that happened, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `context`, `rule`, `randomness`, `decision`, `outgoing`, `answer`, `upgrade`, `signal` or `span`.
    pub topic: &'static str,
    /// In words.
    pub said: String,
}

/// A header as it leaves; `None` for one that is taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// A hop that has seen its request.
pub struct Hop<'p> {
    policy: &'p Policy,
    request: Request,
    stream: Stream,
    told: Explanation,
}

/// Everything about one hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The trace, hexadecimal.
    pub trace_id: String,
    /// The id that went upstream as parent-id.
    pub span_id: String,
    /// What the head decided.
    pub sampled: bool,
    /// Who decided: `parent`, `rule`, `ratio` or `upgraded`.
    pub reason: &'static str,
    /// The first rule that matched.
    pub rule: Option<String>,
    /// R, 14 hexadecimal digits.
    pub randomness: String,
    /// T of what was sampled, where it is known.
    pub threshold: Option<String>,
    /// The headers of the trace context as they leave for the upstream.
    pub outgoing: Vec<Header>,
    /// Whether a span is exported.
    pub kept: bool,
    /// What made a trigger, admitted or not.
    pub trigger: Option<&'static str>,
    /// `upgraded`, `shed`, or nothing where nothing triggered.
    pub verdict: Option<&'static str>,
    /// Headers that the answer gets or loses.
    pub response: Vec<Header>,
    /// The exported spans.
    pub spans: Vec<SpanShown>,
    /// All of it in order.
    pub steps: Vec<Step>,
}

impl<'p> Hop<'p> {
    /// The request phase. `remembered` is what this process knows of the trace already (an outbound listener asks).
    pub fn request(
        policy: &'p Policy,
        request: Request,
        remembered: Option<Verdict>,
        ids: &mut impl stream::Ids,
    ) -> Self {
        let rules = rules(policy);
        let rule = request.with_facts(|facts| policy.sampling.first_match(facts));
        let extracted = extract(&policy.propagators, &mut &request);
        let remembered = remembered.filter(|_| policy.upgrade.signal.accept);
        let (stream, outgoing) = Stream::begin(rules, rule, &extracted, Some(0), |_| remembered, ids);
        let ot = extracted.trace_state().ot();
        let randomness = ot.rv.map_or_else(|| Randomness::from_trace_id(stream.trace_id()), Randomness::from_rv);
        let decision = *stream.decision();
        let mut hop = Self {
            policy,
            told: Explanation {
                trace_id: text(&outgoing.context.trace_id.hex()),
                span_id: text(&outgoing.context.span_id.hex()),
                sampled: decision.sampled,
                reason: decision.reason.name(),
                rule: policy.sampling.rule(rule).map(|rule| rule.name.clone()),
                randomness: format!("{:014x}", randomness.bits()),
                threshold: decision.threshold.map(hex),
                outgoing: headers(policy, &extracted, &outgoing.context, outgoing.tracestate),
                kept: false,
                trigger: None,
                verdict: None,
                response: Vec::new(),
                spans: Vec::new(),
                steps: Vec::new(),
            },
            request,
            stream,
        };
        hop.say("context", context(policy, &extracted));
        hop.say("rule", matched(policy, rule));
        hop.say_randomness(ot.rv.is_some(), randomness);
        hop.say("decision", decided(policy, &hop.stream, randomness));
        let changes: Vec<_> = hop.told.outgoing.iter().map(shown).collect();
        hop.say("outgoing", format!("to the upstream: {}", changes.join("; ")));
        hop
    }

    /// What the head decided.
    pub fn is_sampled(&self) -> bool {
        self.stream.decision().sampled
    }

    /// The request as it goes on to the upstream.
    pub fn forwarded(&self) -> Request {
        let mut request = self.request.clone();
        for header in &self.told.outgoing {
            request.headers.retain(|(name, _)| *name != header.name);
            if let Some(value) = &header.value {
                request.headers.push((header.name.clone(), value.clone()));
            }
        }
        request
    }

    /// The answer and the end of the stream.
    pub fn answer(self, answer: &Answer) -> (Explanation, Option<Verdict>) {
        self.answer_among(answer, &Surroundings::default())
    }

    /// The same, with what only Envoy knows.
    pub fn answer_among(mut self, answer: &Answer, around: &Surroundings<'_>) -> (Explanation, Option<Verdict>) {
        let rules = rules(self.policy);
        let head = Head { status: answer.status, grpc_status: answer.grpc_status, end_of_stream: answer.complete };
        let heard = answer.told.or(answer.noted);
        let wants = self.policy.upgrade.signal.accept && self.stream.wants_verdict(rules, &head);
        let known = heard.filter(|_| wants);
        let mut upgrade = None;
        if answer.status.is_some() {
            upgrade = self.stream.response(rules, head, || answer.flags, known, |_| answer.admit);
        }
        let mut late = false;
        if upgrade.is_none() && self.stream.verdict().is_none() {
            let ended = answer.duration_ms.saturating_mul(1_000_000);
            let ending = self.stream.ending(answer.flags, answer.complete, Some(ended));
            upgrade = self.stream.end(rules, &ending, |_| answer.admit);
            late = upgrade.is_some();
        }
        self.say("answer", answered(answer, known));
        let triggered = match upgrade {
            Some(Upgrade::Upgraded(trigger)) => Some(trigger),
            _ => self.stream.keep().and_then(|keep| keep.trigger),
        };
        self.told.trigger = triggered.map(Trigger::name);
        self.told.verdict = self.stream.verdict().map(|verdict| match verdict {
            Verdict::Upgraded => "upgraded",
            Verdict::Shed => "shed",
        });
        self.say("upgrade", upgraded(self.policy, upgrade, triggered, known, &self.stream));
        self.signal(answer, late);
        let keep = self.stream.keep();
        if let Some(keep) = &keep {
            self.told.spans = span::spans(self.policy, keep, &self.request, answer, around);
        }
        self.told.kept = keep.is_some();
        self.say_spans();
        (self.told, self.stream.verdict())
    }

    fn signal(&mut self, answer: &Answer, late: bool) {
        let Some(verdict) = self.stream.verdict() else {
            if self.policy.edge && answer.told.is_some() {
                self.strip();
            }
            return;
        };
        if self.policy.edge {
            return self.strip();
        }
        if !self.policy.upgrade.signal.emit {
            return self.say("signal", "`upgrade.signal.emit` is false: the caller hears nothing".to_owned());
        }
        if late {
            return self.say("signal", "the trigger came after the answer's head: the caller is not told".to_owned());
        }
        let signal = self.stream.signal(verdict);
        self.told.response.push(Header { name: "traceresponse".to_owned(), value: Some(text(&signal.traceresponse)) });
        if answer.told.is_none() {
            let value = Some(text(&signal.server_timing));
            self.told.response.push(Header { name: "server-timing".to_owned(), value });
        }
        let what = if verdict == Verdict::Upgraded { "to keep its span, too" } else { "to shed this trace, too" };
        let headers: Vec<_> = self.told.response.iter().map(shown).collect();
        self.say("signal", format!("the caller is told {what}: {}", headers.join("; ")));
    }

    fn strip(&mut self) {
        let names = ["traceresponse", "server-timing"];
        self.told.response.extend(names.map(|name| Header { name: name.to_owned(), value: None }));
        self.say("signal", "`edge` is true: no signal leaves the mesh".to_owned());
    }

    fn say(&mut self, topic: &'static str, said: String) {
        self.told.steps.push(Step { topic, said });
    }

    fn say_randomness(&mut self, explicit: bool, randomness: Randomness) {
        let digits = format!("{:014x}", randomness.bits());
        let share = share(randomness.bits());
        let source = if explicit { "`rv` in tracestate" } else { "the last 14 digits of the trace-id" };
        self.say(
            "randomness",
            format!("R = {digits}, from {source}: the trace is kept by every ratio of {share} or more"),
        );
    }

    fn say_spans(&mut self) {
        if self.told.spans.is_empty() {
            return self.say("span", "nothing is exported, and nothing was read for it".to_owned());
        }
        let spans: Vec<_> = self
            .told
            .spans
            .iter()
            .map(|span| {
                let state = span.tracestate.as_deref().unwrap_or("none");
                format!(
                    "{} \"{}\", id {}, tracestate {state}, {} bytes",
                    span.kind, span.name, span.span_id, span.bytes
                )
            })
            .collect();
        self.say("span", format!("exported: {}", spans.join("; ")));
    }
}

fn rules(policy: &Policy) -> Rules<'_> {
    Rules { sampling: &policy.sampling, upgrade: &policy.upgrade, kind: policy.span_kind, edge: policy.edge }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(threshold: Threshold) -> String {
    format!("{:014x}", threshold.bits())
}

/// The smallest ratio that keeps this R, in percent.
fn share(bits: u64) -> String {
    let range = (1_u64 << 56) as f64;
    format!("{:.4} %", (range - bits as f64) / range * 100.0)
}

fn shown(header: &Header) -> String {
    match &header.value {
        Some(value) => format!("{}: {value}", header.name),
        None => format!("{} taken off", header.name),
    }
}

fn headers(policy: &Policy, extracted: &Extracted, context: &OutgoingContext, tracestate: HeaderEdit) -> Vec<Header> {
    let mut headers = Vec::new();
    inject(&policy.propagators, context, tracestate, extracted, &mut |name, edit| match edit {
        HeaderEdit::Keep => {}
        HeaderEdit::Replace(value) => headers.push(Header { name: name.to_owned(), value: Some(text(&value)) }),
        HeaderEdit::Remove => headers.push(Header { name: name.to_owned(), value: None }),
    });
    headers
}

fn context(policy: &Policy, extracted: &Extracted) -> String {
    let mut said = match (&extracted.parent, extracted.from) {
        (Some(parent), Some(from)) => {
            let flag = match parent.decision {
                CallerDecision::Sampled => "says sampled",
                CallerDecision::NotSampled => "says not sampled",
                CallerDecision::Deferred => "left the decision to us",
            };
            format!("{} is valid: the trace {} goes on, its caller {flag}", from.name(), text(&parent.trace_id.hex()))
        }
        _ if extracted.traceparent_invalid => "traceparent is none that W3C allows: a new trace begins".to_owned(),
        _ => "no trace context came with the request: a new trace begins".to_owned(),
    };
    if extracted.tracestate.is_some() && !extracted.tracestate_valid {
        said.push_str("; its tracestate keeps to no grammar and is discarded");
    }
    if policy.edge && extracted.parent.is_some() {
        said.push_str("; `edge` is true, so its word on sampling is not believed");
    }
    said
}

fn matched(policy: &Policy, rule: Option<u16>) -> String {
    let rules = policy.sampling.rules.len();
    match (policy.sampling.rule(rule), rule) {
        (Some(found), Some(index)) => format!("\"{}\" (sampling.rules[{index}]) is the first that matches", found.name),
        _ if rules == 0 => "there are no rules".to_owned(),
        _ => format!("no rule matches, of {rules}"),
    }
}

fn decided(policy: &Policy, stream: &Stream, randomness: Randomness) -> String {
    let decision = stream.decision();
    let name = if decision.sampled { "sampled" } else { "dropped" };
    let why = match decision.reason {
        Reason::Parent if decision.inconsistent => {
            "the caller's flag decides; its `th` contradicts R, so it is erased".to_owned()
        }
        Reason::Parent => "the caller's flag decides (`mode` is parent_based)".to_owned(),
        Reason::Upgraded => {
            "a failure had upgraded this trace in this Envoy before: later calls go on sampled".to_owned()
        }
        Reason::Rule { index } => {
            let rule = policy.sampling.rules.get(usize::from(index));
            let sampler = rule.and_then(|rule| rule.sampler).unwrap_or(policy.sampling.fallback);
            let name = rule.map_or("", |rule| &rule.name);
            format!("the ratio of rule \"{name}\" decides{}", comparison(sampler, decision, randomness))
        }
        Reason::Ratio => {
            format!("`sampling.ratio` decides{}", comparison(policy.sampling.fallback, decision, randomness))
        }
    };
    format!("{name}: {why}")
}

fn comparison(sampler: Sampler, decision: &Decision, randomness: Randomness) -> String {
    let share = format!(": it keeps {:.4} % of all traces", sampler.share() * 100.0);
    match decision.threshold {
        Some(threshold) => {
            format!("{share}, T = {}, and R = {:014x} is not below it", hex(threshold), randomness.bits())
        }
        None if decision.sampled => format!("{share}, and this one is among them"),
        None => format!("{share}, and this one is not among them"),
    }
}

fn answered(answer: &Answer, known: Option<Verdict>) -> String {
    let status = answer.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    let mut said = format!("{status} after {} ms", answer.duration_ms);
    if let Some(grpc) = answer.grpc_status {
        said.push_str(&format!(", gRPC {}", grpc.name()));
    }
    if !answer.flags.is_empty() {
        said.push_str(&format!(", response flags {}", answer.flags.names().collect::<Vec<_>>().join(",")));
    }
    if !answer.complete {
        said.push_str(", not whole");
    }
    let who = if answer.told.is_some() { "the upstream" } else { "another listener of this Envoy" };
    match known {
        Some(Verdict::Upgraded) => said.push_str(&format!("; {who} says that it keeps this trace")),
        Some(Verdict::Shed) => said.push_str(&format!("; {who} says that it shed this trace")),
        None => {}
    }
    said
}

fn upgraded(
    policy: &Policy,
    upgrade: Option<Upgrade>,
    trigger: Option<Trigger>,
    known: Option<Verdict>,
    stream: &Stream,
) -> String {
    let name = trigger.map_or("", Trigger::name);
    match (upgrade, known) {
        (Some(Upgrade::Upgraded(_)), Some(_)) => {
            format!("upgraded ({name}): the verdict came with the answer, nothing is charged here")
        }
        (Some(Upgrade::Upgraded(_)), None) => format!("upgraded ({name}): the budget had room"),
        (Some(Upgrade::Shed), Some(_)) => {
            "shed: whoever saw the failure first had shed it, so it stays dropped".to_owned()
        }
        (Some(Upgrade::Shed), None) => {
            "shed: the budget (`upgrade.traces_per_second`) was spent, so it stays dropped".to_owned()
        }
        (Some(Upgrade::AlreadySampled), _) if stream.verdict() == Some(Verdict::Upgraded) => {
            format!("triggered ({name}): the head had sampled it; the span counts for itself (th:0)")
        }
        (Some(Upgrade::AlreadySampled), _) => {
            "triggered, and the budget was spent: it stays what the head had sampled".to_owned()
        }
        (None, _) if stream.keep().is_none() && !stream_may_upgrade(policy, stream) => {
            "no: its rule switches upgrades off".to_owned()
        }
        (None, _) => "no: nothing in the answer triggers".to_owned(),
    }
}

/// Whether the rule of this stream lets a failure upgrade it.
fn stream_may_upgrade(policy: &Policy, stream: &Stream) -> bool {
    policy.sampling.rule(stream.rule()).is_none_or(|rule| rule.upgrade)
}
