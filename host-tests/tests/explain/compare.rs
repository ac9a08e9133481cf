//! One request, given to the module and to `explain`, and what each of them says.

use std::time::Duration;

use tracelift::span::ListenerDirection;
use tracelift::trace_context::extract;
use tracelift::{http::GrpcStatus, http::ResponseFlags, policy::Policy};
use tracelift_host::otlp::SpanKind;
use tracelift_host::{Envoy, Headers, RequestSpec, testing};
use tracelift_tools::explain::{Answer, Hop, Ids, Pod, Request, SpanShown, Surroundings};
use tracelift_tools::manifest;

use crate::case::Case;

/// What can be seen of one hop.
#[derive(Debug, PartialEq)]
pub struct Seen {
    /// The counter of the decision.
    pub decision: String,
    /// The request as the upstream gets it, without pseudo-headers.
    pub forwarded: Vec<(String, String)>,
    /// The headers of the answer as the client gets them, without pseudo-headers.
    pub answered: Vec<(String, String)>,
    /// What an access log shows.
    pub note: Option<String>,
    /// What was exported.
    pub spans: Vec<SpanShown>,
}

/// The module, then `explain` with the ids that the module made.
pub fn both(case: &Case) -> (Seen, Seen) {
    let report = manifest::check(&case.configuration.to_string());
    let findings = format!("{:?}", report.findings);
    let (_, policy) = report.policies().next().unwrap_or_else(|| panic!("{}: {findings}", case.configuration));
    let request = Request {
        method: case.method.to_owned(),
        path: case.path.to_owned(),
        host: "cart.example".to_owned(),
        headers: case.headers.clone(),
    };
    let (module, answer_headers, server) = of_module(case, &policy, &request);
    let ids = ids(&policy, &request, &module, server);
    (module, explained(case, &policy, request, ids, answer_headers))
}

fn ordinary(headers: &Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ordinary = headers.iter().filter(|(name, _)| !name.starts_with(b":"));
    ordinary.map(|(name, value)| (text(name), text(value))).collect()
}

/// What the upstream answers, besides its status.
fn answer_headers(case: &Case, trace_id: &str) -> Vec<(String, String)> {
    let mut headers = case.journey.headers.clone();
    if let Some((sampled, announced)) = case.journey.told {
        let context = format!("00-{trace_id}-00f067aa0ba902b7-0{}", u8::from(sampled));
        if announced {
            headers.push(("server-timing".to_owned(), format!("trace;desc={context}")));
        }
        headers.push(("traceresponse".to_owned(), context));
    }
    if let Some(word) = case.journey.marked {
        headers.push(("x-tracelift-signal".to_owned(), format!("2;{word};{trace_id}")));
    }
    headers
}

