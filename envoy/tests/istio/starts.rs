//! Which proxies have the filter, and what they do when they start and cannot have it.

use crate::istiod::free;
use crate::manifests;
use crate::registry::{REPOSITORY, summary};
use crate::scene::{Place, Scene, decisions};
use serde_json::{Value, json};

/// What the agent logs, which its users find by.
const NOT_FETCHED: &str = "error in converting the wasm config to local: cannot fetch Wasm module";

#[tokio::test]
async fn a_canary_by_label_reaches_the_pods_that_have_it() {
    let scene = Scene::set(Place::Sidecar).await;
    scene.apply(&scene.overlay("workload")).await;
    let stable = scene.proxy(json!({})).await;
    assert!(scene.is_untouched().await);
    assert_eq!(decisions(&stable.stats().await), 0);
    drop(stable);
    let canary = scene.proxy(json!({ "tracelift.io/canary": "true" })).await;
    scene.decides(&canary).await;
    assert!(!scene.is_untouched().await);
}

/// The same plugins for a registry on a port where nothing listens.
fn unreachable(scene: &Scene, overlay: &str) -> Vec<Value> {
    let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
    let url = format!("oci://{}/{REPOSITORY}@{digest}", free());
    scene.changed(overlay, |plugin| manifests::module(plugin)["url"] = url.as_str().into())
}

#[tokio::test]
async fn a_proxy_that_starts_while_the_registry_is_down_serves_without_tracing_until_the_manifest_is_applied_anew() {
    for (place, overlay) in [(Place::Sidecar, "namespace"), (Place::Gateway, "gateway")] {
        let scene = Scene::set(place).await;
        scene.apply(&unreachable(&scene, overlay)).await;
        let proxy = scene.proxy(json!({})).await;
        let log = proxy.program.logged(0, NOT_FETCHED).await;
        assert!(log.contains("applying allow RBAC filter"), "{log}");
        assert!(scene.is_untouched().await);
        scene.apply(&scene.overlay(overlay)).await;
        scene.decides(&proxy).await;
    }
}

/// The digest is right and the image is not there yet. Nothing asks again until istiod sends the plugin once more.
#[tokio::test]
async fn an_image_that_is_pushed_later_is_fetched_when_the_manifest_is_touched() {
    let scene = Scene::empty(Place::Gateway).await;
    scene.apply(&scene.overlay("gateway")).await;
    let proxy = scene.proxy(json!({})).await;
    proxy.program.logged(0, NOT_FETCHED).await;
    scene.push();
    for _ in 0..50 {
        assert!(scene.is_untouched().await);
    }
    let touch = |plugin: &mut Value| plugin["metadata"]["annotations"] = json!({ "touched": "1" });
    scene.apply(&scene.changed("gateway", touch)).await;
    scene.decides(&proxy).await;
}

/// Why the shipped manifests say `FAIL_OPEN`.
#[tokio::test]
async fn under_any_other_strategy_an_image_that_cannot_be_fetched_denies_every_request() {
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let scene = Scene::set(Place::Gateway).await;
        let mut plugins = unreachable(&scene, "gateway");
        manifests::change(&mut plugins, |plugin| manifests::module(plugin)["failStrategy"] = strategy.into());
        scene.apply(&plugins).await;
        let proxy = scene.live(json!({})).await;
        let log = proxy.program.logged(0, NOT_FETCHED).await;
        assert!(log.contains("applying deny RBAC filter"), "{log}");
        let denies = async || scene.get("/cart").await.is_some_and(|reply| reply.status == 403);
        proxy.program.until("requests are denied", denies).await;
        scene.apply(&scene.overlay("gateway")).await;
        let serves = async || scene.get("/cart").await.is_some_and(|reply| reply.status == 200);
        proxy.program.until("requests pass again", serves).await;
    }
}
