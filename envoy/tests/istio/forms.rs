//! The forms that Istio has for a plugin and for what it is attached to.

use crate::obeyed::{edge_holds, pod_holds};
use crate::scene::{Place, Scene, decisions};
use serde_json::json;

#[tokio::test]
async fn a_traffic_extension_does_what_the_wasm_plugin_does() {
    let scene = Scene::set(Place::Sidecar).await;
    scene.apply(&scene.overlay("traffic-extension")).await;
    let proxy = scene.proxy(json!({})).await;
    scene.decides(&proxy).await;
    pod_holds(&scene).await;
}

/// By its label: Istio's own controller gives it to every pod of the gateway.
#[tokio::test]
async fn manifests_that_are_attached_to_a_gateway_of_the_gateway_api_reach_its_pods_and_no_others() {
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.overlay("gateway-api")).await;
    for (gateway, reached) in [("internal", false), ("public", true)] {
        let proxy = scene.proxy(json!({ "gateway.networking.k8s.io/gateway-name": gateway })).await;
        if reached {
            scene.decides(&proxy).await;
            edge_holds(&scene).await;
        } else {
            assert!(scene.is_untouched().await);
            assert_eq!(decisions(&proxy.stats().await), 0);
        }
    }
}

/// The label that the injector gives to sidecars keeps the mesh-wide plugins out of gateways.
#[tokio::test]
async fn mesh_wide_plugins_reach_a_sidecar_and_no_gateway() {
    for place in [Place::Sidecar, Place::Gateway] {
        let scene = Scene::set(place).await;
        scene.apply(&scene.overlay("mesh")).await;
        let proxy = scene.proxy(json!({})).await;
        match place {
            Place::Sidecar => scene.decides(&proxy).await,
            Place::Gateway => {
                assert!(scene.is_untouched().await);
                assert_eq!(decisions(&proxy.stats().await), 0);
            }
        }
    }
}