/// What the module did; the headers of the upstream's answer; the id of the SERVER span, where it can be seen.
fn of_module(case: &Case, policy: &Policy, request: &Request) -> (Seen, Vec<(String, String)>, Option<u64>) {
    let configuration = case.configuration.to_string();
    let builder = Envoy::builder(testing::module()).inbound(&configuration).outbound(&configuration).seed(case.seed);
    let collector = &policy.export.cluster;
    let started = builder.collector(collector, Duration::from_millis(20)).start();
    let mut envoy = started.unwrap_or_else(|refused| panic!("{refused}"));
    let sent: Headers = request.list().iter().collect();
    let open = envoy.open(RequestSpec::new(if case.outbound { "outbound" } else { "inbound" }, sent));
    let forwarded = request_of(request, &open.forwarded_headers(&envoy));
    let parent = extract(&policy.propagators, &mut &forwarded).parent.expect("a context went upstream");
    let trace_id = String::from_utf8_lossy(&parent.trace_id.hex()).into_owned();
    let journey = &case.journey;
    let answer = answer_headers(case, &trace_id);
    envoy.advance(Duration::from_millis(journey.duration_ms));
    open.set_property(&mut envoy, "response.flags", journey.flags.cast_signed());
    if let Some(status) = journey.status {
        let mut headers = Headers::from([(":status", status.to_string())]);
        if let Some(status) = journey.grpc_status {
            headers.add("grpc-status", status.to_string());
            if !answer.iter().any(|(name, _)| *name == "content-type") {
                headers.add("content-type", "application/grpc");
            }
        }
        for (name, value) in &answer {
            headers.add(name, value);
        }
        open.response_headers(&mut envoy, headers, journey.complete);
    }
    let finished = open.end(&mut envoy);
    envoy.advance(Duration::from_secs(10)); // A call without a known parent waits for five.
    envoy.tick_all();
    let spans = envoy.exports().accepted().spans();
    let server = spans.iter().find(|span| span.kind() == SpanKind::Server).map(|span| span.span_id());
    let told = || finished.response_headers.text("traceresponse")?.split('-').nth(2).map(str::to_owned);
    let decided = envoy.metrics().counters_under("tracelift.decisions.").into_iter();
    let is_decision = |name: &&str| !name.ends_with(".inconsistent");
    let decided: Vec<_> = decided.filter(|(_, count)| *count != 0).map(|(name, _)| name).filter(is_decision).collect();
    let seen = Seen {
        decision: decided.join(" and "),
        forwarded: ordinary(&finished.request_headers),
        answered: ordinary(&finished.response_headers),
        note: finished.filter_state("tracelift.decision").map(|note| String::from_utf8_lossy(note).into_owned()),
        spans: spans.iter().map(|span| SpanShown::from(&span.span)).collect(),
    };
    envoy.assert_conservation();
    assert!(envoy.traps().is_empty(), "{:?}", envoy.traps());
    let server = server.or_else(told).and_then(|id| u64::from_str_radix(&id, 16).ok());
    (seen, answer, server)
}

fn request_of(request: &Request, headers: &Headers) -> Request {
    Request { headers: ordinary(headers), ..request.clone() }
}

/// The ids that the module drew: of a trace that begins, of the span whose id went upstream, and of the SERVER span beside it.
fn ids(policy: &Policy, request: &Request, module: &Seen, server: Option<u64>) -> Ids {
    let sent = Request { headers: module.forwarded.clone(), ..request.clone() };
    let sent = extract(&policy.propagators, &mut &sent);
    let forwarded = sent.parent.expect("a context went upstream");
    let begins =
        extract(&policy.propagators, &mut &*request).parent.is_none() || policy.edge && policy.restarts_traces();
    let ids = if begins { Ids::of_trace(forwarded.trace_id, 1) } else { Ids::new(1) };
    let span = forwarded.parent_id.map(|id| id.get()).expect("our span");
    let rv = sent.trace_state().ot().rv.filter(|_| policy.edge && !begins);
    // R is the upper part of what was drawn.
    let ids = rv.into_iter().fold(ids, |ids, rv| ids.then(&[rv << 8]));
    ids.then(&[span, server.unwrap_or(1)])
}

fn explained(case: &Case, policy: &Policy, request: Request, ids: Ids, headers: Vec<(String, String)>) -> Seen {
    let journey = &case.journey;
    let hop = Hop::request(policy, request, &Pod::new(ids));
    let forwarded = hop.forwarded().headers;
    let answer = Answer {
        status: journey.status,
        grpc_status: journey.grpc_status.and_then(GrpcStatus::from_code),
        flags: ResponseFlags::from_bits(journey.flags),
        complete: journey.complete,
        duration_ms: journey.duration_ms,
        headers,
        ..Answer::default()
    };
    let some = |text: &str| Some(text.to_owned());
    let around = Surroundings {
        direction: if case.outbound { ListenerDirection::Outbound } else { ListenerDirection::Inbound },
        source: some("10.0.0.9:41234"),
        destination: some("10.0.0.1:8080"),
        upstream: some("10.0.0.2:8080"),
        route: some("default"),
        cluster: some("backend"),
        ..Surroundings::default()
    };
    let ended = hop.answer_among(&answer, around);
    let told = ended.explanation;
    let decided = if told.sampled || told.reason == "upgraded" { "sampled" } else { "dropped" };
    Seen {
        decision: format!("tracelift.decisions.{decided}.{}", told.reason),
        forwarded,
        answered: ended.headers,
        note: told.kept.then(|| told.trigger.map_or("sampled".to_owned(), |trigger| format!("upgraded.{trigger}"))),
        spans: told.spans,
    }
}
