//! The shipped manifests, with what every installation changes: the image, the collector's address; and what istiod makes of them.

use crate::kit::kustomize;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// As the shipped `EnvoyFilter` has it.
const COLLECTOR: (&str, u16) = ("otel-collector.observability.svc.cluster.local", 4318);

/// What kustomize renders of an overlay for the image of that name and a collector at that address; spans leave every 100 ms.
pub fn overlay(name: &str, image: &str, collector: SocketAddr) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("istio/overlays").join(name);
    let rendered = kustomize(&folder);
    let documents = yaml_serde::Deserializer::from_str(&rendered);
    let mut documents: Vec<Value> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
    for document in &mut documents {
        if document["kind"] == "WasmPlugin" {
            document["spec"]["url"] = format!("oci://{image}").into();
            settings(document)["export"]["scheduled_delay_ms"] = 100.into();
        }
        if document["kind"] == "EnvoyFilter" {
            let socket = document.pointer_mut(SOCKET).unwrap();
            assert_eq!((&socket["address"], &socket["port_value"]), (&json!(COLLECTOR.0), &json!(COLLECTOR.1)));
            *socket = json!({ "address": collector.ip(), "port_value": collector.port() });
        }
    }
    documents
}

/// The collector's address in the `EnvoyFilter`.
const SOCKET: &str =
    "/spec/configPatches/0/patch/value/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";

/// The plugins among them.
pub fn plugins(manifests: &[Value]) -> Vec<&Value> {
    manifests.iter().filter(|it| it["kind"] == "WasmPlugin").collect()
}

/// The filter's settings in a plugin.
pub fn settings(plugin: &mut Value) -> &mut Value {
    &mut plugin["spec"]["pluginConfig"]
}

/// The clusters that the `EnvoyFilter` among them adds.
pub fn clusters(manifests: &[Value]) -> Vec<Value> {
    let filter = manifests.iter().find(|it| it["kind"] == "EnvoyFilter").unwrap();
    filter["spec"]["configPatches"].as_array().unwrap().iter().map(|it| it["patch"]["value"].clone()).collect()
}

/// The name of a plugin's filter in Envoy (`pilot/pkg/model/extensions.go`, as is all below).
pub fn filter_name(plugin: &Value) -> String {
    format!("extensions.istio.io/trafficextension/{}", name(plugin))
}

fn name(plugin: &Value) -> String {
    let of = |key: &str| plugin["metadata"][key].as_str().unwrap();
    format!("{}.{}", of("namespace"), of("name"))
}

/// The extension configuration that istiod makes of a plugin, with the variables that the agent reads and removes.
pub fn as_istiod_sends(plugin: &Value) -> Value {
    let spec = &plugin["spec"];
    let of_host = |it: &&Value| it["valueFrom"] == "HOST";
    let variables = spec["vmConfig"]["env"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut inline: Map<_, _> =
        variables.iter().filter(|it| !of_host(it)).map(|it| (text(&it["name"]), it["value"].clone())).collect();
    inline.insert("ISTIO_META_WASM_IMAGE_PULL_POLICY".to_owned(), spec["imagePullPolicy"].clone());
    inline.insert("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION".to_owned(), "1".into());
    let host: Vec<_> = variables.iter().filter(of_host).map(|it| it["name"].clone()).collect();
    let failure =
        if spec["failStrategy"] == "FAIL_CLOSE" { json!("FAIL_CLOSED") } else { spec["failStrategy"].clone() };
    json!({
        "name": filter_name(plugin),
        "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name(plugin),
                "rootId": spec["pluginName"],
                "failurePolicy": failure,
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": spec["pluginConfig"].to_string(),
                },
                "vmConfig": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "remote": {
                        "httpUri": { "uri": spec["url"], "timeout": "30s", "cluster": "_" },
                        "sha256": spec["sha256"].as_str().unwrap_or_default(),
                    } },
                    "environmentVariables": { "keyValues": inline, "hostEnvKeys": host },
                },
            },
        },
    })
}
