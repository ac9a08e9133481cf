//! What the shipped plugins do in a sidecar and in a gateway.

use crate::kit::{traceparent, wait_until};
use crate::manifests::settings;
use crate::scene::Scene;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracelift_envoy::{Load, ReceivedSpan};

/// The spans of a trace, the server's first, as soon as both sides of a proxy have arrived.
async fn both_sides(scene: &Scene, trace: &str) -> [ReceivedSpan; 2] {
    wait_until("both sides arrive", async || scene.collector.trace(trace).len() == 2).await;
    let spans = scene.collector.trace(trace);
    [SpanKind::Server, SpanKind::Client].map(|kind| spans.iter().find(|span| span.kind() == kind).unwrap().clone())
}

#[tokio::test]
async fn a_failure_behind_a_sidecar_is_whole_on_both_sides_of_the_pod_and_signalled_to_its_caller() {
    let scene = Scene::set("namespace").await;
    scene.apply(|_| ()).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let context = traceparent(1, false);
    let reply = scene.client.send(scene.request("/status/503").header("traceparent", &context)).await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.header("x-tracelift-signal").is_some(), "{:?}", reply.headers);
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    let [server, client] = both_sides(&scene, &context[3..35]).await;
    assert_eq!(server.parent_span_id(), context[36..52]);
    assert_eq!((client.parent_span_id(), client.span_id().as_str()), (server.span_id(), &forwarded[36..52]));
    assert_eq!(client.trigger(), Some("http_status"));
    for span in [server, client] {
        assert_eq!(span.service_name(), "cart.shop");
        assert_eq!(span.resource_text("deployment.environment.name"), Some("prod"), "from the proxy's environment");
    }
}

#[tokio::test]
async fn a_gateway_believes_no_stranger_and_keeps_failures_whole() {
    let scene = Scene::set("gateway").await;
    scene.apply(|_| ()).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let context = traceparent(2, true);
    let reply = scene.client.send(scene.request("/status/503").header("traceparent", &context)).await.unwrap();
    assert_eq!((reply.status, reply.header("traceresponse"), reply.header("server-timing")), (503, None, None));
    assert_eq!(reply.header("x-tracelift-signal"), None);
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    assert_eq!(
        (&forwarded[3..35], &forwarded[53..]),
        (&context[3..35], "02"),
        "the trace continues, the flag does not"
    );
    let [server, client] = both_sides(&scene, &context[3..35]).await;
    assert_eq!((client.parent_span_id(), client.span_id().as_str()), (server.span_id(), &forwarded[36..52]));
    assert_eq!((server.trigger(), client.trigger()), (Some("http_status"), Some("http_status")));
}

#[tokio::test]
async fn a_ratio_that_is_changed_under_load_is_in_use_and_fails_no_request() {
    let scene = Scene::set("gateway").await;
    scene.apply(|plugin| settings(plugin)["sampling"]["ratio"] = 0.125.into()).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let load = Load::start(2, scene.requests());
    for ratio in [1.0, 0.25] {
        scene.apply(|plugin| settings(plugin)["sampling"]["ratio"] = ratio.into()).await;
        let expected = (ratio * 1e6) as u64;
        // While settings are replaced the gauge is the sum of what the old ones and the new ones have.
        proxy.until("every worker has the ratio", |stats| stats.tracelift("config.ratio_ppm") == expected).await;
    }
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
}
