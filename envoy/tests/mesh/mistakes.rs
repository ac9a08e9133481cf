//! A policy with one mistake, applied under load: what Envoy Gateway and Envoy say, what becomes of tracing, and that no request fails.
//! The runbook has these texts.

use crate::kit::wait_until;
use crate::manifests::{self, settings};
use crate::obeyed::with;
use crate::scene::{Scene, decisions};
use serde_json::{Value, json};
use tracelift_envoy::{Load, ports};

/// What becomes of tracing while the mistake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracing {
    /// The policy before decides.
    AsBefore,
    /// Requests pass without the filter.
    Stops,
    /// The filter decides, and its spans do not arrive.
    WaitsToExport,
}

struct Mistake {
    name: &'static str,
    make: fn(&mut Value),
    /// Each of them is in the log.
    said: &'static [&'static str],
    tracing: Tracing,
}

const IMAGE: &str = "/spec/wasm/0/code/image";

const MISTAKES: [Mistake; 6] = [
    Mistake {
        name: "another digest",
        make: |policy| policy.pointer_mut(IMAGE).unwrap()["sha256"] = "0".repeat(64).into(),
        said: &["status for EnvoyExtensionPolicy", "which does not match", "reason: Invalid"],
        tracing: Tracing::Stops,
    },
    Mistake {
        name: "a registry that does not answer",
        make: |policy| policy.pointer_mut(IMAGE).unwrap()["url"] = "127.0.0.1:1/mesh/tracelift:0".into(),
        said: &["status for EnvoyExtensionPolicy", "could not fetch Wasm OCI image", "reason: Invalid"],
        tracing: Tracing::Stops,
    },
    Mistake {
        name: "an unknown key",
        make: |policy| settings(policy)["sampling"]["ratoi"] = 1.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratoi: found an unknown key",
            "Did you mean `ratio`?",
            "Envoy rejected the last update for type type.googleapis.com/envoy.config.listener.v3.Listener",
        ],
        tracing: Tracing::AsBefore,
    },
    Mistake {
        name: "ratio 5",
        make: |policy| settings(policy)["sampling"]["ratio"] = 5.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratio: found 5; allowed is 0 (never) or a number from 2^-56 to 1",
            "Envoy rejected the last update for type type.googleapis.com/envoy.config.listener.v3.Listener",
        ],
        tracing: Tracing::AsBefore,
    },
    Mistake {
        name: "a cluster that Envoy does not have",
        make: |policy| settings(policy)["export"]["cluster"] = "otel".into(),
        said: &["export to cluster \"otel\"", "Check that Envoy has a cluster of the name in export.cluster"],
        tracing: Tracing::WaitsToExport,
    },
    Mistake {
        name: "a field that the resource does not have",
        make: |policy| policy["spec"]["wasm"][0]["failOpne"] = true.into(),
        said: &["spec.wasm[0].failOpne: Invalid value: value provided for unknown field"],
        tracing: Tracing::AsBefore,
    },
];

#[tokio::test]
async fn a_mistake_in_the_policy_is_named_and_fails_no_request() {
    let scene = Scene::start(|settings| settings["sampling"]["ratio"] = 1.into()).await;
    for Mistake { name, make, said, tracing } in MISTAKES {
        let load = Load::start(2, scene.requests());
        let mut policy = with(&scene, json!({ "sampling": { "ratio": 1 } }));
        make(&mut policy);
        let from = scene.gateway.log().len();
        scene.apply(&[policy]);
        for text in said {
            scene.gateway.logged(from, text).await;
        }
        match tracing {
            Tracing::Stops => wait_until(name, async || is_untouched(&scene).await).await,
            Tracing::AsBefore | Tracing::WaitsToExport => {
                still_decides(&scene, name).await;
                let status = "reason: Invalid";
                assert!(!scene.gateway.log()[from..].contains(status), "{name}: the resource says nothing of it");
            }
        }
        if tracing == Tracing::WaitsToExport {
            scene.until(name, |stats| 100 < stats.ledger().queued + stats.ledger().in_flight).await;
        }
        let tally = load.stop().await;
        assert!(tally.is_all(200), "{name}: {tally}");
        scene.apply(&[with(&scene, json!({ "sampling": { "ratio": 1 } }))]);
        wait_until(name, async || !is_untouched(&scene).await).await;
        let exported = scene.stats().await.ledger().exported;
        scene.get("/cart").await;
        scene.until(name, |stats| exported < stats.ledger().exported).await;
    }
}

