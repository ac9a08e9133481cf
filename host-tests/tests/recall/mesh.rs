//! Pods that reach each other: each an Envoy of two workers with an inbound and an outbound listener, or none at all. Calls
//! of applications run at once; recall requests take two milliseconds, unless the network loses them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tracelift_host::otlp::{ExportedSpan, SpanKind};
use tracelift_host::{Answer, Callout, Envoy, Finished, Headers, Request, RequestSpec, Response, otlp, testing};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const TOKEN: &str = "0123456789abcdef";
pub const RECALL: &str = "tracelift_recall";
const STEP: Duration = Duration::from_millis(10);

/// Samples nothing by itself and recalls.
pub fn recalling() -> Value {
    json!({"sampling": {"ratio": 0}, "upgrade": {"recall": {"enabled": true, "token": TOKEN}}})
}

/// The same with other recall settings.
pub fn recalling_with(settings: Value) -> Value {
    let mut configuration = recalling();
    for (key, value) in settings.as_object().expect("settings") {
        configuration["upgrade"]["recall"][key] = value.clone();
    }
    configuration
}

/// What becomes of a recall request on its way.
pub type Network = Box<dyn FnMut(&Callout) -> bool>;

pub struct Mesh {
    pods: BTreeMap<&'static str, Option<Envoy>>,
    network: Network,
    turn: usize,
    /// Recall requests that arrived, as caller's cluster saw them: where to, and how many trace-ids.
    pub asked: Vec<(String, usize)>,
}

impl Mesh {
    /// Pods with these names and configurations; `Value::Null` is a pod without the filter.
    pub fn new(pods: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let started = |(name, configuration): (&'static str, Value)| {
            (name, (!configuration.is_null()).then(|| start(name, configuration)))
        };
        let pods = pods.into_iter().map(started).collect();
        Self { pods, network: Box::new(|_| true), turn: 0, asked: Vec::new() }
    }

    /// The same configuration for all of them.
    pub fn of(names: impl IntoIterator<Item = &'static str>, configuration: &Value) -> Self {
        Self::new(names.into_iter().map(|name| (name, configuration.clone())))
    }

    /// From now on only those recall requests arrive for which `network` says so.
    pub fn network(&mut self, network: impl FnMut(&Callout) -> bool + 'static) {
        self.network = Box::new(network);
    }

    pub fn envoy(&mut self, name: &str) -> &mut Envoy {
        self.pods.get_mut(name).and_then(Option::as_mut).unwrap_or_else(|| panic!("{name} has no filter"))
    }

    fn address(&self, name: &str) -> String {
        let number = self.pods.keys().position(|known| *known == name).unwrap_or_else(|| panic!("no pod {name}"));
        format!("10.0.0.{}:8080", number + 1)
    }

    /// A worker, each in turn: the two sides of a request are mostly in different VMs.
    fn worker(&mut self) -> usize {
        self.turn += 1;
        self.turn % 2
    }

    /// Opens the inbound side of a call at `to`.
    pub fn called(&mut self, to: &str, context: &Headers) -> Request {
        let worker = self.worker();
        self.envoy(to).open(RequestSpec::new("inbound", testing::request_in(context)).worker(worker))
    }

    /// Opens the outbound side of a call from one pod to another.
    pub fn calls(&mut self, from: &str, to: &str, context: &Headers) -> Request {
        let (worker, address) = (self.worker(), self.address(to));
        let spec = RequestSpec::new("outbound", testing::request_in(context)).worker(worker);
        self.envoy(from).open(spec.property("upstream.address", address))
    }

    /// A whole request at `to`, whose application does what `serve` does and answers with its status.
    pub fn serve(
        &mut self,
        to: &str,
        context: &Headers,
        serve: &mut dyn FnMut(&mut Self, &Headers) -> u16,
    ) -> Finished {
        let inbound = self.called(to, context);
        let context = inbound.forwarded_headers(self.envoy(to));
        let status = serve(self, &context);
        inbound.respond(self.envoy(to), status)
    }

    /// A whole call from one pod to another: the status that the caller got.
    pub fn call(
        &mut self,
        from: &str,
        to: &str,
        context: &Headers,
        serve: &mut dyn FnMut(&mut Self, &Headers) -> u16,
    ) -> u16 {
        let outbound = self.calls(from, to, context);
        let sent = outbound.forwarded_headers(self.envoy(from));
        let answer = match self.pods[to].is_some() {
            true => testing::passed_on(&self.serve(to, &sent, serve)),
            false => Response::status(serve(self, &sent)),
        };
        outbound.respond(self.envoy(from), answer).status.expect("an answer")
    }

