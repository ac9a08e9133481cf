//! A collector, an upstream, a registry with the packaged image, and an agent of Istio's whose Envoy is in front of the upstream.

use crate::istiod::{Istiod, free};
use crate::kit::traceparent;
use crate::manifests::{self, filter_name, plugins};
use crate::proxy::Proxy;
use crate::registry::{REPOSITORY, Registry, summary};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::sync::{Mutex, MutexGuard};
use tracelift_envoy::{Client, Collector, Reply, Request, Stats, Upstream};

/// Ports are taken that were free a moment ago, so that one scene is set at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What runs.
pub struct Scene {
    pub collector: Collector,
    pub upstream: Upstream,
    pub client: Client,
    registry: Registry,
    istiod: Istiod,
    overlay: &'static str,
    front: SocketAddr,
    calls: SocketAddr,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// For the proxies that an overlay is for, without one; the image is in the registry.
    pub async fn set(overlay: &'static str) -> Self {
        let scene = Self::empty(overlay).await;
        scene.push();
        scene
    }

    /// The same before the image is in the registry.
    pub async fn empty(overlay: &'static str) -> Self {
        let alone = ALONE.lock().await;
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let (registry, istiod) = (Registry::start().await, Istiod::start().await);
        let (client, front, calls) = (Client::new(), free(), free());
        Self { collector, upstream, client, registry, istiod, overlay, front, calls, _alone: alone }
    }

    /// Pushes the packaged image to the registry.
    pub fn push(&self) {
        self.registry.push(summary()["version"].as_str().unwrap());
    }

    /// A proxy as soon as it serves.
    pub async fn proxy(&self) -> Proxy {
        let proxy = self.live().await;
        self.answers(&proxy, 200).await;
        proxy
    }

    /// A proxy as soon as it is live, whatever it answers.
    pub async fn live(&self) -> Proxy {
        Proxy::start(&self.istiod, &self.bootstrap()).await
    }

    /// The shipped manifests for the image in the registry and this collector.
    pub fn manifests(&self) -> Vec<Value> {
        let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
        let image = format!("{}/{REPOSITORY}@{digest}", self.registry.address());
        manifests::overlay(self.overlay, &image, self.collector.address())
    }

    /// Has istiod send the shipped plugins, each changed, in place of those before.
    pub async fn apply(&self, change: impl Fn(&mut Value)) {
        let mut manifests = self.manifests();
        manifests.iter_mut().filter(|it| it["kind"] == "WasmPlugin").for_each(change);
        self.istiod.apply(&plugins(&manifests)).await;
    }

    /// Listeners whose filter istiod sends: a gateway's port, or a pod's own and the one for its calls. The application calls what it was
    /// called for, with every header that it got: it is the sidecar's other port.
    fn bootstrap(&self) -> Value {
        let manifests = self.manifests();
        let plugins = plugins(&manifests);
        let mut clusters = manifests::clusters(&manifests);
        clusters.push(cluster("backend", self.upstream.address()));
        let listeners = if let [inbound, outbound] = plugins[..] {
            clusters.push(cluster("application", self.calls));
            vec![
                listener(self.front, "INBOUND", inbound, "application"),
                listener(self.calls, "OUTBOUND", outbound, "backend"),
            ]
        } else {
            vec![listener(self.front, "OUTBOUND", plugins[0], "backend")]
        };
        json!({ "static_resources": { "listeners": listeners, "clusters": clusters } })
    }

    /// Sends requests until the proxy's filter has decided on one.
    pub async fn decides(&self, proxy: &Proxy) {
        let before = decisions(&proxy.stats().await);
        let decided = async || {
            self.get("/cart").await;
            before < decisions(&proxy.stats().await)
        };
        proxy.program.until("the filter decides", decided).await;
    }

    /// Waits until a request is answered with that status.
    pub async fn answers(&self, proxy: &Proxy, status: u16) {
        let answers = async || self.get("/cart").await.is_some_and(|reply| reply.status == status);
        proxy.program.until(&format!("requests are answered with {status}"), answers).await;
    }

    /// Waits until requests pass with the context that they came with, as those do that no filter sees.
    pub async fn passes_untouched(&self, proxy: &Proxy) {
        proxy.program.until("requests pass untouched", async || self.is_untouched().await).await;
    }

    /// Whether a request passes with the context that it came with.
    pub async fn is_untouched(&self) -> bool {
        let context = traceparent(9, true);
        let reply = self.client.send(self.request("/mine").header("traceparent", &context)).await.unwrap();
        assert_eq!(reply.status, 200);
        let arrivals = self.upstream.arrivals();
        arrivals
            .iter()
            .rev()
            .find(|arrival| arrival.path == "/mine")
            .is_some_and(|it| it.text("traceparent") == context)
    }

    /// A GET through the proxy; none without a reply.
    pub async fn get(&self, path: &str) -> Option<Reply> {
        self.client.send(self.request(path)).await.ok()
    }

    /// A request to the proxy.
    pub fn request(&self, path: &str) -> Request {
        Request::get(self.front, path)
    }

    /// Makes such requests elsewhere.
    pub fn requests(&self) -> impl Fn(u64) -> Request + Clone + Send + 'static {
        let front = self.front;
        move |_| Request::get(front, "/cart")
    }
}

/// How many requests the filter has decided on.
pub fn decisions(stats: &Stats) -> u64 {
    stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.")
}

fn cluster(name: &str, to: SocketAddr) -> Value {
    let address = json!({ "socket_address": { "address": to.ip(), "port_value": to.port() } });
    json!({
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

/// As istiod makes it (`pilot/pkg/networking/core/extension`): nothing stands in for a filter that does not come.
fn listener(at: SocketAddr, direction: &str, plugin: &Value, cluster: &str) -> Value {
    let filter = json!({
        "name": filter_name(plugin),
        "config_discovery": {
            "config_source": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
            "type_urls": [
                "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            ],
        },
    });
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let hosts = json!([{ "name": cluster, "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }] }]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": cluster,
        "route_config": { "virtual_hosts": hosts },
        "http_filters": [filter, router],
    });
    json!({
        "name": at.to_string(),
        "traffic_direction": direction,
        "address": { "socket_address": { "address": at.ip(), "port_value": at.port() } },
        "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }],
    })
}
