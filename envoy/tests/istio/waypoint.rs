//! A waypoint of ambient mode: what istiod makes of the shipped manifests for it. Upstream's Envoy lacks filters that Istio's own has in
//! a waypoint's chains and refuses these, so that what is seen ends with what istiod sends.

use crate::pods::Place;
use crate::scene::Scene;
use serde_json::Value;

/// The listener with the chains to services; the others have the tunnels.
const SERVICES: &str = "main_internal";
const OURS: &str = "shop.tracelift-waypoint";
const TRACER: &str = "envoy.tracers.opentelemetry";

/// The HTTP filters of every chain that has any, by the name of its listener.
fn chains(dump: &Value) -> Vec<(String, Vec<String>)> {
    let configs = dump["configs"].as_array().unwrap();
    let listeners = configs.iter().filter_map(|config| config["dynamicListeners"].as_array()).flatten();
    let mut found = Vec::new();
    for listener in listeners.map(|it| &it["activeState"]["listener"]) {
        for chain in listener["filterChains"].as_array().into_iter().flatten() {
            let managers =
                chain["filters"].as_array().into_iter().flatten().map(|it| &it["typedConfig"]["httpFilters"]);
            for filters in managers.filter_map(Value::as_array) {
                let names = filters.iter().map(|it| it["name"].as_str().unwrap().to_owned());
                found.push((listener["name"].as_str().unwrap().to_owned(), names.collect()));
            }
        }
    }
    found
}

#[tokio::test]
async fn istiod_puts_the_filter_into_a_waypoints_chains_and_leaves_envoys_own_tracing_out() {
    let scene = Scene::traced(Place::Waypoint).await;
    let proxy = scene.connected(0).await;
    let sent = async |holds: fn(&Value) -> bool| {
        let holds = async || scene.sent(0).await.is_some_and(|dump| holds(&dump));
        proxy.program.until("istiod has it so for the waypoint", holds).await;
        scene.sent(0).await.unwrap()
    };
    let before = sent(|dump| !chains(dump).is_empty()).await.to_string();
    assert!(before.contains(TRACER) && !before.contains(OURS), "{before}");
    scene.apply(&scene.overlay("waypoint")).await;
    // The cluster, the tracer and the filter each come with a change of their own.
    let all = |dump: &Value| {
        let text = dump.to_string();
        text.contains("tracelift_otel_collector") && text.contains(OURS) && !text.contains(TRACER)
    };
    for (listener, filters) in chains(&sent(all).await) {
        let first = filters[0].contains(OURS);
        assert_eq!(first, listener == SERVICES, "{listener}: {filters:?}");
    }
    scene
        .istiod
        .program
        .logged(0, "Didn't find a registered implementation for 'waypoint_upstream_peer_metadata'")
        .await;
}
