//! Where a bench is played: an Envoy for each variant, and one backend, collector and X-Ray daemon for all of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::sleep;
use tracelift_envoy::{Bootstrap, Collector, Envoy, Launch, process};

use crate::variant::{Counted, Modules, Tracer, Variant};

/// Body of every answer: half a kilobyte, as of a small API.
const BODY: &str = r#"{"items":[{"sku":"7781-blue","name":"Mug, blue","count":2,"price":{"amount":1250,"currency":"EUR"}},{"sku":"1034","name":"Tea, 100 g","count":1,"price":{"amount":690,"currency":"EUR"}},{"sku":"9912-L","name":"Shirt, L","count":1,"price":{"amount":2900,"currency":"EUR"}}],"total":{"amount":6090,"currency":"EUR"},"page":{"number":2,"size":3,"of":4},"links":{"self":"/cart/items?page=2","next":"/cart/items?page=3","previous":"/cart/items?page=1"},"updated":"2026-11-21T12:00:00Z","tenant":"gold","v":3}"#;

/// How often it is looked whether an export has come.
const POLL: Duration = Duration::from_millis(50);

/// Longer than any exporter waits.
const LONGEST_TRAIL: Duration = Duration::from_secs(60);

/// A filter that is entered as often as one that traces, and does nothing there.
const EMPTY_FILTER: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))"#;

/// Listener that answers itself.
pub const DIRECT: &str = "direct";
/// Listener with an upstream behind it.
pub const PROXIED: &str = "proxied";

/// Which processor is whose. Both are `None` on a machine with one.
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    /// How many there are.
    pub count: usize,
    /// The Envoy that is measured.
    pub measured: Option<usize>,
    /// Load, upstream and collector.
    pub rest: Option<usize>,
}

impl Processors {
    /// Takes the first for the load, and keeps this thread, and all that come from it, there.
    pub fn divide() -> Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        if count < 2 {
            return Ok(Self { count, measured: None, rest: None });
        }
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(None, &first).context("cannot stay on one processor")?;
        Ok(Self { count, measured: Some(1), rest: Some(0) })
    }

    /// The same with another one measured, for what may be measured on several at a time.
    pub fn measuring(self, processor: usize) -> Self {
        Self { measured: self.measured.map(|_| processor), ..self }
    }

    /// How an Envoy with one worker is started on its processor.
    pub fn launch(processor: Option<usize>) -> Result<Launch> {
        let launch = Launch::new()?.node("bench");
        Ok(processor.map_or(launch.clone(), |processor| launch.on_processors([processor])))
    }
}

/// Everything around the Envoys that are measured.
pub struct Stage {
    processors: Processors,
    /// Where all spans but X-Ray's and Zipkin's go.
    pub collector: Collector,
    backend: Envoy,
    xray: SocketAddr,
    segments: Arc<AtomicU64>,
    modules: Modules,
    _files: TempDir,
}

