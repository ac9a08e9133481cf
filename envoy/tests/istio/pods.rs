//! Which pods there are, as proxies and Kubernetes know them.

use crate::mesh::Places;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// What the Gateway API's controller labels a gateway's pods with.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Where proxies stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside two pods of an application, which call the upstream: a stable one, and a canary.
    Sidecars,
    /// At the edge of the mesh, installed with Istio.
    Gateway,
    /// At the edge of the mesh, made for two Gateways of the Gateway API: `public` and `internal`.
    DeclaredGateways,
    /// In front of a service, in ambient mode.
    Waypoint,
}

/// One pod.
pub struct Pod {
    /// `sidecar`, `waypoint`, or `router`, as Istio calls a gateway.
    pub kind: &'static str,
    pub namespace: &'static str,
    /// Also its workload's, its service's and its service account's.
    pub name: &'static str,
    pub ip: Ipv4Addr,
    pub labels: Value,
}

impl Pod {
    /// The pod's own name.
    pub fn instance(&self) -> String {
        format!("{}-0", self.name)
    }

    /// The address of the service in front of it, at which nothing listens.
    pub fn service_ip(&self) -> Ipv4Addr {
        let [.., last] = self.ip.octets();
        Ipv4Addr::new(10, 0, 0, last)
    }
}

impl Place {
    /// Its pods, by labels that the shipped manifests find them by.
    pub fn pods(self) -> Vec<Pod> {
        let sidecar = |name, last, labels| of("sidecar", "shop", name, last, labels);
        let gateway = |name, last, labels| of("router", "istio-ingress", name, last, labels);
        match self {
            Self::Sidecars => vec![
                sidecar("cart", 1, json!({ "app": "cart", "security.istio.io/tlsMode": "istio" })),
                sidecar(
                    "cart-canary",
                    2,
                    json!({ "app": "cart-canary", "security.istio.io/tlsMode": "istio", "tracelift.io/canary": "true" }),
                ),
            ],
            Self::Gateway => vec![gateway("istio-ingressgateway", 1, json!({ "istio": "ingressgateway" }))],
            Self::DeclaredGateways => vec![
                gateway("public-istio", 1, json!({ GATEWAY_NAME: "public" })),
                gateway("internal-istio", 2, json!({ GATEWAY_NAME: "internal" })),
            ],
            Self::Waypoint => vec![of(
                "waypoint",
                "shop",
                "waypoint",
                1,
                json!({ GATEWAY_NAME: "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller" }),
            )],
        }
    }

    /// The port of a pod that requests are sent to.
    pub fn port(self, pod: &Pod, places: &Places) -> u16 {
        if self.declared(pod) == Some("internal") { places.calls } else { places.front }
    }

    /// The Gateway that a pod was made for.
    pub fn declared(self, pod: &Pod) -> Option<&str> {
        pod.labels[GATEWAY_NAME].as_str()
    }
}

fn of(kind: &'static str, namespace: &'static str, name: &'static str, last: u8, labels: Value) -> Pod {
    Pod { kind, namespace, name, ip: Ipv4Addr::new(127, 0, 0, last), labels }
}
