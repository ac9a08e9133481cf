//! Where the filter stands among Istio's own.

use crate::pods::Place;
use crate::scene::Scene;
use serde_json::{Value, json};

/// Everything behind a path is forbidden to everybody.
fn policy() -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": { "name": "staff", "namespace": "shop" },
        "spec": { "action": "DENY", "rules": [{ "to": [{ "operation": { "paths": ["/staff"] } }] }] },
    })
}

/// The names of the HTTP filters of an inbound listener, in order.
fn inbound_filters(dump: &Value) -> Vec<String> {
    let configs = dump["configs"].as_array().unwrap();
    let listeners = configs.iter().filter_map(|config| config["dynamic_listeners"].as_array()).flatten();
    let mut inbound =
        listeners.map(|it| &it["active_state"]["listener"]).filter(|it| it["traffic_direction"] == "INBOUND");
    let chains = inbound.next().unwrap()["filter_chains"].as_array().unwrap();
    let filters = chains[0]["filters"].as_array().unwrap().iter();
    let mut http = filters.filter_map(|filter| filter["typed_config"]["http_filters"].as_array());
    http.next().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_the_proxy_itself_forbids_has_a_span_because_the_filter_stands_before_authorization() {
    let scene = Scene::set(Place::Sidecars).await;
    let mut manifests = scene.with_ratio("namespace", 1.0);
    manifests.push(policy());
    scene.apply(&manifests).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let filters = inbound_filters(&proxy.admin.config_dump().await.unwrap());
    let at = |name: &str| filters.iter().position(|it| it.contains(name)).unwrap_or_else(|| panic!("{filters:?}"));
    assert!(at("tracelift-inbound") < at("envoy.filters.http.rbac"), "{filters:?}");
    let arrived = scene.upstream.arrivals().len();
    assert_eq!(scene.get(&proxy, "/staff").await.unwrap().status, 403);
    assert_eq!(scene.upstream.arrivals().len(), arrived);
    let forbidden =
        || scene.collector.spans().into_iter().any(|span| span.int("http.response.status_code") == Some(403));
    proxy.program.until("its span arrives", async || forbidden()).await;
}
