//! The shipped manifests of the dynamic module.

use crate::manifests;
use crate::obeyed::failures_are_whole;
use crate::registry::{package, summary};
use crate::scene::Scene;

#[tokio::test]
async fn the_shipped_manifests_of_the_dynamic_module_do_what_those_of_the_wasm_module_do() {
    let library = package().join(summary()["dynamic_modules"][0]["file"].as_str().unwrap()).canonicalize().unwrap();
    let scene = Scene::without_policy(|collector| manifests::dynamic_proxy(collector, &library)).await;
    scene.apply(&[manifests::dynamic_policy()]);
    scene.decides().await;
    failures_are_whole(&scene).await;
}

/// Without its entry in the `EnvoyProxy` the policy's name stands for no library.
#[tokio::test]
async fn a_policy_for_a_library_that_the_envoy_proxy_does_not_name_fails_its_routes_and_says_why() {
    let scene = Scene::without_policy(manifests::proxy).await;
    let from = scene.gateway.log().len();
    scene.apply(&[manifests::dynamic_policy()]);
    scene.gateway.logged(from, "is not registered in the EnvoyProxy dynamicModules allowlist").await;
    crate::kit::wait_until("routes fail", async || scene.get("/cart").await.is_some_and(|reply| reply.status == 500))
        .await;
    scene.apply(&[]);
    crate::kit::wait_until("routes are back", async || {
        scene.get("/cart").await.is_some_and(|reply| reply.status == 200)
    })
    .await;
}
