//! A collector, an upstream, a registry with the packaged image, Istio, and one of its proxies in front of the upstream.

use crate::istiod::{Istiod, free};
use crate::kit::{SOON, traceparent};
use crate::manifests::{self, Places};
use crate::proxy::{Pod, Proxy};
use crate::registry::{REPOSITORY, Registry, summary};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Client, Collector, ReceivedSpan, Reply, Request, Stats, Upstream};

/// The name that requests are for.
const HOST: &str = "backend.example";

/// Ports are taken that were free a moment ago, so that one scene is set at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Where the proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside an application, which calls the upstream.
    Sidecar,
    /// At the edge of the mesh.
    Gateway,
}

impl Place {
    fn namespace(self) -> &'static str {
        match self {
            Self::Sidecar => "shop",
            Self::Gateway => "istio-ingress",
        }
    }

    /// Labels by which the shipped manifests find it.
    fn labels(self) -> Value {
        match self {
            Self::Sidecar => json!({ "app": "cart", "security.istio.io/tlsMode": "istio" }),
            Self::Gateway => json!({ "istio": "ingressgateway" }),
        }
    }
}

/// What runs.
pub struct Scene {
    pub collector: Collector,
    pub upstream: Upstream,
    pub client: Client,
    pub registry: Registry,
    pub istiod: Istiod,
    pub place: Place,
    places: Places,
    _tracer: RefusingPort,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// Without a proxy and without the filter's manifests.
    pub async fn set(place: Place) -> Self {
        let scene = Self::empty(place).await;
        scene.push();
        scene
    }

    /// The same before the image is in the registry.
    pub async fn empty(place: Place) -> Self {
        Self::of(place, |_| manifests::mesh()).await
    }

    /// Pushes the packaged image to the registry.
    pub fn push(&self) {
        self.registry.push(summary()["version"].as_str().unwrap());
    }

    /// The same in a mesh that has tracing of its own.
    pub async fn traced(place: Place) -> Self {
        let scene = Self::of(place, manifests::traced_mesh).await;
        scene.push();
        scene
    }

    async fn of(place: Place, mesh: impl FnOnce(&Places) -> Value) -> Self {
        let alone = ALONE.lock().await;
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let registry = Registry::start().await;
        let tracer = RefusingPort::any().unwrap();
        let places = Places {
            front: free(),
            calls: free(),
            backend: upstream.address(),
            tracer_port: free().port(),
            tracer: tracer.address(),
        };
        let istiod = Istiod::start(&mesh(&places), &[]).await;
        let client = Client::new();
        let scene =
            Self { collector, upstream, client, registry, istiod, place, places, _tracer: tracer, _alone: alone };
        scene.apply(&[]).await;
        scene
    }

    /// The proxy of that place, with further labels, as soon as it serves.
    pub async fn proxy(&self, more: Value) -> Proxy {
        let proxy = self.live(more).await;
        let serves = async || self.get("/cart").await.is_some_and(|reply| reply.status == 200);
        proxy.program.until("the proxy serves", serves).await;
        proxy
    }

    /// The same as soon as it is live, whatever it answers.
    pub async fn live(&self, more: Value) -> Proxy {
        let mut labels = self.place.labels();
        labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (kind, name) = match self.place {
            Place::Sidecar => ("sidecar", "cart"),
            Place::Gateway => ("router", "public"),
        };
        Proxy::start(&self.istiod, &Pod { kind, namespace: self.place.namespace(), name, labels }).await
    }

    /// A shipped overlay for the image in the registry and this collector.
    pub fn overlay(&self, name: &str) -> Vec<Value> {
        let digest = summary()["images"][0]["digest"].as_str().unwrap().to_owned();
        let image = format!("{}/{REPOSITORY}@{digest}", self.registry.address());
        manifests::overlay(name, &image, self.collector.address())
    }

    /// The overlay with every plugin changed.
    pub fn changed(&self, name: &str, change: impl Fn(&mut Value)) -> Vec<Value> {
        let mut manifests = self.overlay(name);
        manifests::change(&mut manifests, change);
        manifests
    }

    /// The overlay with settings of every plugin replaced.
    pub fn with(&self, name: &str, settings: &Value) -> Vec<Value> {
        self.changed(name, |plugin| merge(manifests::settings(plugin), settings))
    }

    /// As `kubectl apply` of these beside what there is, and `kubectl delete` of any before; all are admitted.
    pub async fn apply(&self, manifests: &[Value]) {
        let refused = self.try_to_apply(manifests).await;
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// The same; what the webhook says of those that it refuses.
    pub async fn try_to_apply(&self, manifests: &[Value]) -> Vec<String> {
        let mut all = manifests::services(&self.places);
        match self.place {
            Place::Sidecar => all.push(manifests::sidecar(self.place.namespace(), &self.places)),
            Place::Gateway => {
                all.extend(manifests::gateway(self.place.namespace(), &self.place.labels(), &self.places));
            }
        }
        all.extend(manifests.iter().cloned());
        self.istiod.apply(&all).await
    }

    /// Sends requests until the proxy's filter has decided on one.
    pub async fn decides(&self, proxy: &Proxy) {
        let decided = async || {
            self.get("/cart").await;
            0 < decisions(&proxy.stats().await)
        };
        proxy.program.until("the filter decides", decided).await;
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
        Request::get(self.places.front, path).host(HOST)
    }

    /// Makes such requests elsewhere.
    pub fn requests(&self) -> impl Fn(u64) -> Request + Clone + Send + 'static {
        let front = self.places.front;
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

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}
