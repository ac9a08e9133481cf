//! What the shipped policy does, and changes of it under load.

use crate::kit::{SOON, traceparent, wait_until};
use crate::manifests::settings;
use crate::scene::{Scene, decisions};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tracelift_envoy::{Load, ReceivedSpan};

#[tokio::test]
async fn the_shipped_policy_keeps_failures_whole_believes_no_stranger_and_leaves_unrouted_requests_alone() {
    let scene = Scene::start(|_| {}).await;
    failures_are_whole(&scene).await;
    let before = decisions(&scene.stats().await);
    let unrouted = scene.client.send(scene.request("/cart").host("elsewhere.example")).await.unwrap();
    assert_eq!(unrouted.status, 404);
    scene.get("/healthz").await.unwrap();
    let stats = scene.until("the probe is decided on", |stats| before < decisions(stats)).await;
    assert_eq!(decisions(&stats), before + 1, "and the request that no route takes is not");
    assert_eq!(scene.collector.spans().len(), 2, "neither is recorded");
}

/// A failure of a stranger that asks to be sampled: its trace continues, both sides are kept for the failure alone.
pub async fn failures_are_whole(scene: &Scene) {
    let context = traceparent(1, true);
    let request = scene.request("/status/503").header("traceparent", &context);
    let reply = scene.client.send(request).await.unwrap();
    assert_eq!((reply.status, reply.header("traceresponse"), reply.header("server-timing")), (503, None, None));
    let forwarded = scene.upstream.last().unwrap().text("traceparent");
    assert_eq!(
        (&forwarded[3..35], &forwarded[53..]),
        (&context[3..35], "02"),
        "the trace continues, the flag does not"
    );
    wait_until("both sides arrive", async || scene.collector.trace(&context[3..35]).len() == 2).await;
    let spans = scene.collector.trace(&context[3..35]);
    let of = |kind: SpanKind| spans.iter().find(|span| span.kind() == kind).unwrap();
    let (server, client) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!((client.parent_span_id(), client.span_id().as_str()), (server.span_id(), &forwarded[36..52]));
    for span in [server, client] {
        assert_eq!((span.trigger(), span.service_name()), (Some("http_status"), "gateway"));
        assert_eq!(span.resource_text("deployment.environment.name"), Some("prod"), "from the proxy's environment");
    }
}

#[tokio::test]
async fn the_share_of_sampled_traces_is_the_ratio_of_the_policy_and_changes_with_it_under_load() {
    let scene = Scene::start(|settings| settings["sampling"]["ratio"] = 0.125.into()).await; // Not 0, which adds nothing to the gauge.
    let load = Load::start(4, scene.requests());
    for ratio in [1.0, 0.25, 0.5] {
        scene.apply(&[with(&scene, json!({ "sampling": { "ratio": ratio } }))]);
        let expected = (ratio * 1e6) as u64;
        // While a listener is replaced the gauge is the sum of what the old one and the new one have.
        scene.until("every worker has the ratio", |stats| stats.tracelift("config.ratio_ppm") == expected).await;
        // What workers decided on under the old policy shows with their next tick, a second later.
        let uptime = scene.stats().await.get("server.uptime");
        let before = scene.until("ticks have passed", |stats| uptime + 3 <= stats.get("server.uptime")).await;
        let count = |stats: &tracelift_envoy::Stats| {
            (stats.tracelift("decisions.sampled.ratio") as f64, stats.tracelift("decisions.dropped.ratio") as f64)
        };
        let (sampled, dropped) = count(&before);
        let enough = |stats: &tracelift_envoy::Stats| 1000.0 <= count(stats).0 + count(stats).1 - sampled - dropped;
        let (more, less) = count(&scene.until("a thousand requests are decided on", enough).await);
        let (sampled, all) = (more - sampled, more - sampled + less - dropped);
        let tolerance = 5.0 * (all * ratio * (1.0 - ratio)).sqrt(); // Five sigma: wrong once in a million runs.
        assert!((sampled - all * ratio).abs() <= tolerance, "{sampled} of {all} at {ratio}");
    }
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
    everything_arrives(&scene).await;
}

/// Every span that was made was exported and has arrived; each is a trace that the upstream saw as sampled.
async fn everything_arrives(scene: &Scene) {
    let settled = |stats: &tracelift_envoy::Stats| stats.ledger().is_settled();
    let ledger = scene.until("nothing waits", settled).await.ledger();
    assert_eq!(ledger.discarded, 0, "{ledger}");
    scene.collector.wait_for_spans(ledger.exported as usize, SOON).await.unwrap();
    let spans = scene.collector.spans();
    assert_eq!(ReceivedSpan::distinct(&spans) as u64, ledger.exported);
    let kept: BTreeSet<_> = spans.iter().map(ReceivedSpan::trace_id).collect();
    let arrivals = scene.upstream.arrivals();
    let contexts = arrivals.iter().map(|arrival| arrival.text("traceparent"));
    let sampled: BTreeSet<_> = contexts.filter(|it| it.ends_with("-03")).map(|it| it[3..35].to_owned()).collect();
    assert_eq!(kept, sampled);
}

#[tokio::test]
async fn a_policy_that_is_deleted_and_applied_again_under_load_fails_no_request() {
    let scene = Scene::start(|settings| settings["sampling"]["ratio"] = 1.into()).await;
    let load = Load::start(4, scene.requests());
    for _ in 0..2 {
        scene.apply(&[]);
        wait_until("requests keep the context that they came with", async || {
            let context = traceparent(9, true);
            scene.client.send(scene.request("/mine").header("traceparent", &context)).await.unwrap();
            scene
                .upstream
                .arrivals()
                .iter()
                .rev()
                .find(|it| it.path == "/mine")
                .is_some_and(|it| it.text("traceparent") == context)
        })
        .await;
        scene.apply(&[with(&scene, json!({ "sampling": { "ratio": 1 } }))]);
        let before = decisions(&scene.stats().await);
        scene.until("the filter decides again", |stats| before < decisions(stats)).await;
    }
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
}

/// The scene's policy with some of its settings replaced.
pub fn with(scene: &Scene, change: Value) -> Value {
    let mut policy = scene.policy();
    merge(settings(&mut policy), &change);
    policy
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}
