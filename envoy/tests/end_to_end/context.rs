//! Trace context through the mesh.

use crate::mesh::{Pod, SOON, settings, settle, shipped, start, traceparent};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracelift_envoy::{Client, Collector, Envoy, Request, Shipped, Upstream};

/// caller -> `outbound` of one sidecar -> `inbound` of another -> upstream.
struct Chain {
    caller: Envoy,
    callee: Envoy,
    collector: Collector,
    upstream: Upstream,
    client: Client,
}

impl Chain {
    async fn start() -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut callee = shipped(Shipped::Sidecar, &collector);
        callee.endpoints("application", &[upstream.address()]).unwrap();
        settings(&mut callee, |json| json["service_name"] = "payments".into());
        let callee = start(&callee).await;
        let mut caller = shipped(Shipped::Sidecar, &collector);
        caller.endpoints("payments", &[callee.address("inbound").unwrap()]).unwrap();
        Self { caller: start(&caller).await, callee, collector, upstream, client: Client::new() }
    }

    /// Sends a call along the chain; what the upstream got is its last arrival.
    async fn call(&self, headers: &[(&str, &str)]) {
        let to = self.caller.address("outbound").unwrap();
        let request =
            headers.iter().fold(Request::get(to, "/pay").host("payments"), |r, (name, value)| r.header(name, value));
        assert_eq!(self.client.send(request).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_sampled_trace_continues_through_two_hops_and_each_hop_is_the_parent_of_the_next() {
    let chain = Chain::start().await;
    let tracestate = "rojo=00f067aa0ba902b7, ot=th:8;rv:c0000000000000;x:1 ,congo=t61rcWkgMzE";
    chain.call(&[("traceparent", &traceparent(1, true)), ("tracestate", tracestate)]).await;

    let spans = chain.collector.wait_for_spans(2, SOON).await.unwrap();
    let [client, server] =
        [SpanKind::Client, SpanKind::Server].map(|kind| spans.iter().find(|s| s.kind() == kind).unwrap());
    assert_eq!(client.parent_span_id(), "00f067aa0ba902b7");
    assert_eq!(server.parent_span_id(), client.span_id());
    assert_eq!((client.service_name(), server.service_name()), ("cart", "payments"));

    let arrival = chain.upstream.last().unwrap();
    assert_eq!(arrival.text("traceparent"), format!("00-{}-{}-03", server.trace_id(), server.span_id()));
    assert_eq!(server.trace_id(), &traceparent(1, true)[3..35]);
    assert_eq!(arrival.text("tracestate"), tracestate, "byte for byte");
    settle(&[&chain.caller, &chain.callee], &chain.collector, 2, 0).await;
}

#[tokio::test]
async fn a_dropped_trace_continues_too_and_tracestate_is_touched_in_our_member_only() {
    let chain = Chain::start().await;
    // The caller's flag, its tracestate lines, and what the upstream gets as one list.
    let cases: [(bool, &[&str], &str); 5] = [
        (false, &["rojo=1,congo=2"], "rojo=1,congo=2"),
        (false, &["rojo=1", "congo=2"], "rojo=1,congo=2"),
        // No span was sampled at any threshold here, so that `th` would be a lie.
        (false, &["rojo=1,ot=rv:c0000000000000,congo=2"], "rojo=1,ot=rv:c0000000000000,congo=2"),
        // This trace's R is below that T: whoever wrote it was wrong, and its count must not be believed.
        (true, &["rojo=1,ot=th:ff;rv:10000000000000,congo=2"], "ot=rv:10000000000000,rojo=1,congo=2"),
        // A list that is none is dropped alone; the trace goes on.
        (false, &["rojo=1,=2"], ""),
    ];
    for (number, (sampled, lines, expected)) in (10..).zip(cases) {
        let sent = traceparent(number, sampled);
        let headers: Vec<_> = lines.iter().map(|line| ("tracestate", *line)).collect();
        chain.call(&[&[("traceparent", sent.as_str())], headers.as_slice()].concat()).await;
        let arrival = chain.upstream.last().unwrap();
        let traceparent = arrival.text("traceparent");
        assert_eq!((&traceparent[..36], &traceparent[52..]), (&sent[..36], &sent[52..]), "{lines:?}");
        assert_ne!(traceparent[36..52], sent[36..52], "{lines:?}: the hop is the parent, sampled or not");
        assert_eq!(arrival.text("tracestate"), expected, "{lines:?}");
    }
    settle(&[&chain.caller, &chain.callee], &chain.collector, 2, 0).await;
}

#[tokio::test]
async fn a_request_without_context_becomes_a_root_with_the_random_flag() {
    let pod = Pod::sampling(1.0).await;
    pod.get("/cart").await;
    let arrival = pod.upstream.last().unwrap().text("traceparent");
    let span = pod.span_of(&arrival).await;
    assert_eq!(arrival, format!("00-{}-{}-03", span.trace_id(), span.span_id()));
    assert_eq!(span.parent_span_id(), "");
    assert_eq!(pod.upstream.last().unwrap().text("tracestate"), "ot=th:0");
    pod.settle(1).await;
}

#[tokio::test]
async fn no_bytes_in_any_header_cost_a_request_anything() {
    let pod = Pod::sampling(1.0).await;
    let long = [b'a'; 8000];
    let hostile: [(&str, &[u8]); 11] = [
        ("traceparent", b"\xff\xfe"),
        ("traceparent", b""),
        ("traceparent", b"00-00000000000000000000000000000000-0000000000000000-01"),
        ("traceparent", &long),
        ("tracestate", b"\xff=\x80"),
        ("tracestate", &long),
        ("x-amzn-trace-id", b"Root=\xf0\x28\x8c\x28"),
        ("user-agent", b"\xc3\x28"),
        ("x-forwarded-proto", b"\xed\xa0\x80"),
        ("x-forwarded-for", b"\x80\x80"),
        ("content-type", b"application/grpc\xff"),
    ];
    for (name, value) in hostile {
        let request = Request::get(pod.entry(), "/cart").header(name, value);
        let request = if name == "tracestate" { request.header("traceparent", traceparent(1, true)) } else { request };
        assert_eq!(pod.send(request).await.status, 200, "{name}: {value:?}");
    }
    let many = (0..60).fold(Request::get(pod.entry(), "/cart"), |r, n| r.header("traceparent", traceparent(n, true)));
    assert_eq!(pod.send(many).await.status, 200, "many lines");

    pod.settle(hostile.len() + 1).await;
    assert!(!pod.envoy.log().contains("panic"), "{}", pod.envoy.log());
}
