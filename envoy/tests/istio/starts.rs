//! What a proxy does that starts and cannot have the filter.

use crate::istiod::free;
use crate::manifests;
use crate::pods::Place;
use crate::registry::{REPOSITORY, summary};
use crate::scene::Scene;
use serde_json::{Value, json};

/// What the agent logs, which its users find by.
const NOT_FETCHED: &str = "error in converting the wasm config to local: cannot fetch Wasm module";

/// An overlay for a registry on a port where nothing listens.
fn unreachable(scene: &Scene, overlay: &str) -> Vec<Value> {
    let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
    let url = format!("oci://{}/{REPOSITORY}@{digest}", free());
    scene.changed(overlay, |plugin| manifests::module(plugin)["url"] = url.as_str().into())
}

#[tokio::test]
async fn a_proxy_that_starts_while_the_registry_is_down_serves_without_tracing_until_the_manifest_is_applied_anew() {
    for (place, overlay) in [(Place::Sidecars, "namespace"), (Place::Gateway, "gateway")] {
        let scene = Scene::set(place).await;
        scene.apply(&unreachable(&scene, overlay)).await;
        let proxy = scene.proxy().await;
        let log = proxy.program.logged(0, NOT_FETCHED).await;
        assert!(log.contains("applying allow RBAC filter"), "{log}");
        assert!(scene.is_untouched(&proxy).await);
        scene.apply(&scene.overlay(overlay)).await;
        scene.decides(&proxy).await;
    }
}

/// The digest is right and the image is not there yet. Nothing asks again until istiod sends the plugin once more.
#[tokio::test]
async fn an_image_that_is_pushed_later_is_fetched_when_the_manifest_is_touched() {
    let scene = Scene::empty(Place::Gateway).await;
    scene.apply(&scene.overlay("gateway")).await;
    let proxy = scene.proxy().await;
    proxy.program.logged(0, NOT_FETCHED).await;
    scene.push();
    for _ in 0..50 {
        assert!(scene.is_untouched(&proxy).await);
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
        let proxy = scene.live(0).await;
        let log = proxy.program.logged(0, NOT_FETCHED).await;
        assert!(log.contains("applying deny RBAC filter"), "{log}");
        scene.answers(&proxy, 403).await;
        scene.apply(&scene.overlay("gateway")).await;
        scene.answers(&proxy, 200).await;
    }
}
