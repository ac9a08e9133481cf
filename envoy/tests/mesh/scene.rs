//! A collector, an upstream, a registry with the packaged image, and an Envoy Gateway in front of them.

use crate::kit::{SOON, wait_until};
use crate::manifests::{self, settings};
use crate::registry::{REPOSITORY, Registry, summary};
use crate::standalone::Standalone;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use tracelift_envoy::{Admin, Client, Collector, Reply, Request, Stats, Upstream, ports};

/// The route's host.
const HOST: &str = "shop.example";

/// What runs.
pub struct Scene {
    pub collector: Collector,
    pub upstream: Upstream,
    pub gateway: Standalone,
    pub envoy: Admin,
    pub client: Client,
    registry: Registry,
    listener: SocketAddr,
    proxy: Value,
    certificates: std::path::PathBuf,
}

impl Scene {
    /// With the shipped manifests, the policy's settings changed; returns when the first request has been decided on.
    pub async fn start(change: impl FnOnce(&mut Value)) -> Self {
        let scene = Self::without_policy(manifests::proxy).await;
        let mut policy = scene.policy();
        change(settings(&mut policy));
        scene.apply(&[policy]);
        scene.decides().await;
        scene
    }

    /// The same before a policy is applied. `proxy` is made for the collector's address.
    pub async fn without_policy(proxy: impl FnOnce(SocketAddr) -> Value) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let registry = Registry::start().await;
        registry.push(summary()["version"].as_str().unwrap());
        let listener = ports::listen(ports::any_loopback()).unwrap().local_addr().unwrap();
        let proxy = proxy(collector.address());
        let mut certificates = None;
        let gateway = Standalone::start(|folder| {
            certificates = Some(folder.to_owned());
            all(&proxy, listener, upstream.address(), folder, &[])
        })
        .await;
        let envoy = gateway.envoy().await;
        let certificates = certificates.unwrap();
        let client = Client::new();
        let scene = Self { collector, upstream, gateway, envoy, client, registry, listener, proxy, certificates };
        wait_until("the gateway serves", async || scene.get("/cart").await.is_some_and(|reply| reply.status == 200))
            .await;
        scene
    }

    /// The shipped policy for the image in the registry.
    pub fn policy(&self) -> Value {
        let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
        manifests::policy(&format!("{}/{REPOSITORY}", self.registry.address()), &digest)
    }

    /// As `kubectl apply` of these beside what there is, and `kubectl delete` of any before.
    pub fn apply(&self, policies: &[Value]) {
        self.gateway.apply(&all(&self.proxy, self.listener, self.upstream.address(), &self.certificates, policies));
    }

    /// Sends requests until the filter has decided on one.
    pub async fn decides(&self) {
        wait_until("the filter decides", async || {
            self.get("/cart").await;
            0 < decisions(&self.stats().await)
        })
        .await;
    }

    /// A GET through the gateway; none without a reply.
    pub async fn get(&self, path: &str) -> Option<Reply> {
        self.client.send(self.request(path)).await.ok()
    }

    /// A request to the route's host.
    pub fn request(&self, path: &str) -> Request {
        Request::get(self.listener, path).host(HOST)
    }

    /// Makes such requests elsewhere.
    pub fn requests(&self) -> impl Fn(u64) -> Request + Clone + Send + 'static {
        let listener = self.listener;
        move |_| Request::get(listener, "/cart").host(HOST)
    }

    /// Envoy's counters.
    pub async fn stats(&self) -> Stats {
        self.envoy.stats().await.unwrap()
    }

    /// Waits until Envoy's counters are so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Stats) -> bool) -> Stats {
        let found = self.envoy.wait_for_stats(SOON, |stats| holds(stats).then(|| stats.clone())).await.unwrap();
        if let Some(found) = found {
            return found;
        }
        let ledger = self.stats().await.ledger();
        panic!("not within {SOON:?}: {what}; {ledger}\n{}", self.gateway.log())
    }
}

/// How many requests the filter has decided on.
pub fn decisions(stats: &Stats) -> u64 {
    stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.")
}

fn all(
    proxy: &Value,
    listener: SocketAddr,
    upstream: SocketAddr,
    certificates: &Path,
    policies: &[Value],
) -> Vec<Value> {
    let mut all = manifests::surroundings(listener, upstream);
    all.extend([proxy.clone(), manifests::way_to_the_controller(certificates)]);
    all.extend(policies.iter().cloned());
    all
}
