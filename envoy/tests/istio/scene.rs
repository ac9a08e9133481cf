//! A collector, an upstream, a registry with the packaged image, Istio, and its proxies in front of the upstream.

use crate::istiod::{Istiod, free};
use crate::kit::{SOON, traceparent};
use crate::manifests;
use crate::mesh::{self, HOST, Places};
use crate::pods::Place;
use crate::proxy::Proxy;
use crate::registry::{REPOSITORY, Registry, summary};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Client, Collector, ReceivedSpan, Reply, Request, Stats, Upstream};

/// Ports are taken that were free a moment ago, so that one scene is set at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What runs.
pub struct Scene {
    pub collector: Collector,
    pub upstream: Upstream,
    pub client: Client,
    pub istiod: Istiod,
    registry: Registry,
    place: Place,
    places: Places,
    _tracer: RefusingPort,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// Without a proxy and without the filter's manifests; the image is in the registry.
    pub async fn set(place: Place) -> Self {
        let scene = Self::of(place, false).await;
        scene.push();
        scene
    }

    /// The same before the image is in the registry.
    pub async fn empty(place: Place) -> Self {
        Self::of(place, false).await
    }

    /// The same in a mesh that has tracing of its own.
    pub async fn traced(place: Place) -> Self {
        let scene = Self::of(place, true).await;
        scene.push();
        scene
    }

    /// Pushes the packaged image to the registry.
    pub fn push(&self) {
        self.registry.push(summary()["version"].as_str().unwrap());
    }

    async fn of(place: Place, traced: bool) -> Self {
        let alone = ALONE.lock().await;
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let registry = Registry::start().await;
        let tracer = RefusingPort::any().unwrap();
        let [front, calls, tracer_port] = [free(), free(), free()].map(|address| address.port());
        let places = Places { front, calls, backend: upstream.address(), tracer_port, tracer: tracer.address() };
        let ambient = place == Place::Waypoint;
        let objects = mesh::objects(place, &places);
        let istiod = Istiod::start(&mesh::configuration(traced, &places), &objects, ambient).await;
        let client = Client::new();
        let scene =
            Self { collector, upstream, client, istiod, registry, place, places, _tracer: tracer, _alone: alone };
        scene.apply(&[]).await;
        scene
    }

    /// The first proxy of the place as soon as it serves.
    pub async fn proxy(&self) -> Proxy {
        self.serving(0).await
    }

    /// One of the place's proxies as soon as it serves.
    pub async fn serving(&self, number: usize) -> Proxy {
        let proxy = self.live(number).await;
        self.answers(&proxy, 200).await;
        proxy
    }

    /// The same as soon as it is live, whatever it answers.
    pub async fn live(&self, number: usize) -> Proxy {
        let pod = &self.place.pods()[number];
        Proxy::start(&self.istiod, pod, self.place.port(pod, &self.places)).await
    }

    /// The same as soon as istiod knows it.
    pub async fn connected(&self, number: usize) -> Proxy {
        let pod = &self.place.pods()[number];
        let proxy = Proxy::begin(&self.istiod, pod, self.place.port(pod, &self.places));
        proxy.program.until("the proxy is connected", async || self.sent(number).await.is_some()).await;
        proxy
    }

    /// What istiod has for one of the place's proxies, in the form of Envoy's own `/config_dump`; nothing before it is connected.
    pub async fn sent(&self, number: usize) -> Option<Value> {
        let pod = &self.place.pods()[number];
        self.istiod.page(&format!("/debug/config_dump?proxyID={}.{}", pod.instance(), pod.namespace)).await
    }

    /// A shipped overlay for the image in the registry and this collector.
    pub fn overlay(&self, name: &str) -> Vec<Value> {
        manifests::overlay(name, &self.image(), self.collector.address())
    }

    /// The chart with the values that are kept for an overlay, for the same.
    pub fn chart(&self, namespace: &str, values: &str) -> Vec<Value> {
        manifests::chart(namespace, values, &self.image(), self.collector.address())
    }

