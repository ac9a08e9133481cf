//! What a proxy does that starts and cannot have the filter.

use crate::istiod::free;
use crate::manifests::settings;
use crate::mistakes::{PASSING, on_invalid_settings};
use crate::registry::{REPOSITORY, summary};
use crate::scene::Scene;
use serde_json::Value;
use tracelift_envoy::Load;

/// What the agent logs, which its users find by.
const NOT_FETCHED: &str = "error in converting the wasm config to local: cannot fetch Wasm module";

/// A registry on a port where nothing listens.
fn is_unreachable(plugin: &mut Value) {
    let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
    plugin["spec"]["url"] = format!("oci://{}/{REPOSITORY}@{digest}", free()).into();
}

#[tokio::test]
async fn a_proxy_that_starts_while_the_registry_is_down_serves_without_tracing_until_the_plugin_is_sent_anew() {
    let scene = Scene::set("namespace").await;
    scene.apply(is_unreachable).await;
    let proxy = scene.proxy().await;
    let log = proxy.program.logged(0, NOT_FETCHED).await;
    assert!(log.contains("applying allow RBAC filter"), "{log}");
    assert!(scene.is_untouched().await);
    scene.apply(|_| ()).await;
    scene.decides(&proxy).await;
}

/// The digest is right and the image is not there yet: the agent asks for it again only when istiod sends the plugin again.
#[tokio::test]
async fn an_image_that_is_pushed_later_is_fetched_when_the_plugin_is_sent_anew() {
    let scene = Scene::empty("gateway").await;
    scene.apply(|_| ()).await;
    let proxy = scene.proxy().await;
    proxy.program.logged(0, NOT_FETCHED).await;
    scene.push();
    for _ in 0..50 {
        assert!(scene.is_untouched().await);
    }
    scene.apply(|_| ()).await;
    scene.decides(&proxy).await;
}

/// Why the shipped manifests say `FAIL_OPEN`.
#[tokio::test]
async fn under_any_other_strategy_an_image_that_cannot_be_fetched_denies_every_request() {
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let scene = Scene::set("gateway").await;
        let wrong = |plugin: &mut Value| {
            is_unreachable(plugin);
            plugin["spec"]["failStrategy"] = strategy.into();
        };
        scene.apply(wrong).await;
        let proxy = scene.live().await;
        let log = proxy.program.logged(0, NOT_FETCHED).await;
        assert!(log.contains("applying deny RBAC filter"), "{log}");
        scene.answers(&proxy, 403).await;
        scene.apply(|_| ()).await;
        scene.answers(&proxy, 200).await;
    }
}

#[tokio::test]
async fn a_proxy_that_starts_with_wrong_settings_serves_without_tracing_until_they_are_corrected() {
    let scene = Scene::set("gateway").await;
    scene.apply(|plugin| settings(plugin)["sampling"]["ratio"] = 5.into()).await;
    let proxy = scene.proxy().await;
    proxy.program.logged(0, PASSING).await;
    assert!(scene.is_untouched().await);
    scene.apply(|plugin| settings(plugin)["sampling"]["ratio"] = 1.into()).await;
    scene.decides(&proxy).await;
}

/// Why the shipped manifests say `pass_through`: Istio gives Envoy nothing to put in the place of a filter that is refused.
#[tokio::test]
async fn with_refuse_a_proxy_that_runs_keeps_the_settings_before_and_one_that_starts_answers_500() {
    let scene = Scene::set("gateway").await;
    let ratio = |ratio: u8| {
        move |plugin: &mut Value| {
            on_invalid_settings(plugin, "refuse");
            settings(plugin)["sampling"]["ratio"] = ratio.into();
        }
    };
    scene.apply(ratio(1)).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let from = proxy.program.log().len();
    let load = Load::start(2, scene.requests());
    scene.apply(ratio(5)).await;
    proxy.program.logged(from, "configuration refused: sampling.ratio").await;
    scene.decides(&proxy).await;
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
    drop(proxy);
    let late = scene.live().await;
    late.program.logged(0, "configuration refused: sampling.ratio").await;
    scene.answers(&late, 500).await;
    scene.apply(ratio(1)).await;
    scene.answers(&late, 200).await;
    scene.decides(&late).await;
}
