//! What stands in for istiod: it sends agents the extension configurations that there are, as istiod makes them of plugins.

use crate::manifests::as_istiod_sends;
use crate::program::{Program, folder};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tracelift_envoy::{Client, Request, ports};

/// The stand-in, gone when dropped.
pub struct Istiod {
    pub program: Program,
    client: Client,
    for_proxies: SocketAddr,
    for_people: SocketAddr,
}

impl Istiod {
    /// Without a plugin; returns when it serves.
    pub async fn start() -> Self {
        let [for_proxies, for_people] = [free(), free()];
        let arguments = ["discovery", &for_proxies.to_string(), &for_people.to_string()];
        let program = Program::start(folder(), &arguments, &[]);
        let istiod = Self { program, client: Client::new(), for_proxies, for_people };
        istiod.program.until("istiod serves", async || istiod.put(&json!([])).await).await;
        istiod
    }

    /// Where agents find it.
    pub fn address(&self) -> SocketAddr {
        self.for_proxies
    }

    /// Sends these plugins in place of those before.
    pub async fn apply(&self, plugins: &[&Value]) {
        let extensions: Vec<_> = plugins.iter().map(|plugin| as_istiod_sends(plugin)).collect();
        assert!(self.put(&json!(extensions)).await, "{}", self.program.log());
    }

    async fn put(&self, extensions: &Value) -> bool {
        let request = Request::post(self.for_people, "/", extensions.to_string());
        self.client.send(request).await.is_ok_and(|reply| {
            assert_eq!(reply.status, 200, "{}", reply.text());
            true
        })
    }
}

/// An address on which nothing listened a moment ago: what cannot bind port 0 and say what it got.
pub fn free() -> SocketAddr {
    ports::listen(ports::any_loopback()).unwrap().local_addr().unwrap()
}
