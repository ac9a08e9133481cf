//! A pod with an Envoy, the pipeline into X-Ray, and the trace that a request left there.

use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Client, Envoy, Launch, Reply, Request, Shipped, Upstream};
use tracelift_xray::{Pipeline, StoredTrace};

/// How long a condition may take to come true. Healthy runs need a second.
pub const SOON: Duration = Duration::from_secs(30);
/// The caller of every request: its span is not ours, and not in X-Ray.
pub const CALLER: &str = "00f067aa0ba902b7";

/// One Envoy of the shipped sidecar, keeping every trace.
pub struct Pod {
    pub pipeline: Arc<Pipeline>,
    pub envoy: Envoy,
    pub upstream: Upstream,
    pub client: Client,
}

/// Traces of all pods of a test are told apart by their numbers.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Pod {
    pub async fn start(which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> Self {
        Self::behind(Arc::new(Pipeline::start().await.unwrap()), which, change).await
    }

    /// One more in front of the same pipeline.
    pub async fn behind(pipeline: Arc<Pipeline>, which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> Self {
        let (envoy, upstream) = launch(pipeline.otlp(), which, change).await;
        Self { pipeline, envoy, upstream, client: Client::new() }
    }

    /// A request to a listener in a trace of its own; the trace in X-Ray's hands, of at least `documents`.
    pub async fn trace_of(
        &self,
        listener: &str,
        documents: usize,
        request: impl FnOnce(Request) -> Request,
        path: &str,
    ) -> (Reply, StoredTrace) {
        let request = request(Request::get(self.envoy.address(listener).unwrap(), path));
        let (trace_id, request) = self.in_a_trace(request);
        let reply = self.client.send(request).await.unwrap_or_else(|error| panic!("{error}\n{}", self.envoy.log()));
        (reply, self.stored(&trace_id, documents).await)
    }

    /// Puts a request into a trace of its own, sampled by its caller.
    pub fn in_a_trace(&self, request: Request) -> (String, Request) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace_id = format!("4bf92f3577b34da6{number:016x}");
        let request = request.header("traceparent", format!("00-{trace_id}-{CALLER}-03"));
        (trace_id, request)
    }

    /// The trace as X-Ray gives it back, as soon as it has that many documents.
    pub async fn stored(&self, trace_id: &str, documents: usize) -> StoredTrace {
        let enough = |trace: &StoredTrace| documents <= trace.documents.len();
        let trace = self.pipeline.trace(trace_id, SOON, enough).await.unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(self.pipeline.collector().losses(), Vec::<String>::new());
        trace
    }
}

/// One Envoy that keeps every trace and sends it to `otlp`, and the upstream of all its clusters.
pub async fn launch(otlp: SocketAddr, which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> (Envoy, Upstream) {
    let upstream = Upstream::start().await.unwrap();
    let mut bootstrap = Bootstrap::shipped(which, &module().unwrap()).unwrap();
    bootstrap.endpoints("otel_collector", &[otlp]).unwrap();
    let clusters: &[&str] = if which == Shipped::Gateway { &["frontend"] } else { &["application", "payments"] };
    for cluster in clusters {
        bootstrap.endpoints(cluster, &[upstream.address()]).unwrap();
    }
    bootstrap
        .plugin(|json| {
            json["export"]["scheduled_delay_ms"] = 100.into();
            json["sampling"] = serde_json::json!({ "ratio": 1 });
        })
        .unwrap();
    change(&mut bootstrap);
    let envoy = Launch::new().unwrap().workers(1).start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    (envoy, upstream)
}

/// The only document of a trace.
#[track_caller]
pub fn only(trace: &StoredTrace) -> &Value {
    assert_eq!(trace.documents.len(), 1, "{:#?}", trace.documents);
    &trace.documents[0]
}

/// `fault`, `error`, `throttle`, as far as they are set.
pub fn flags(document: &Value) -> Vec<&'static str> {
    ["fault", "error", "throttle"].into_iter().filter(|flag| document[flag] == Value::Bool(true)).collect()
}