/// Whether a request passes with the context that it came with.
async fn is_untouched(scene: &Scene) -> bool {
    let context = crate::kit::traceparent(9, true);
    let request = scene.request("/mine").header("traceparent", &context);
    assert_eq!(scene.client.send(request).await.unwrap().status, 200);
    let arrivals = scene.upstream.arrivals();
    arrivals.iter().rev().find(|arrival| arrival.path == "/mine").is_some_and(|it| it.text("traceparent") == context)
}

async fn still_decides(scene: &Scene, name: &str) {
    let before = decisions(&scene.stats().await);
    scene.until(name, |stats| before + 100 < decisions(stats)).await;
    assert!(!is_untouched(scene).await, "{name}");
}

#[tokio::test]
async fn a_collector_at_another_port_costs_spans_and_no_request() {
    let refusing = ports::RefusingPort::any().unwrap();
    let scene = Scene::without_policy(|_| manifests::proxy(refusing.address())).await;
    let from = scene.gateway.log().len();
    scene.apply(&[with(&scene, json!({ "sampling": { "ratio": 1 } }))]);
    scene.decides().await;
    scene.gateway.logged(from, "export to cluster \"tracelift_otel_collector\"").await;
    scene.until("spans wait", |stats| 0 < stats.ledger().queued + stats.ledger().in_flight).await;
    assert_eq!(scene.get("/cart").await.unwrap().status, 200);
}

/// A proxy that has no settings before, which could serve, passes requests without the filter (`failOpen`).
#[tokio::test]
async fn a_proxy_without_a_policy_before_passes_requests_untouched_where_the_first_is_refused() {
    let scene = Scene::without_policy(manifests::proxy).await;
    let from = scene.gateway.log().len();
    scene.apply(&[with(&scene, json!({ "sampling": { "ratio": 5 } }))]);
    scene.gateway.logged(from, "configuration refused: sampling.ratio").await;
    for _ in 0..100 {
        assert!(is_untouched(&scene).await);
    }
    scene.apply(&[with(&scene, json!({ "sampling": { "ratio": 1 } }))]);
    wait_until("the corrected policy is obeyed", async || !is_untouched(&scene).await).await;
}

/// Envoy refuses the listener as a whole.
#[tokio::test]
async fn while_a_policy_is_refused_no_other_change_of_the_listener_is_obeyed() {
    let scene = Scene::start(|settings| settings["sampling"]["ratio"] = 1.into()).await;
    let refused = "Envoy rejected the last update";
    let mut policies = vec![with(&scene, json!({ "sampling": { "ratio": 5 } }))];
    let from = scene.gateway.log().len();
    scene.apply(&policies);
    scene.gateway.logged(from, refused).await;
    policies.push(manifests::early_header("x-early"));
    let from = scene.gateway.log().len();
    scene.apply(&policies);
    scene.gateway.logged(from, refused).await;
    let is_there = async || {
        assert_eq!(scene.get("/cart").await.unwrap().status, 200);
        scene.upstream.last().unwrap().header("x-early").is_some()
    };
    assert!(!is_there().await);
    policies[0] = with(&scene, json!({ "sampling": { "ratio": 1 } }));
    scene.apply(&policies);
    wait_until("the other change is obeyed, too", is_there).await;
}
