//! X-Amzn-Trace-Id in real Envoys: a load balancer in front of a gateway, a sidecar behind it, and X-Ray's old SDKs around.

use crate::mesh::{Pod, SOON, settings, settle, shipped, start};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{self, Client as CLIENT, Server as SERVER};
use serde_json::{Value, json};
use tracelift_envoy::upstream::Arrival;
use tracelift_envoy::{Client, Collector, ReceivedSpan, Request, Shipped, Upstream};

/// As an ALB begins a trace, and the same id as W3C writes it.
const ROOT: &str = "Root=1-6b008a20-1a2b3c4d5e6f708192a3b4c5";
const TRACE: &str = "6b008a201a2b3c4d5e6f708192a3b4c5";
const LINEAGE: &str = "Lineage=32767:e65a2c4d:255";

fn both(json: &mut Value, ratio: f64) {
    json["propagators"] = json!(["tracecontext", "xray"]);
    json["sampling"] = json!({ "ratio": ratio });
}

fn find(spans: &[ReceivedSpan], service: &str, kind: SpanKind) -> ReceivedSpan {
    let found: Vec<_> = spans.iter().filter(|span| span.service_name() == service && span.kind() == kind).collect();
    assert_eq!(found.len(), 1, "{kind:?} of {service}");
    found[0].clone()
}

/// The header that goes with that `traceparent`, whose flag must be the same.
fn twin(arrival: &Arrival) -> String {
    let context = arrival.text("traceparent");
    let flag = if context.ends_with("-01") || context.ends_with("-03") { "1" } else { "0" };
    format!("Root=1-{}-{};Parent={};Sampled={flag}", &context[3..11], &context[11..35], &context[36..52])
}

#[tokio::test]
async fn a_trace_that_a_load_balancer_began_is_one_trace_through_gateway_and_sidecar_to_an_old_sdk() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut sidecar = shipped(Shipped::Sidecar, &collector);
    sidecar.endpoints("application", &[upstream.address()]).unwrap();
    settings(&mut sidecar, |json| both(json, 0.0));
    let sidecar = start(&sidecar).await;
    let mut gateway = shipped(Shipped::Gateway, &collector);
    gateway.endpoints("frontend", &[sidecar.address("inbound").unwrap()]).unwrap();
    settings(&mut gateway, |json| both(json, 0.0));
    let gateway = start(&gateway).await;

    let (client, edge) = (Client::new(), gateway.address("edge").unwrap());
    let header = format!("Self=1-67891233-12456789abcdef012345678a;{ROOT};{LINEAGE}");
    for (path, status) in [("/cart", 200), ("/status/500", 500)] {
        let reply = client.send(Request::get(edge, path).header("X-Amzn-Trace-Id", &header)).await.unwrap();
        assert_eq!((reply.status, reply.header("x-amzn-trace-id")), (status, None), "nobody asked");
        let arrival = upstream.last().unwrap();
        assert_eq!(arrival.text("x-amzn-trace-id"), format!("{};{LINEAGE}", twin(&arrival)));
        assert_eq!(&arrival.text("traceparent")[3..35], TRACE);
    }
    let spans = collector.wait_for_spans(3, SOON).await.unwrap();
    assert!(spans.iter().all(|span| span.trace_id() == TRACE));
    let (edge, onward, cart) =
        (find(&spans, "gateway", SERVER), find(&spans, "gateway", CLIENT), find(&spans, "cart", SERVER));
    let parents = [&edge, &onward, &cart].map(ReceivedSpan::parent_span_id);
    assert_eq!(parents, [String::new(), edge.span_id(), onward.span_id()], "the load balancer has no span");
    assert_eq!(&upstream.last().unwrap().text("traceparent")[36..52], cart.span_id());
    settle(&[&gateway, &sidecar], &collector, 3, 0).await;
}

#[tokio::test]
async fn an_old_sdk_that_asks_is_told_in_the_answer_and_a_failure_makes_it_yes() {
    let pod = Pod::sidecar(|bootstrap| settings(bootstrap, |json| both(json, 0.0))).await;
    // A trace of its own for each: of an upgraded one this pod keeps the later calls, too.
    let root = |number: usize| format!("Root=1-6b008a20-1a2b3c4d5e6f7081{number:08x}");
    let cases = [
        ("/cart", ";Sampled=?", Some("0")),
        ("/status/503", ";Sampled=?", Some("1")),
        ("/cart", ";Sampled=0", None),
        ("/cart", ";Sampled=1", None),
        ("/cart", "", None),
    ];
    for (number, (path, field, answer)) in cases.into_iter().enumerate() {
        let header = format!("{};Parent=53995c3f42cd8ad8{field}", root(number));
        let reply = pod.send(Request::get(pod.entry(), path).header("x-amzn-trace-id", header)).await;
        let told = answer.map(|answer| format!("{};Sampled={answer}", root(number)));
        assert_eq!(reply.header("x-amzn-trace-id"), told.as_deref(), "{path} {field}");
        let arrival = pod.upstream.last().unwrap();
        assert_eq!(arrival.text("x-amzn-trace-id"), twin(&arrival), "{path} {field}: both headers, one flag");
    }
    // The upgraded one, and the one that its caller had sampled.
    pod.settle(2).await;
    assert!(pod.collector.spans().iter().all(|span| span.parent_span_id() == "53995c3f42cd8ad8"));
}

#[tokio::test]
async fn roots_of_the_xray_format_begin_with_the_time_and_are_sampled_at_the_ratio_all_the_same() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            both(json, 0.25);
            json["trace_id_format"] = "xray".into();
        });
    })
    .await;
    const REQUESTS: usize = 400;
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let began = seconds();
    for _ in 0..REQUESTS {
        pod.get("/cart").await;
    }
    // Clocks of one machine agree; Envoy's is rounded down to the second.
    let lifetime = began..=seconds();
    let contexts: Vec<_> = pod.upstream.arrivals().iter().map(|arrival| arrival.text("traceparent")).collect();
    for context in &contexts {
        let second = u64::from_str_radix(&context[3..11], 16).unwrap();
        assert!(lifetime.contains(&second), "{context} in {lifetime:?}");
    }
    let sampled: Vec<_> = contexts.iter().filter(|context| context.ends_with("-03")).map(|it| &it[3..35]).collect();
    // Five standard deviations of 400 draws at 25 % are 43.
    assert!(sampled.len().abs_diff(REQUESTS / 4) <= 43, "{} of {REQUESTS}", sampled.len());
    pod.settle(sampled.len()).await;
    for span in pod.collector.spans() {
        assert!(sampled.contains(&span.trace_id().as_str()));
        assert_eq!(span.span.trace_state, "ot=th:c", "T is a quarter of all, whatever the format");
    }
}
