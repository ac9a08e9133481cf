//! What the shipped policy does, and a change of it under load.

use crate::kit::{SOON, traceparent, wait_until};
use crate::manifests::settings;
use crate::scene::{Scene, decisions};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;
use std::collections::BTreeSet;
use tracelift_envoy::{Load, ReceivedSpan};

#[tokio::test]
async fn the_shipped_policy_keeps_failures_whole_believes_no_stranger_and_leaves_unrouted_requests_alone() {
    let scene = Scene::start(|_| {}).await;
    let before = decisions(&scene.stats().await);

    let reply =
        scene.client.send(scene.request("/status/503").header("traceparent", traceparent(1, true))).await.unwrap();
    assert_eq!((reply.status, reply.header("traceresponse"), reply.header("server-timing")), (503, None, None));
    let trace = &traceparent(1, true)[3..35];
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    assert_eq!(
        (&forwarded[3..35], &forwarded[53..]),
        (trace, "02"),
        "the trace continues, the stranger's flag does not"
    );
    wait_until("both sides of the failure arrive", async || scene.collector.trace(trace).len() == 2).await;
    let spans = scene.collector.trace(trace);
    let of = |kind: SpanKind| spans.iter().find(|span| span.kind() == kind).unwrap();
    let (server, client) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!(client.parent_span_id(), server.span_id());
    assert_eq!(client.span_id(), forwarded[36..52]);
    for span in [server, client] {
        assert_eq!((span.trigger(), span.service_name()), (Some("http_status"), "gateway"));
        assert_eq!(span.resource_text("deployment.environment.name"), Some("prod"), "the proxy's environment");
    }

    let unrouted = scene.client.send(scene.request("/cart").host("elsewhere.example")).await.unwrap();
    assert_eq!(unrouted.status, 404);
    scene.get("/healthz").await.unwrap();
    let stats = scene.until("both routed requests are decided on", |stats| before + 2 <= decisions(stats)).await;
    assert_eq!(decisions(&stats), before + 2, "and the one that no route takes is not");
    assert_eq!(scene.collector.spans().len(), 2, "a probe is never recorded");
}
