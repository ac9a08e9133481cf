//! Istio's control plane: istiod's discovery server with what istiod registers in it, and in place of an API server a store in memory
//! behind the schemas of Istio's resources and istiod's validating webhook.

use crate::program::{Program, folder};
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use tracelift_envoy::{Client, Request, ports};

/// What Istio's Envoy has and others have not: off.
const FEATURES: [&str; 2] = ["PILOT_ENABLE_METADATA_EXCHANGE", "PILOT_ENABLE_ALPN_FILTER"];

/// A control plane, gone when dropped.
pub struct Istiod {
    pub program: Program,
    client: Client,
    for_proxies: SocketAddr,
    for_people: SocketAddr,
}

impl Istiod {
    /// Starts it with a mesh configuration and the Kubernetes objects that there shall be, with ambient mode or without; returns when it
    /// serves.
    pub async fn start(mesh: &Value, objects: &[Value], ambient: bool) -> Self {
        let folder = folder();
        fs::write(folder.path().join("mesh"), mesh.to_string()).unwrap();
        let objects: Vec<_> = objects.iter().map(Value::to_string).collect();
        fs::write(folder.path().join("objects"), objects.join("\n---\n")).unwrap();
        let [for_proxies, for_people] = [free(), free()];
        let addresses = [for_proxies.to_string(), for_people.to_string()];
        let arguments = ["discovery", &addresses[0], &addresses[1], "mesh", "objects"];
        let mut features = FEATURES.map(|name| (name, "false".to_owned())).to_vec();
        features.push(("PILOT_ENABLE_AMBIENT", ambient.to_string()));
        let program = Program::start(folder, &arguments, &features);
        let istiod = Self { program, client: Client::new(), for_proxies, for_people };
        let serves = async || istiod.put(&json!([])).await.is_some();
        istiod.program.until("istiod serves", serves).await;
        istiod
    }

    /// Where agents find it.
    pub fn address(&self) -> SocketAddr {
        self.for_proxies
    }

    /// As `kubectl apply` of these, and `kubectl delete` of any that were applied before; what is said of those that are refused.
    pub async fn apply(&self, manifests: &[Value]) -> Vec<String> {
        let answer = self.put(&json!(manifests)).await.unwrap_or_else(|| panic!("{}", self.program.log()));
        serde_json::from_value(answer).unwrap()
    }

    /// One of its debug pages, which are in JSON; nothing where it has none.
    pub async fn page(&self, path: &str) -> Option<Value> {
        let reply = self.client.send(Request::get(self.for_people, path)).await.ok()?;
        (reply.status == 200).then(|| reply.json())
    }

    async fn put(&self, manifests: &Value) -> Option<Value> {
        let request = Request::post(self.for_people, "/manifests", manifests.to_string()).method(Method::PUT);
        let reply = self.client.send(request).await.ok()?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Some(reply.json())
    }
}

/// An address on which nothing listened a moment ago: what cannot bind port 0 and say what it got.
pub fn free() -> SocketAddr {
    ports::listen(ports::any_loopback()).unwrap().local_addr().unwrap()
}
