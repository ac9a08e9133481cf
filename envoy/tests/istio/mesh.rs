//! What a mesh has around the shipped manifests: its configuration, pods and services as Kubernetes has them, and the resources of
//! Istio's that give proxies their ports and routes.

use crate::pods::{Place, Pod};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The name that requests are for.
pub const HOST: &str = "backend.example";

/// Where a scene's parts listen.
pub struct Places {
    /// The port of a pod or gateway that requests are sent to.
    pub front: u16,
    /// The sidecar's port for calls that its application makes; of a second gateway, the port that requests are sent to.
    pub calls: u16,
    pub backend: SocketAddr,
    /// The port in the mesh of the backend of Envoy's own tracer.
    pub tracer_port: u16,
    /// Where that would be.
    pub tracer: SocketAddr,
}

/// The mesh's configuration; with tracing of its own, to a backend that does not answer, or without.
pub fn configuration(traced: bool, places: &Places) -> Value {
    let mut mesh = json!({ "rootNamespace": "istio-system", "enableAutoMtls": false });
    if traced {
        let backend = json!({ "service": "tracer.example", "port": places.tracer_port });
        mesh["extensionProviders"] = json!([{ "name": "otel", "opentelemetry": backend }]);
        mesh["defaultProviders"] = json!({ "tracing": ["otel"] });
    }
    mesh
}

/// The Kubernetes objects of a place: its pods, a service for each, and what a gateway of the Gateway API is declared by.
pub fn objects(place: Place, places: &Places) -> Vec<Value> {
    let mut objects = if place == Place::Waypoint { waypoint(places).to_vec() } else { Vec::new() };
    for pod in place.pods() {
        let port = place.port(&pod, places);
        objects.extend(workload(&pod, port));
        if let (Place::DeclaredGateways, Some(gateway)) = (place, place.declared(&pod)) {
            objects.extend(declared(&pod, gateway, port, places));
        }
    }
    objects
}

fn object(kind: (&str, &str), namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": kind.0, "kind": kind.1, "metadata": { "name": name, "namespace": namespace } })
}

