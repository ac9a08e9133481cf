//! One hop: the request phase, the answer, and what is kept.

use serde::Serialize;

use super::{Answer, Request, SpanShown, Surroundings, span, words};
use tracelift::policy::Policy;
use tracelift::policy::Rules;
use tracelift::sampling::Randomness;
use tracelift::span::KindSetting;
use tracelift::stream::{Head, Stream, Upgrade};
use tracelift::trace_context::{Extracted, HeaderEdit, OutgoingContext, extract, inject};
use tracelift::upgrade::{Trigger, Verdict};

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
        ids: &mut impl tracelift::trace_context::Ids,
    ) -> Self {
        let rules = rules(policy);
        let rule = request.with_facts(|facts| policy.sampling.first_match(facts));
        let extracted = extract(&policy.propagators, &mut &request);
        let remembered = remembered.filter(|_| policy.upgrade.signal.accept);
        let (stream, outgoing) = Stream::begin(rules, rule, &extracted, Some(0), |_| None, |_| remembered, ids);
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
                threshold: decision.threshold.map(words::hex),
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
        hop.say("context", words::context(policy, &extracted));
        hop.say("rule", words::matched(policy, rule));
        hop.say_randomness(ot.rv.is_some(), randomness);
        hop.say("decision", words::decided(policy, &hop.stream, randomness));
        let came = |header: &&Header| header.value.is_some() || hop.request.header(&header.name).is_some();
        let changes: Vec<_> = hop.told.outgoing.iter().filter(came).map(words::shown).collect();
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
        self.say("answer", words::answered(answer, known));
        let triggered = match upgrade {
            Some(Upgrade::Upgraded(trigger)) => Some(trigger),
            _ => self.stream.keep().and_then(|keep| keep.trigger),
        };
        self.told.trigger = triggered.map(Trigger::name);
        self.told.verdict = self.stream.verdict().map(|verdict| match verdict {
            Verdict::Upgraded => "upgraded",
            Verdict::Shed => "shed",
        });
        self.say("upgrade", words::upgraded(self.policy, upgrade, triggered, known, &self.stream));
        self.signal(answer, late);
        if let Some(value) = self.stream.xray_answer() {
            let header = Header { name: "x-amzn-trace-id".to_owned(), value: Some(text(&value)) };
            self.say("signal", format!("the caller asked by `Sampled=?` and hears {}", words::shown(&header)));
            self.told.response.push(header);
        }
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
            let emits = self.policy.upgrade.signal.emit && self.policy.span_kind != KindSetting::Client;
            if emits && !self.policy.edge && answer.status.is_some() && self.stream.owes_context() {
                let value = Some(text(&self.stream.signal(Verdict::Upgraded).traceresponse));
                let header = Header { name: "traceresponse".to_owned(), value };
                let said =
                    format!("the caller sampled it and hears that this hop keeps its part: {}", words::shown(&header));
                self.told.response.push(header);
                self.say("signal", said);
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
        let headers: Vec<_> = self.told.response.iter().map(words::shown).collect();
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
        let share = words::share(randomness.bits());
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

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn headers(policy: &Policy, extracted: &Extracted, context: &OutgoingContext, tracestate: HeaderEdit) -> Vec<Header> {
    let mut headers = Vec::new();
    inject(&policy.propagators, context, tracestate, extracted, &mut |name, value| {
        headers.push(Header { name: name.to_owned(), value: value.map(text) });
    });
    headers
}
