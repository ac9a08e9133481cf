//! A library that Envoy fetches over HTTP and checks by its SHA-256, by the shipped file of ECDS.

use crate::libraries::library;
use crate::stage::{SOON, bootstrap, inbound, until, with_workers};
use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Request, Stats, Upstream, ports};

const SHIPPED: &str = include_str!("../../ecds/dynamic-module.yaml");

/// Bytes that Envoy keeps of an answer, as the shipped file asks for: the library is one.
const LIMIT: u64 = 4 << 20;

/// An Envoy whose filter comes from the shipped file, and the server that it fetches the library from.
struct Fetching {
    envoy: Envoy,
    file: PathBuf,
    collector: Collector,
    _upstream: Upstream,
    _directory: TempDir,
    server: JoinHandle<()>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fetching {
    async fn start(sha256: &str) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let listener = ports::listen(ports::any_loopback()).unwrap();
        let modules = listener.local_addr().unwrap();
        let bytes = std::fs::read(library()).unwrap();
        let router = Router::new().route("/libtracelift-0.2.0-x86_64.so", get(async move || bytes));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tracelift.yaml");
        replace_file(&file, &shipped(sha256)).unwrap();
        let mut bootstrap = bootstrap(&collector, &upstream);
        bootstrap.copy_cluster("otel_collector", "modules", &[modules]).unwrap();
        crate::updates::discovered(&mut bootstrap, &file, 1);
        let limits = json!({ "http.async_response_buffer_limit": LIMIT });
        bootstrap.set("/layered_runtime/layers/0/static_layer", limits).unwrap();
        let envoy = with_workers().start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
        Self { envoy, file, collector, _upstream: upstream, _directory: directory, server }
    }

    async fn ask(&self) {
        let reply = Client::new().send(Request::get(inbound(&self.envoy), "/cart")).await.unwrap();
        assert_eq!(reply.status, 200);
    }

    /// Asks until the filter has seen a request.
    async fn traces(&self) {
        let started = Instant::now();
        while self.collector.spans().is_empty() {
            assert!(started.elapsed() < SOON, "nothing is traced\n{}", self.envoy.log());
            self.ask().await;
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// The shipped file with this sum, sampling everything.
fn shipped(sha256: &str) -> String {
    let mut file: Value = Bootstrap::from_yaml(SHIPPED).unwrap().as_value().clone();
    let filter = &mut file["resources"][0]["typed_config"];
    filter["dynamic_module_config"]["module"]["remote"]["sha256"] = sha256.into();
    let text = filter["filter_config"]["value"].as_str().unwrap();
    let mut settings: Value = serde_json::from_str(text).unwrap();
    settings["sampling"] = json!({ "ratio": 1 });
    settings["export"]["scheduled_delay_ms"] = 100.into();
    filter["filter_config"]["value"] = settings.to_string().into();
    file.to_string()
}

fn sum_of(library: &Path) -> String {
    Sha256::digest(std::fs::read(library).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_library_is_fetched_by_its_sum_and_traces() {
    let fetching = Fetching::start(&sum_of(&library())).await;
    fetching.traces().await;
    let settled = |stats: &Stats| 0 < stats.ledger().exported && stats.ledger().is_settled();
    until(&fetching.envoy, "what was traced has left", settled).await;
}

#[tokio::test]
async fn a_library_with_another_sum_is_not_loaded_and_traffic_continues_until_the_right_one_is_named() {
    let fetching = Fetching::start(&"0".repeat(64)).await;
    fetching.ask().await;
    assert!(fetching.collector.spans().is_empty());
    let refused = fetching.envoy.wait_for_log("module will not be loaded", SOON).await;
    refused.unwrap_or_else(|error| panic!("{error}"));
    replace_file(&fetching.file, &shipped(&sum_of(&library()))).unwrap();
    fetching.traces().await;
}