/// A running pod, the service in front of it, and the service's endpoint.
fn workload(pod: &Pod, port: u16) -> [Value; 3] {
    let of = |kind, name: &str| object(kind, pod.namespace, name);
    let mut running = of(("v1", "Pod"), &pod.instance());
    running["metadata"]["labels"] = pod.labels.clone();
    running["spec"] = json!({ "serviceAccountName": pod.name, "containers": [{ "name": "istio-proxy" }] });
    running["status"] = json!({
        "phase": "Running",
        "podIP": pod.ip,
        "podIPs": [{ "ip": pod.ip }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    });
    let ports = json!([{ "name": "http", "port": port, "protocol": "TCP" }]);
    let mut service = of(("v1", "Service"), pod.name);
    let mut service_ports = ports.clone();
    service_ports[0]["targetPort"] = port.into();
    service["spec"] = json!({ "clusterIP": pod.service_ip(), "selector": pod.labels, "ports": service_ports });
    let mut endpoints = of(("discovery.k8s.io/v1", "EndpointSlice"), pod.name);
    endpoints["metadata"]["labels"] = json!({ "kubernetes.io/service-name": pod.name });
    endpoints["addressType"] = "IPv4".into();
    endpoints["ports"] = ports;
    endpoints["endpoints"] = json!([{
        "addresses": [pod.ip],
        "conditions": { "ready": true },
        "targetRef": { "kind": "Pod", "name": pod.instance(), "namespace": pod.namespace },
    }]);
    [running, service, endpoints]
}

/// A gateway of the Gateway API in a pod, and its route to the backend.
fn declared(pod: &Pod, gateway: &str, port: u16, places: &Places) -> [Value; 2] {
    let of = |kind: &str, spec: Value| {
        let mut it = object(("gateway.networking.k8s.io/v1", kind), pod.namespace, gateway);
        it["spec"] = spec;
        it
    };
    let listener = json!({ "name": "http", "port": port, "protocol": "HTTP" });
    let backend = json!({ "group": "networking.istio.io", "kind": "Hostname", "name": HOST, "port": places.calls });
    [
        of("Gateway", json!({ "gatewayClassName": "istio", "listeners": [listener] })),
        of("HTTPRoute", json!({ "parentRefs": [{ "name": gateway }], "rules": [{ "backendRefs": [backend] }] })),
    ]
}

/// A waypoint that is ready, and a service that is reached through it.
fn waypoint(places: &Places) -> [Value; 2] {
    let mut gateway = object(("gateway.networking.k8s.io/v1", "Gateway"), "shop", "waypoint");
    let listener = json!({ "name": "mesh", "port": 15008, "protocol": "HBONE" });
    gateway["spec"] = json!({ "gatewayClassName": "istio-waypoint", "listeners": [listener] });
    gateway["status"] = json!({ "addresses": [{ "type": "Hostname", "value": "waypoint.shop.svc.cluster.local" }] });
    let mut service = object(("v1", "Service"), "shop", "cart");
    service["metadata"]["labels"] = json!({ "istio.io/use-waypoint": "waypoint" });
    let ports = json!([{ "name": "http", "port": places.front, "targetPort": places.front, "protocol": "TCP" }]);
    service["spec"] = json!({ "clusterIP": "10.0.0.9", "selector": { "app": "cart" }, "ports": ports });
    [gateway, service]
}

/// What is applied beside the shipped manifests: services outside of the mesh, and the place's ports.
pub fn resources(place: Place, places: &Places) -> Vec<Value> {
    let mut resources = services(places).to_vec();
    match place {
        Place::Sidecars => resources.extend(place.pods().iter().map(|pod| sidecar(pod, places))),
        Place::Gateway => resources.extend(gateway(&place.pods()[0], places)),
        Place::DeclaredGateways | Place::Waypoint => {}
    }
    resources
}

/// One that pods call and gateways route to, and the backend of Envoy's own tracer.
fn services(places: &Places) -> [Value; 2] {
    let entry = |name: &str, port: u16, protocol: &str, endpoint: SocketAddr| {
        let mut it = object(("networking.istio.io/v1", "ServiceEntry"), "istio-system", name);
        let of_protocol = protocol.to_lowercase();
        it["spec"] = json!({
            "hosts": [format!("{name}.example")],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{ "number": port, "name": of_protocol, "protocol": protocol }],
            "endpoints": [{ "address": endpoint.ip(), "ports": { of_protocol: endpoint.port() } }],
        });
        it
    };
    [entry("backend", places.calls, "HTTP", places.backend), entry("tracer", places.tracer_port, "GRPC", places.tracer)]
}

/// The ports of a pod's sidecar. The application behind it calls what it was called for, with every header that it got: it is the
/// sidecar's other port.
fn sidecar(pod: &Pod, places: &Places) -> Value {
    let of =
        |port: u16, protocol: &str| json!({ "number": port, "name": protocol.to_lowercase(), "protocol": protocol });
    let calls = |port: u16, protocol: &str| json!({ "port": of(port, protocol), "bind": pod.ip, "hosts": ["*/*"] });
    let mut it = object(("networking.istio.io/v1", "Sidecar"), pod.namespace, &pod.instance());
    it["spec"] = json!({
        "workloadSelector": { "labels": pod.labels },
        "ingress": [{
            "port": of(places.front, "HTTP"),
            "bind": pod.ip,
            "defaultEndpoint": format!("0.0.0.0:{}", places.calls), // The pod's own address.
        }],
        "egress": [calls(places.calls, "HTTP"), calls(places.tracer_port, "GRPC")],
    });
    it
}

/// The port of a gateway that was installed with Istio, and its route to the backend.
fn gateway(pod: &Pod, places: &Places) -> [Value; 2] {
    let of = |kind: &str, spec: Value| {
        let mut it = object(("networking.istio.io/v1", kind), pod.namespace, "shop");
        it["spec"] = spec;
        it
    };
    let port = json!({ "number": places.front, "name": "http", "protocol": "HTTP" });
    let to = json!({ "host": HOST, "port": { "number": places.calls } });
    [
        of("Gateway", json!({ "selector": pod.labels, "servers": [{ "port": port, "hosts": ["*"] }] })),
        of(
            "VirtualService",
            json!({ "hosts": [HOST], "gateways": ["shop"], "http": [{ "route": [{ "destination": to }] }] }),
        ),
    ]
}