impl Stage {
    /// Starts the backend and the collectors.
    pub async fn build(processors: Processors) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("tracelift-bench-").tempdir()?;
        let empty = files.path().join("empty.wasm");
        std::fs::write(&empty, wat::parse_str(EMPTY_FILTER)?)?;
        let daemon = UdpSocket::bind("127.0.0.1:0").await?;
        let xray = daemon.local_addr()?;
        let segments = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&segments);
        tokio::spawn(async move {
            let mut segment = [0; 65536];
            while daemon.recv(&mut segment).await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let backend = bootstrap(&[listener("application", direct(200), &Tracing::default())], &[], &json!({}))?;
        Ok(Self {
            processors,
            collector: Collector::start().await?,
            backend: Processors::launch(processors.rest)?.start(&backend).await?,
            xray,
            segments,
            modules: Modules { tracelift: process::module()?, dynamic: dynamic_module()?, empty },
            _files: files,
        })
    }

    /// How many spans this variant's Envoy has sent, where anybody counts them; X-Ray's since the last call.
    pub async fn spans(&self, variant: &Variant, envoy: &Envoy) -> Result<Option<u64>> {
        Ok(match variant.counts_spans() {
            Counted::ByEnvoy(counter) => Some(envoy.admin().stats().await?.get(counter)),
            Counted::ByDaemon => Some(self.segments.swap(0, Ordering::Relaxed)),
            Counted::Nowhere => None,
        })
    }

    /// How this variant's Envoy is configured.
    pub fn bootstrap(&self, variant: &Variant) -> Result<Bootstrap> {
        let tracing = Tracing { filter: variant.filter(&self.modules), native: variant.tracing(self.xray) };
        let listeners = [listener(DIRECT, direct(200), &tracing), listener(PROXIED, proxied(), &tracing)];
        let (backend, collector) = (self.backend.address("application")?, self.collector.address());
        let clusters = [
            cluster(
                "application",
                backend,
                &json!({ "use_downstream_protocol_config": { "http_protocol_options": {}, "http2_protocol_options": {} } }),
            ),
            cluster("collector_http", collector, &json!({ "explicit_http_config": { "http_protocol_options": {} } })),
            cluster("collector_grpc", collector, &json!({ "explicit_http_config": { "http2_protocol_options": {} } })),
            cluster("collector_zipkin", backend, &json!({ "explicit_http_config": { "http_protocol_options": {} } })),
            json!({ "name": "tracelift_recall", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
                    "original_dst_lb_config": { "use_http_header": true, "http_header_name": "x-envoy-original-dst-host" } }),
        ];
        let mut made = bootstrap(&listeners, &clusters, &variant.runtime())?;
        if variant.inline_headers {
            made.add_inline_headers();
        }
        Ok(made)
    }

    /// Starts an Envoy on the processor that is measured.
    pub async fn start(&self, variant: &Variant) -> Result<Envoy> {
        let envoy = self.launch(variant)?.start(&self.bootstrap(variant)?).await;
        envoy.with_context(|| format!("variant {:?}", variant.name))
    }

    /// Starts an Envoy with so many workers on all processors.
    pub async fn start_with(&self, variant: &Variant, workers: u32, processors: usize) -> Result<Envoy> {
        let launch = Launch::new()?.node("bench").filter(variant.form(&self.modules));
        let launch = launch.workers(workers).on_processors(0..processors);
        let envoy = launch.start(&self.bootstrap(variant)?).await;
        envoy.with_context(|| format!("variant {:?} with {workers} workers", variant.name))
    }

    /// How this variant's Envoy is started on the processor that is measured: with the filter in its form.
    pub fn launch(&self, variant: &Variant) -> Result<Launch> {
        Ok(Processors::launch(self.processors.measured)?.filter(variant.form(&self.modules)))
    }

    /// Waits until nobody has received an export for so long.
    pub async fn wait_for_quiet(&self, quiet: Duration) -> Result<()> {
        let began = Instant::now();
        let (mut received, mut since) = (self.exports().await?, Instant::now());
        while since.elapsed() < quiet {
            ensure!(began.elapsed() < LONGEST_TRAIL, "exports still come {LONGEST_TRAIL:?} after the last request");
            sleep(POLL).await;
            let now = self.exports().await?;
            if now != received {
                (received, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Exports that have come anywhere so far; the backend, which takes Zipkin's, counts all requests.
    async fn exports(&self) -> Result<u64> {
        let backend = self.backend.admin().stats().await?.get("http.application.downstream_rq_total");
        let attempts = self.collector.attempts().len() as u64;
        Ok(backend + attempts + self.segments.load(Ordering::Relaxed))
    }

    /// Whether all spans that this variant has made are where they were to go. Only Tracelift keeps an account of those that wait.
    pub async fn is_settled(&self, variant: &Variant, envoy: &Envoy) -> Result<bool> {
        Ok(match variant.tracer {
            Tracer::Tracelift { .. } => envoy.admin().stats().await?.ledger().is_settled(),
            _ => true,
        })
    }
}

/// The dynamic module, beside the wasm module: `cargo xtask bench` builds both.
fn dynamic_module() -> Result<PathBuf> {
    let path = process::module()?.with_file_name("libtracelift.so");
    ensure!(path.exists(), "no {}; `cargo xtask build --dynamic-module` makes it", path.display());
    Ok(path)
}

#[derive(Default)]
struct Tracing {
    filter: Option<Value>,
    native: Option<Value>,
}

fn bootstrap(listeners: &[Value], clusters: &[Value], runtime: &Value) -> Result<Bootstrap> {
    let value = json!({
        "admin": { "address": anywhere() },
        // Envoy's default, by name so that a level may change it.
        "stats_flush_interval": "5s",
        "layered_runtime": { "layers": [{ "name": "bench", "static_layer": runtime }] },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    });
    Ok(Bootstrap::from_yaml(&value.to_string())?)
}

fn listener(name: &str, route: Value, tracing: &Tracing) -> Value {
    let router = json!({ "name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
    let filters: Vec<&Value> = tracing.filter.iter().chain([&router]).collect();
    let mut route = route;
    route["match"] = json!({ "prefix": "/" });
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": { "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": [route] }] },
        "http_filters": filters,
    });
    if let Some(native) = &tracing.native {
        manager["tracing"] = native.clone();
    }
    json!({ "name": name, "address": anywhere(), "traffic_direction": "INBOUND", "filter_chains": [{ "filters": [
        { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }] })
}

fn direct(status: u16) -> Value {
    json!({ "direct_response": { "status": status, "body": { "inline_string": BODY } },
            "response_headers_to_add": [{ "header": { "key": "content-type", "value": "application/json" },
                                          "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] })
}

fn proxied() -> Value {
    json!({ "route": { "cluster": "application" } })
}

fn cluster(name: &str, address: SocketAddr, protocol: &Value) -> Value {
    let mut options = protocol.clone();
    options["@type"] = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions".into();
    // Hundreds of lanes must not meet the limit of 1,024 that is meant for one service of many.
    let limits =
        json!({ "thresholds": [{ "max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192 }] });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": limits,
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
            "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } } } }] }] },
    })
}

fn anywhere() -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } })
}
