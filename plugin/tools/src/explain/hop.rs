//! One hop: a request, its answer, and the record of both in words.

use serde::Serialize;

use super::facts::Facts;
use super::request::ordinary;
use super::{Answer, Header, Pod, Request, SpanShown, Surroundings, kept, words};
use crate::recorder::{HeaderList, Proxy, Recording, Reply, Write};
use tracelift::door::{Host, Side};
use tracelift::policy::Policy;
use tracelift::shared::{Coverage, SharedBudget};
use tracelift::trace_context::{SpanId, extract};
use tracelift::upgrade::Verdict;
use tracelift::upgrade::signal::{SERVER_TIMING, SIGNAL, Signal, TRACERESPONSE};

/// One thing that happened, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `context`, `rule`, `randomness`, `force`, `rate`, `decision`, `outgoing`, `answer`, `upgrade`, `signal`, `span`, `coverage`, `slow` or `metrics`.
    pub topic: &'static str,
    /// In words.
    pub said: String,
}

/// A hop that has seen its request.
pub struct Hop<'p> {
    policy: &'p Policy,
    request: Request,
    proxy: Proxy,
    recording: Recording,
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
    /// Who decided: `parent`, `rule`, `ratio`, `adaptive`, `xray`, `forced` or `upgraded`.
    pub reason: &'static str,
    /// The first rule that matched.
    pub rule: Option<String>,
    /// R, 14 hexadecimal digits.
    pub randomness: String,
    /// T of what was sampled, where it went upstream.
    pub threshold: Option<String>,
    /// The headers of the trace context as they leave for the upstream.
    pub outgoing: Vec<Header>,
    /// Whether a span is exported.
    pub kept: bool,
    /// What made a trigger that was admitted.
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

/// A hop that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What happened.
    pub explanation: Explanation,
    /// The headers of its answer as the caller gets them, without pseudo-headers.
    pub headers: Vec<(String, String)>,
}

impl<'p> Hop<'p> {
    /// A request arrives at a listener of this pod.
    pub fn request(policy: &'p Policy, request: Request, pod: &Pod) -> Self {
        let mut proxy = pod.listener(policy);
        let recording = proxy.request(request.list());
        Self { policy, request, proxy, recording }
    }

    /// The request as it goes on to the upstream.
    pub fn forwarded(&self) -> Request {
        self.request.with_headers(&self.recording.headers(Side::Request))
    }

    /// The answer and the end of the request.
    pub fn answer(self, answer: &Answer) -> Explained {
        self.answer_among(answer, Surroundings::default())
    }

    /// The same, with what only Envoy knows.
    pub fn answer_among(mut self, answer: &Answer, around: Surroundings) -> Explained {
        self.recording.surroundings = around;
        self.recording.flags = answer.flags;
        self.proxy.host().advance(answer.duration_ms.saturating_mul(1_000_000));
        if !answer.admit {
            self.spend_budget();
        }
        if let Some(status) = answer.status {
            let headers = self.answer_headers(status, answer);
            self.proxy.respond(&mut self.recording, Reply { headers, trailers: None, whole: answer.complete });
        }
        self.proxy.end(&self.recording);
        let series = self.proxy.counted().next().map(kept::series);
        self.proxy.flush();
        let headers = ordinary(&self.recording.headers(Side::Response));
        Explained { explanation: self.explain(answer, series), headers }
    }

    /// What the upstream answers. A status of gRPC is in the head, as servers send it that fail at once.
    fn answer_headers(&self, status: u16, answer: &Answer) -> HeaderList {
        let mut headers = HeaderList::from_iter([(":status", status.to_string())]);
        if let Some(grpc_status) = answer.grpc_status {
            headers.add("grpc-status", grpc_status.code().to_string().as_bytes());
            if !answer.headers.iter().any(|(name, _)| name == "content-type") {
                headers.add("content-type", b"application/grpc");
            }
        }
        for (name, value) in &answer.headers {
            headers.add(name, value.as_bytes());
        }
        let parent = extract(&self.policy.propagators, &mut &self.forwarded()).parent;
        if let (Some(verdict), Some(parent)) = (answer.told, parent) {
            let signal = Signal::new(parent.trace_id, SpanId::MIN, parent.random, verdict.into());
            headers.add(SIGNAL, &signal.mark);
            headers.add(TRACERESPONSE, &signal.traceresponse);
            headers.add(SERVER_TIMING, &signal.server_timing);
        }
        headers
    }

