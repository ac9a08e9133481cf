//! The forms that the shipped manifests have: what each is attached to, the resource that bears the plugin, and the chart.

use crate::manifests;
use crate::obeyed::{edge_holds, pod_holds};
use crate::pods::Place;
use crate::proxy::Proxy;
use crate::scene::{Scene, decisions};

/// A proxy that the manifests do not reach.
async fn has_no_filter(scene: &Scene, proxy: &Proxy) {
    assert!(scene.is_untouched(proxy).await);
    assert_eq!(decisions(&proxy.stats().await), 0);
}

#[tokio::test]
async fn a_canary_by_label_reaches_the_pod_that_has_it_and_not_the_one_beside_it() {
    let scene = Scene::set(Place::Sidecars).await;
    scene.apply(&scene.overlay("workload")).await;
    let [stable, canary] = [scene.serving(0).await, scene.serving(1).await];
    scene.decides(&canary).await;
    pod_holds(&scene, &canary, "cart-canary").await;
    has_no_filter(&scene, &stable).await;
}

#[tokio::test]
async fn a_traffic_extension_does_what_the_wasm_plugin_does() {
    let scene = Scene::set(Place::Sidecars).await;
    scene.apply(&scene.overlay("traffic-extension")).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    pod_holds(&scene, &proxy, "cart").await;
}

#[tokio::test]
async fn manifests_that_are_attached_to_a_gateway_of_the_gateway_api_reach_its_pods_and_no_others() {
    let scene = Scene::set(Place::DeclaredGateways).await;
    scene.apply(&scene.overlay("gateway-api")).await;
    let [public, internal] = [scene.serving(0).await, scene.serving(1).await];
    scene.decides(&public).await;
    edge_holds(&scene, &public).await;
    has_no_filter(&scene, &internal).await;
}

/// The label that the injector gives to sidecars keeps the mesh-wide plugins out of gateways.
#[tokio::test]
async fn mesh_wide_plugins_reach_every_sidecar_and_no_gateway() {
    let scene = Scene::set(Place::Sidecars).await;
    scene.apply(&scene.overlay("mesh")).await;
    for number in [0, 1] {
        let proxy = scene.serving(number).await;
        scene.decides(&proxy).await;
    }
    drop(scene);
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.overlay("mesh")).await;
    has_no_filter(&scene, &scene.proxy().await).await;
}

#[tokio::test]
async fn the_chart_does_what_the_overlays_do() {
    let scene = Scene::set(Place::Sidecars).await;
    scene.apply(&scene.chart("shop", "namespace")).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    pod_holds(&scene, &proxy, "cart").await;
    drop((proxy, scene));
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.chart("istio-ingress", "gateway")).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    edge_holds(&scene, &proxy).await;
}

/// Of each it says once that an `EnvoyFilter` may have to change with Envoy (IST0133), and nothing else.
#[tokio::test]
async fn istios_analysis_finds_no_fault_with_any_overlay() {
    let [image, collector] = ["registry.example/mesh/tracelift:0", "127.0.0.1:4318"];
    for name in manifests::overlays() {
        let found = manifests::analyse(&manifests::overlay(&name, image, collector.parse().unwrap()));
        assert!(found.starts_with("Warning [IST0133] (EnvoyFilter") && found.lines().count() == 1, "{name}: {found}");
    }
    let mut wrong = manifests::overlay("namespace", image, collector.parse().unwrap());
    manifests::change(&mut wrong, |plugin| plugin["spec"]["phase"] = "AUTHENTICATION".into());
    let found = manifests::analyse(&wrong);
    assert!(found.contains(r#"unknown value "\"AUTHENTICATION\"" for enum"#), "{found}");
}
