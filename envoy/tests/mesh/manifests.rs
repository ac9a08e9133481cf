//! The shipped manifests, with what every installation changes: the image, the collector's address; and what a cluster has around them.

use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

const POLICY: &str = include_str!("../../gateway-api/envoyextensionpolicy.yaml");
const PROXY: &str = include_str!("../../gateway-api/envoyproxy.yaml");
const DYNAMIC: &str = include_str!("../../gateway-api/dynamic-module.yaml");
const NAMESPACE: &str = "ingress";
/// As the shipped `EnvoyProxy` has it.
const COLLECTOR: &str = "address: otel-collector.observability.svc.cluster.local, port_value: 4318";

/// The shipped `EnvoyExtensionPolicy` for the image of that digest in that repository; spans leave every 100 ms.
pub fn policy(repository: &str, digest: &str) -> Value {
    let mut policy = only(POLICY, "EnvoyExtensionPolicy");
    let image = &mut policy["spec"]["wasm"][0]["code"]["image"];
    image["url"] = format!("{repository}@{digest}").into();
    image["sha256"] = digest.trim_start_matches("sha256:").into();
    settings(&mut policy)["export"]["scheduled_delay_ms"] = 100.into();
    policy
}

/// The shipped policy for the dynamic module.
pub fn dynamic_policy() -> Value {
    let mut policy = only(DYNAMIC, "EnvoyExtensionPolicy");
    settings(&mut policy)["export"]["scheduled_delay_ms"] = 100.into();
    policy
}

/// The filter's settings in a policy.
pub fn settings(policy: &mut Value) -> &mut Value {
    let form = if policy["spec"]["wasm"].is_null() { "dynamicModule" } else { "wasm" };
    &mut policy["spec"][form][0]["config"]
}

/// The shipped `EnvoyProxy` for a collector at that address.
pub fn proxy(collector: SocketAddr) -> Value {
    for_this_machine(only(PROXY, "EnvoyProxy"), collector)
}

/// The one of the dynamic module, for a library at that path.
pub fn dynamic_proxy(collector: SocketAddr, library: &Path) -> Value {
    let mut proxy = only(DYNAMIC, "EnvoyProxy");
    proxy["spec"]["dynamicModules"][0]["source"]["local"]["path"] = json!(library);
    for_this_machine(proxy, collector)
}

fn for_this_machine(mut proxy: Value, collector: SocketAddr) -> Value {
    let bootstrap = proxy["spec"]["bootstrap"]["value"].as_str().unwrap();
    assert_eq!(bootstrap.matches(COLLECTOR).count(), 1);
    let address = format!("address: {}, port_value: {}", collector.ip(), collector.port());
    proxy["spec"]["bootstrap"]["value"] = bootstrap.replace(COLLECTOR, &address).into();
    proxy["spec"]["concurrency"] = 2.into();
    proxy["spec"]["provider"] = json!({ "type": "Host", "host": { "envoyVersion": crate::standalone::ENVOY_VERSION } });
    proxy
}

/// What stands around the policy: a Gateway of the name that it targets, with the `EnvoyProxy` attached as its comment says, and
/// a route to a backend.
pub fn surroundings(listener: SocketAddr, backend: SocketAddr) -> Vec<Value> {
    let of = |group: &str, kind: &str, name: &str, spec: Value| json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
    let (api, ours) = ("gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1");
    vec![
        json!({ "apiVersion": api, "kind": "GatewayClass", "metadata": { "name": "eg" },
                "spec": { "controllerName": "gateway.envoyproxy.io/gatewayclass-controller" } }),
        of(
            api,
            "Gateway",
            "public",
            json!({
                "gatewayClassName": "eg",
                "infrastructure": { "parametersRef": { "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "tracelift" } },
                "listeners": [{ "name": "http", "protocol": "HTTP", "port": listener.port() }],
            }),
        ),
        of(
            api,
            "HTTPRoute",
            "shop",
            json!({
                "parentRefs": [{ "name": "public" }],
                "hostnames": ["shop.example"],
                "rules": [{ "backendRefs": [{ "group": "gateway.envoyproxy.io", "kind": "Backend", "name": "shop" }] }],
            }),
        ),
        of(
            ours,
            "Backend",
            "shop",
            json!({
                "endpoints": [{ "ip": { "address": backend.ip().to_string(), "port": backend.port() } }],
            }),
        ),
    ]
}

/// Another policy of the Gateway's listener, which has nothing to do with the filter: a header for every request.
pub fn early_header(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "ClientTrafficPolicy",
        "metadata": { "name": "early", "namespace": NAMESPACE },
        "spec": {
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public" }],
            "headers": { "earlyRequestHeaders": { "set": [{ "name": name, "value": "1" }] } },
        },
    })
}

/// Has Envoy find the controller, which serves the module: in a cluster by a name of its DNS and with a certificate that is mounted.
pub fn way_to_the_controller(certificates: &Path) -> Value {
    let file = |name: &str| json!({ "filename": certificates.join("envoy").join(name) });
    let patch = |path: &str, value: Value| {
        json!({
            "type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "wasm_cluster",
            "operation": { "op": "replace", "path": path, "value": value },
        })
    };
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": { "name": "way-to-the-controller", "namespace": NAMESPACE },
        "spec": {
            "targetRef": { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public" },
            "type": "JSONPatch",
            "jsonPatches": [
                patch("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address", json!("127.0.0.1")),
                patch("/transport_socket/typed_config/common_tls_context", json!({
                    "tls_params": { "tls_maximum_protocol_version": "TLSv1_3" },
                    "tls_certificates": [{ "certificate_chain": file("tls.crt"), "private_key": file("tls.key") }],
                    "validation_context": { "trusted_ca": file("ca.crt") },
                })),
            ],
        },
    })
}

fn only(text: &str, kind: &str) -> Value {
    let documents = yaml_serde::Deserializer::from_str(text);
    let mut documents = documents.map(|document| Value::deserialize(document).unwrap());
    documents.find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}