    fn image(&self) -> String {
        let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
        format!("{}/{REPOSITORY}@{digest}", self.registry.address())
    }

    /// The overlay with every plugin changed.
    pub fn changed(&self, name: &str, change: impl Fn(&mut Value)) -> Vec<Value> {
        let mut manifests = self.overlay(name);
        manifests::change(&mut manifests, change);
        manifests
    }

    /// The overlay with that ratio in every plugin.
    pub fn with_ratio(&self, name: &str, ratio: f64) -> Vec<Value> {
        self.changed(name, |plugin| manifests::settings(plugin)["sampling"]["ratio"] = ratio.into())
    }

    /// As `kubectl apply` of these beside what there is, and `kubectl delete` of any before; all are admitted.
    pub async fn apply(&self, manifests: &[Value]) {
        let refused = self.try_to_apply(manifests).await;
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// The same; what is said of those that are refused.
    pub async fn try_to_apply(&self, manifests: &[Value]) -> Vec<String> {
        let mut all = mesh::resources(self.place, &self.places);
        all.extend(manifests.iter().cloned());
        self.istiod.apply(&all).await
    }

    /// Sends requests until the proxy's filter has decided on one more.
    pub async fn decides(&self, proxy: &Proxy) {
        let before = decisions(&proxy.stats().await);
        let decided = async || {
            self.get(proxy, "/cart").await;
            before < decisions(&proxy.stats().await)
        };
        proxy.program.until("the filter decides", decided).await;
    }

    /// Waits until a request is answered with that status.
    pub async fn answers(&self, proxy: &Proxy, status: u16) {
        let answers = async || self.get(proxy, "/cart").await.is_some_and(|reply| reply.status == status);
        proxy.program.until(&format!("requests are answered with {status}"), answers).await;
    }

    /// Waits until requests pass with the context that they came with, as those do that no filter sees.
    pub async fn passes_untouched(&self, proxy: &Proxy) {
        proxy.program.until("requests pass untouched", async || self.is_untouched(proxy).await).await;
    }

    /// Whether a request passes with the context that it came with.
    pub async fn is_untouched(&self, proxy: &Proxy) -> bool {
        let context = traceparent(9, true);
        let reply = self.client.send(self.request(proxy, "/mine").header("traceparent", &context)).await.unwrap();
        assert_eq!(reply.status, 200);
        let arrivals = self.upstream.arrivals();
        arrivals
            .iter()
            .rev()
            .find(|arrival| arrival.path == "/mine")
            .is_some_and(|it| it.text("traceparent") == context)
    }

    /// A GET through a proxy; none without a reply.
    pub async fn get(&self, proxy: &Proxy, path: &str) -> Option<Reply> {
        self.client.send(self.request(proxy, path)).await.ok()
    }

    /// A request to a proxy.
    pub fn request(&self, proxy: &Proxy, path: &str) -> Request {
        Request::get(proxy.front, path).host(HOST)
    }

    /// Makes such requests elsewhere.
    pub fn requests(&self, proxy: &Proxy) -> impl Fn(u64) -> Request + Clone + Send + 'static {
        let front = proxy.front;
        move |_| Request::get(front, "/cart").host(HOST)
    }

    /// Every span that was made was exported and has arrived.
    pub async fn everything_arrives(&self, proxy: &Proxy) {
        let ledger = proxy.until("nothing waits", |stats| stats.ledger().is_settled()).await.ledger();
        assert_eq!(ledger.discarded, 0, "{ledger}");
        self.collector.wait_for_spans(ledger.exported as usize, SOON).await.unwrap();
        assert_eq!(ReceivedSpan::distinct(&self.collector.spans()) as u64, ledger.exported);
    }
}

/// How many requests the filter has decided on.
pub fn decisions(stats: &Stats) -> u64 {
    stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.")
}