    /// As if failures had used it up a moment ago: charged as often as it has room.
    fn spend_budget(&self) {
        let (host, upgrade) = (self.proxy.host(), &self.policy.upgrade);
        let coverage = upgrade.coverage.as_ref().map(|coverage| (&coverage.budget, Coverage::BUDGET));
        for (budget, what) in [(&upgrade.budget, "")].into_iter().chain(coverage) {
            let mut arrival = 0;
            while let Some(next) = budget.charge(arrival, host.now()) {
                arrival = next;
            }
            let key = [SharedBudget::PREFIX, self.proxy.plugin(), what].concat();
            host.shared_values().swap(key.as_bytes(), &arrival.to_le_bytes(), 0);
        }
    }

    fn explain(mut self, answer: &Answer, series: Option<String>) -> Explanation {
        let forwarded = self.forwarded();
        let facts = Facts::read(self.policy, &self.request, &forwarded, &self.proxy, &self.recording);
        let spans: Vec<_> = self.proxy.take_spans().iter().map(SpanShown::from).collect();
        let sent = facts.sent.parent.as_ref();
        let shown = |write: &Write| Header { name: write.name.clone(), value: write.value.as_deref().map(text) };
        let mut told = Explanation {
            trace_id: sent.map(|sent| text(&sent.trace_id.hex())).unwrap_or_default(),
            span_id: sent.and_then(|sent| sent.parent_id).map(|id| text(&id.hex())).unwrap_or_default(),
            sampled: facts.sampled,
            reason: facts.reason,
            rule: self.policy.sampling.rule(facts.rule).map(|rule| rule.name.clone()),
            randomness: format!("{:014x}", facts.randomness.0.bits()),
            threshold: facts.threshold.map(words::hex),
            outgoing: facts.writes.iter().filter(|write| write.side == Side::Request).map(shown).collect(),
            kept: !spans.is_empty(),
            trigger: facts.trigger,
            verdict: facts.verdict.map(|verdict| match verdict {
                Verdict::Upgraded => "upgraded",
                Verdict::Shed => "shed",
            }),
            response: facts.answered().map(shown).collect(),
            spans,
            steps: Vec::new(),
        };
        told.steps = self.steps(&facts, &told, answer, series);
        told
    }

    fn steps(&self, facts: &Facts, told: &Explanation, answer: &Answer, series: Option<String>) -> Vec<Step> {
        let policy = self.policy;
        let came = |header: &&Header| header.value.is_some() || self.request.header(&header.name).is_some();
        let changes: Vec<_> = told.outgoing.iter().filter(came).map(words::shown).collect();
        let mut steps = vec![
            ("context", words::context(policy, &facts.came)),
            ("rule", words::matched(policy, facts.rule)),
            ("randomness", words::randomness(policy, &self.request, facts.randomness)),
        ];
        steps.extend(words::forced(policy, facts).map(|said| ("force", said)));
        steps.extend([
            ("decision", words::decided(policy, facts)),
            ("outgoing", format!("to the upstream: {}", changes.join("; "))),
            ("answer", words::answered(answer, facts)),
            ("upgrade", words::upgraded(policy, facts)),
        ]);
        steps.extend(words::signals(policy, facts, &told.response).into_iter().map(|said| ("signal", said)));
        steps.push(("span", words::spans(&told.spans)));
        let route = || kept::route(policy, &self.request, answer);
        steps.extend(kept::covered(policy, facts, answer, route).map(|said| ("coverage", said)));
        steps.extend(kept::slow(policy, facts, route).map(|said| ("slow", said)));
        steps.extend(kept::counted(policy, facts, series, route).map(|said| ("metrics", said)));
        steps.into_iter().map(|(topic, said)| Step { topic, said }).collect()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
