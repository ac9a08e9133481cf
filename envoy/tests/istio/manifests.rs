//! The shipped manifests, with what every installation changes: the image, the collector's address; and what a mesh has around them.

use crate::kit::kustomize;
use serde::Deserialize;
use serde_json::{Value, json};
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
        if is_plugin(document) {
            module(document)["url"] = format!("oci://{image}").into();
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
pub const SOCKET: &str =
    "/spec/configPatches/0/patch/value/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";

/// Whether it is the filter itself, in one of its two forms.
pub fn is_plugin(manifest: &Value) -> bool {
    manifest["kind"] == "WasmPlugin" || manifest["kind"] == "TrafficExtension"
}

/// What a plugin says of the module: a `TrafficExtension` has it in a place of its own.
pub fn module(plugin: &mut Value) -> &mut Value {
    let flat = plugin["kind"] == "WasmPlugin";
    let spec = &mut plugin["spec"];
    if flat { spec } else { &mut spec["wasm"] }
}

/// The filter's settings in a plugin.
pub fn settings(plugin: &mut Value) -> &mut Value {
    &mut module(plugin)["pluginConfig"]
}

/// Changes every plugin among them.
pub fn change(manifests: &mut [Value], change: impl Fn(&mut Value)) {
    manifests.iter_mut().filter(|manifest| is_plugin(manifest)).for_each(change);
}

/// The mesh's configuration, without tracing of its own.
pub fn mesh() -> Value {
    json!({ "rootNamespace": "istio-system", "enableAutoMtls": false, "enableTracing": false })
}

/// The same with tracing of its own, to a backend that does not answer.
pub fn traced_mesh(places: &Places) -> Value {
    json!({
        "rootNamespace": "istio-system",
        "enableAutoMtls": false,
        "extensionProviders": [{
            "name": "otel",
            "opentelemetry": { "service": "tracer.example", "port": places.tracer_port },
        }],
        "defaultProviders": { "tracing": ["otel"] },
    })
}

/// Where a scene's parts listen.
pub struct Places {
    /// The pod's own port, or the gateway's.
    pub front: SocketAddr,
    /// The sidecar's port for calls that the pod makes.
    pub calls: SocketAddr,
    pub backend: SocketAddr,
    /// The port in the mesh of the backend of Envoy's own tracer.
    pub tracer_port: u16,
    /// Where that would be.
    pub tracer: SocketAddr,
}

/// Services outside of the mesh: one that the pod calls and the gateway routes to, and the backend of Envoy's own tracer.
pub fn services(places: &Places) -> Vec<Value> {
    let entry = |name: &str, port: u16, protocol: &str, endpoint: SocketAddr| {
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": { "name": name, "namespace": "istio-system" },
            "spec": {
                "hosts": [format!("{name}.example")],
                "location": "MESH_EXTERNAL",
                "resolution": "STATIC",
                "ports": [{ "number": port, "name": protocol.to_lowercase(), "protocol": protocol }],
                "endpoints": [{ "address": endpoint.ip(), "ports": { protocol.to_lowercase(): endpoint.port() } }],
            },
        })
    };
    vec![
        entry("backend", places.calls.port(), "HTTP", places.backend),
        entry("tracer", places.tracer_port, "GRPC", places.tracer),
    ]
}

/// The ports of a pod's sidecar. The application behind it calls what it was called for, with every header that it got: it is the sidecar's
/// other port.
pub fn sidecar(namespace: &str, places: &Places) -> Value {
    let calls = |port: u16, protocol: &str| {
        json!({
            "port": { "number": port, "name": protocol.to_lowercase(), "protocol": protocol },
            "bind": "127.0.0.1",
            "hosts": ["*/*"],
        })
    };
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": { "name": "ports", "namespace": namespace },
        "spec": {
            "ingress": [{
                "port": { "number": places.front.port(), "name": "http", "protocol": "HTTP" },
                "bind": "127.0.0.1",
                "defaultEndpoint": places.calls.to_string(),
            }],
            "egress": [calls(places.calls.port(), "HTTP"), calls(places.tracer_port, "GRPC")],
        },
    })
}

/// A gateway's port, and its route to the backend.
pub fn gateway(namespace: &str, labels: &Value, places: &Places) -> Vec<Value> {
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": { "name": "shop", "namespace": namespace },
            "spec": spec,
        })
    };
    let port = json!({ "number": places.front.port(), "name": "http", "protocol": "HTTP" });
    let to = json!({ "host": "backend.example", "port": { "number": places.calls.port() } });
    vec![
        of("Gateway", json!({ "selector": labels, "servers": [{ "port": port, "hosts": ["*"] }] })),
        of(
            "VirtualService",
            json!({ "hosts": ["backend.example"], "gateways": ["shop"], "http": [{ "route": [{ "destination": to }] }] }),
        ),
    ]
}