    /// A call to an application that calls nobody and answers with this status.
    pub fn simple_call(&mut self, from: &str, to: &str, context: &Headers, status: u16) -> u16 {
        self.call(from, to, context, &mut |_, _| status)
    }

    /// Moves time on in every pod, and recall requests between them.
    pub fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            let names: Vec<_> = self.pods.iter().filter(|(_, envoy)| envoy.is_some()).map(|(name, _)| *name).collect();
            for name in names {
                self.envoy(name).advance(STEP);
                for call in self.envoy(name).take_calls(RECALL) {
                    if (self.network)(&call) {
                        let answer = self.arrive(&call);
                        self.envoy(name).answer_after(call.id, Duration::from_millis(2), answer);
                    }
                }
            }
        }
    }

    fn arrive(&mut self, call: &Callout) -> Answer {
        // Whoever stands there: none of them may read the secret, or have reason to answer with a body.
        assert!(call.headers.iter().all(|(_, value)| !value.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())));
        assert_eq!(call.headers.text(":method"), Some("HEAD"));
        let destination = call.headers.text("x-envoy-original-dst-host").expect("a destination").to_owned();
        let ids = call.headers.text("x-tracelift-recall").expect("trace-ids").split(',').count();
        let name = self.pods.keys().copied().find(|name| self.address(name) == destination);
        let Some(name) = name else { return Answer::connection_failure() };
        self.asked.push((name.to_owned(), ids));
        let worker = self.worker();
        match self.pods.get_mut(name).and_then(Option::as_mut) {
            Some(envoy) => {
                let request = RequestSpec::new("inbound", call.headers.clone()).worker(worker);
                let request = request.property("destination.address", destination);
                envoy.receive(request, Response::status(404).body("no such page"))
            }
            None => Answer::status(404),
        }
    }

    /// All spans of all pods after the longest hold time, exported and accounted for; nothing trapped.
    pub fn spans(&mut self) -> Vec<ExportedSpan> {
        self.spans_of(TRACE)
    }

    pub fn spans_of(&mut self, trace: &str) -> Vec<ExportedSpan> {
        self.run(Duration::from_secs(8));
        let mut spans = Vec::new();
        for envoy in self.pods.values_mut().flatten() {
            let balance = envoy.assert_conservation();
            assert_eq!((balance.queued, balance.in_flight), (0, 0), "{balance}");
            assert!(envoy.traps().is_empty(), "{:?}", envoy.traps());
            assert_eq!(envoy.gauge("tracelift.recall.spans"), 0, "nothing is held for ever");
            assert_eq!(envoy.gauge("tracelift.recall.bytes"), 0);
            spans.extend(envoy.exports().accepted().trace(trace));
        }
        spans
    }

    /// A counter, summed over all pods.
    pub fn counter(&self, name: &str) -> u64 {
        self.pods.values().flatten().map(|envoy| envoy.counter(&format!("tracelift.{name}"))).sum()
    }
}

/// Every span as `service kind trigger`, sorted.
pub fn told(spans: &[ExportedSpan]) -> Vec<String> {
    let one = |span: &ExportedSpan| {
        let kind = if span.kind() == SpanKind::Server { "server" } else { "client" };
        format!("{} {kind} {}", service(span), text(span.attribute("tracelift.upgrade.trigger")))
    };
    let mut all: Vec<_> = spans.iter().map(one).collect();
    all.sort();
    all
}

/// The pod that exported it.
pub fn service(span: &ExportedSpan) -> String {
    text(span.resource_attribute("service.name"))
}

fn text(value: otlp::Value) -> String {
    match value {
        otlp::Value::Text(text) => text,
        other => format!("{other:?}"),
    }
}

/// What a span says of its calls: made, answered, outside, lost.
pub fn calls(span: &ExportedSpan) -> [i64; 4] {
    ["made", "answered", "outside", "lost"].map(|name| match span.attribute(&format!("tracelift.calls.{name}")) {
        otlp::Value::Int(count) => count,
        other => panic!("{} has calls.{name} {other:?}", service(span)),
    })
}

/// Each span but one hangs below another of them.
pub fn assert_one_tree(spans: &[ExportedSpan]) {
    let ids: Vec<String> = spans.iter().map(ExportedSpan::span_id).collect();
    let roots = spans.iter().filter(|span| !ids.contains(&span.parent_span_id())).count();
    assert_eq!(roots, 1, "{:?}", told(spans));
}

fn start(name: &str, configuration: Value) -> Envoy {
    let builder = testing::pod(name, configuration).cluster(RECALL);
    builder.start().unwrap_or_else(|refused| panic!("{refused}"))
}

/// What a client outside sends: a trace that it does not record.
pub fn unsampled() -> Headers {
    testing::unsampled(TRACE)
}
