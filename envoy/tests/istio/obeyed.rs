//! What the shipped manifests do in a sidecar and in a gateway.

use crate::kit::{traceparent, wait_until};
use crate::pods::Place;
use crate::proxy::Proxy;
use crate::scene::{Scene, decisions};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracelift_envoy::{Load, ReceivedSpan, Stats};

/// The spans of a trace, the server's first, as soon as both sides of a proxy have arrived.
async fn both_sides(scene: &Scene, trace: &str) -> [ReceivedSpan; 2] {
    wait_until("both sides arrive", async || scene.collector.trace(trace).len() == 2).await;
    let spans = scene.collector.trace(trace);
    [SpanKind::Server, SpanKind::Client].map(|kind| spans.iter().find(|span| span.kind() == kind).unwrap().clone())
}

#[tokio::test]
async fn a_failure_behind_a_sidecar_is_whole_on_both_sides_of_the_pod_and_signalled_to_its_caller() {
    let scene = Scene::set(Place::Sidecars).await;
    scene.apply(&scene.overlay("namespace")).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    pod_holds(&scene, &proxy, "cart").await;
}

/// A failure that the caller did not sample is kept on both sides of the pod, and signalled to the caller.
pub async fn pod_holds(scene: &Scene, proxy: &Proxy, service: &str) {
    let context = traceparent(1, false);
    let reply = scene.client.send(scene.request(proxy, "/status/503").header("traceparent", &context)).await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.header("x-tracelift-signal").is_some(), "{:?}", reply.headers);
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    let [server, client] = both_sides(scene, &context[3..35]).await;
    assert_eq!(server.parent_span_id(), context[36..52]);
    assert_eq!((client.parent_span_id(), client.span_id().as_str()), (server.span_id(), &forwarded[36..52]));
    for span in [&server, &client] {
        assert!(span.trigger().is_some());
        assert_eq!(span.service_name(), service);
        assert_eq!(span.resource_text("deployment.environment.name"), Some("prod"), "from the proxy's environment");
    }
    assert_eq!(client.trigger(), Some("http_status"));
}

#[tokio::test]
async fn a_gateway_believes_no_stranger_and_keeps_failures_whole() {
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.overlay("gateway")).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    edge_holds(&scene, &proxy).await;
}

/// A stranger's `sampled` is not believed; a failure is kept on both sides, and its signal stays inside.
pub async fn edge_holds(scene: &Scene, proxy: &Proxy) {
    let context = traceparent(2, true);
    let reply = scene.client.send(scene.request(proxy, "/status/503").header("traceparent", &context)).await.unwrap();
    assert_eq!((reply.status, reply.header("traceresponse"), reply.header("server-timing")), (503, None, None));
    assert_eq!(reply.header("x-tracelift-signal"), None);
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    assert_eq!(
        (&forwarded[3..35], &forwarded[53..]),
        (&context[3..35], "02"),
        "the trace continues, the flag does not"
    );
    let [server, client] = both_sides(scene, &context[3..35]).await;
    assert_eq!((client.parent_span_id(), client.span_id().as_str()), (server.span_id(), &forwarded[36..52]));
    for span in [server, client] {
        assert_eq!(span.trigger(), Some("http_status"));
    }
}

/// The listeners that a proxy has from istiod, as text.
async fn listeners(proxy: &Proxy) -> String {
    let dump = proxy.admin.config_dump().await.unwrap();
    dump["configs"].as_array().unwrap().iter().map(|config| config["dynamic_listeners"].to_string()).collect()
}

/// Where the mesh has a tracing provider, Envoy's tracer writes its own `traceparent` after all filters.
#[tokio::test]
async fn the_shipped_telemetry_keeps_envoys_own_tracer_from_replacing_the_context() {
    let scene = Scene::traced(Place::Gateway).await;
    let manifests = scene.with_ratio("gateway", 1.0);
    let without: Vec<_> = manifests.iter().filter(|it| it["kind"] != "Telemetry").cloned().collect();
    scene.apply(&without).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let ours = async |number| {
        let context = traceparent(number, false);
        scene.client.send(scene.request(&proxy, "/cart").header("traceparent", &context)).await.unwrap();
        let forwarded = scene.upstream.last().unwrap().text("traceparent");
        let [_, client] = both_sides(&scene, &context[3..35]).await;
        client.span_id() == forwarded[36..52]
    };
    assert!(listeners(&proxy).await.contains("envoy.tracers.opentelemetry"));
    assert!(!ours(3).await);
    scene.apply(&manifests).await;
    let untraced = async || !listeners(&proxy).await.contains("envoy.tracers.opentelemetry");
    proxy.program.until("Envoy's own tracing is off", untraced).await;
    // What Envoy had begun with its tracer may still be on its way: a new trace each time.
    let new = || 100 + scene.upstream.arrivals().len() as u64;
    proxy.program.until("the context is ours", async || ours(new()).await).await;
}

#[tokio::test]
async fn the_share_of_sampled_traces_is_the_ratio_of_the_plugin_and_changes_with_it_under_load() {
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.with_ratio("gateway", 0.125)).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let load = Load::start(4, scene.requests(&proxy));
    for ratio in [1.0, 0.25, 0.5] {
        scene.apply(&scene.with_ratio("gateway", ratio)).await;
        let expected = (ratio * 1e6) as u64;
        // While settings are replaced the gauge is the sum of what the old ones and the new ones have.
        proxy.until("every worker has the ratio", |stats| stats.tracelift("config.ratio_ppm") == expected).await;
        // What workers decided on under the old policy shows with their next tick, a second later.
        let uptime = proxy.stats().await.get("server.uptime");
        let before = proxy.until("ticks have passed", |stats| uptime + 3 <= stats.get("server.uptime")).await;
        let count = |stats: &Stats| {
            let of = |decision: &str| stats.tracelift(&format!("decisions.{decision}.ratio")) as f64;
            (of("sampled"), of("dropped"))
        };
        let (sampled, dropped) = count(&before);
        let enough = |stats: &Stats| 1000.0 <= count(stats).0 + count(stats).1 - sampled - dropped;
        let (more, less) = count(&proxy.until("a thousand requests are decided on", enough).await);
        let (sampled, all) = (more - sampled, more - sampled + less - dropped);
        let tolerance = 5.0 * (all * ratio * (1.0 - ratio)).sqrt(); // Five sigma: wrong once in a million runs.
        assert!((sampled - all * ratio).abs() <= tolerance, "{sampled} of {all} at {ratio}");
    }
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
    scene.everything_arrives(&proxy).await;
}

#[tokio::test]
async fn plugins_that_are_removed_and_applied_again_under_load_fail_no_request() {
    for (place, overlay) in [(Place::Sidecars, "namespace"), (Place::Gateway, "gateway")] {
        let scene = Scene::set(place).await;
        let manifests = scene.with_ratio(overlay, 1.0);
        scene.apply(&manifests).await;
        let proxy = scene.proxy().await;
        scene.decides(&proxy).await;
        let load = Load::start(4, scene.requests(&proxy));
        for _ in 0..2 {
            scene.apply(&[]).await;
            scene.passes_untouched(&proxy).await;
            scene.apply(&manifests).await;
            let before = decisions(&proxy.stats().await);
            proxy.until("the filter decides again", |stats| before < decisions(stats)).await;
        }
        let tally = load.stop().await;
        assert!(tally.is_all(200), "{place:?}: {tally}");
    }
}
