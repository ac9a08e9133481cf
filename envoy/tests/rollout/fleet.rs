//! Several Envoys whose filter comes from a file each (ECDS), a collector and an upstream that all share, and load.

use crate::kit::{SOON, wait_until};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracelift_envoy::filter::Filter as Run;
use tracelift_envoy::process::{module, replace_file};
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Launch, Ledger, ReceivedSpan, Request, Shipped, Upstream};

const ON: &str = include_str!("../../ecds/on.yaml");
const QUIET: &str = include_str!("../../ecds/quiet.yaml");
const OFF: &str = include_str!("../../ecds/off.yaml");
const FILTER: &str = include_str!("../../ecds/filter.yaml");

/// What an Envoy's file says.
#[derive(Clone, Debug)]
pub enum Filter {
    /// `off.yaml` as it is shipped.
    Off,
    /// `on.yaml` or `quiet.yaml` with the settings changed, and the module at that path; in a run of the dynamic module that one in
    /// place of the wasm module.
    Module { file: &'static str, settings: Value, module: PathBuf },
    /// Anything at all.
    Text(String),
}

impl Filter {
    /// `on.yaml` with some of its settings replaced, exporting every 100 ms.
    pub fn on(settings: Value) -> Self {
        Self::of_module(&module().unwrap_or_else(|error| panic!("{error}")), settings)
    }

    /// The same with another module.
    pub fn of_module(module: &Path, settings: Value) -> Self {
        Self::Module { file: ON, settings, module: module.to_owned() }
    }

    /// `quiet.yaml`.
    pub fn quiet() -> Self {
        let module = module().unwrap_or_else(|error| panic!("{error}"));
        Self::Module { file: QUIET, settings: json!({}), module }
    }

    fn text(&self) -> String {
        match self {
            Self::Off => OFF.to_owned(),
            Self::Text(text) => text.clone(),
            Self::Module { file, settings, module } => {
                let mut file: Value = yaml_serde::from_str(file).unwrap();
                let config = &mut file["resources"][0]["typed_config"]["config"];
                config["vm_config"]["code"]["local"]["filename"] = json!(module);
                let shipped = config["configuration"]["value"].as_str().unwrap();
                let mut whole: Value = serde_json::from_str(shipped).unwrap();
                whole["export"]["scheduled_delay_ms"] = 100.into();
                merge(&mut whole, settings);
                config["configuration"]["value"] = whole.to_string().into();
                of_this_run(module).put_into(&mut file);
                file.to_string()
            }
        }
    }
}

/// The filter that stands for a module: the run's for the module under test; others are what they are.
fn of_this_run(path: &Path) -> Run {
    if path.extension().is_some_and(|extension| extension == "so") {
        Run::Dynamic(path.to_owned())
    } else if module().is_ok_and(|module| module == path) {
        Run::of_this_run().unwrap_or_else(|error| panic!("{error}"))
    } else {
        Run::Wasm
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

/// One Envoy and the file that it watches.
pub struct Member {
    pub envoy: Envoy,
    directory: TempDir,
}

impl Member {
    /// A sidecar with two workers in front of `application`.
    pub async fn start(filter: &Filter, application: SocketAddr, collector: SocketAddr) -> Self {
        Self::calling(filter, application, application, collector).await
    }

    /// The same with the one that the application calls as `payments`.
    pub async fn calling(
        filter: &Filter,
        application: SocketAddr,
        payments: SocketAddr,
        collector: SocketAddr,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tracelift.yaml");
        replace_file(&file, &filter.text()).unwrap();
        let module = module().unwrap_or_else(|error| panic!("{error}"));
        let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module).unwrap();
        let mut discovery: Value = yaml_serde::from_str(FILTER).unwrap();
        discovery["config_discovery"]["config_source"]["path_config_source"]["path"] = json!(file);
        for listener in ["inbound", "outbound"] {
            bootstrap.connection_manager(listener).unwrap()["http_filters"][0] = discovery.clone();
        }
        bootstrap.endpoints("otel_collector", &[collector]).unwrap();
        bootstrap.endpoints("application", &[application]).unwrap();
        bootstrap.endpoints("payments", &[payments]).unwrap();
        let launch = Launch::new().unwrap().workers(2);
        Self { envoy: launch.start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}")), directory }
    }

    /// Where its calls come in.
    pub fn inbound(&self) -> SocketAddr {
        self.envoy.address("inbound").unwrap()
    }

    /// Moves another file over the one that Envoy watches: the one command of a change and of a rollback.
    pub fn replace(&self, filter: &Filter) {
        replace_file(&self.directory.path().join("tracelift.yaml"), &filter.text()).unwrap();
    }

    /// Replaces the file, and waits until Envoy has taken it.
    pub async fn apply(&self, filter: &Filter) {
        let before = self.stat("update_success").await;
        self.replace(filter);
        wait_until("Envoy takes the file", async || before < self.stat("update_success").await).await;
    }

    /// A counter of the filter's discovery.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = self.envoy.admin().stats().await.unwrap();
        stats.get(&format!("extension_config_discovery.http_filter.tracelift.{name}"))
    }

    /// How many files Envoy has refused: settings that the filter refuses, or no such file at all.
    pub async fn refused(&self) -> u64 {
        self.stat("update_rejected").await + self.stat("update_failure").await
    }

    /// How many requests the filter has decided on, as far as it has told.
    pub async fn decisions(&self) -> u64 {
        let stats = self.envoy.admin().stats().await.unwrap();
        stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.")
    }
}

/// Members, and what they share.
pub struct Fleet {
    pub members: Vec<Member>,
    pub collector: Collector,
    pub upstream: Upstream,
}

impl Fleet {
    /// One member for each filter.
    pub async fn start(filters: &[Filter]) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut members = Vec::new();
        for filter in filters {
            members.push(Member::start(filter, upstream.address(), collector.address()).await);
        }
        Self { members, collector, upstream }
    }

    /// Begins to send requests to all members in turn.
    pub fn load(&self) -> Load {
        Load::start(self.members.iter().map(Member::inbound).collect())
    }

    /// All Envoys.
    pub fn envoys(&self) -> Vec<&Envoy> {
        self.members.iter().map(|member| &member.envoy).collect()
    }

    /// How many spans were made: one for each request that reached the upstream with a sampled context.
    pub fn made(&self) -> usize {
        let sampled = |context: &str| context.ends_with("-01") || context.ends_with("-03");
        self.upstream.arrivals().iter().filter(|arrival| sampled(&arrival.text("traceparent"))).count()
    }

    /// Closes the books: every span that was made was offered, exported and has arrived, nothing was discarded. Returns how
    /// many.
    pub async fn settle(&self) -> usize {
        let (started, made) = (Instant::now(), self.made());
        loop {
            let mut ledgers = Vec::new();
            for envoy in self.envoys() {
                ledgers.push(envoy.admin().stats().await.unwrap().ledger());
            }
            let received = ReceivedSpan::distinct(&self.collector.spans());
            let total: Ledger = ledgers.iter().copied().sum();
            let settled = total.discarded == 0 && ledgers.iter().all(Ledger::is_settled);
            if settled && total.exported == made as u64 && received == made {
                return made;
            }
            assert!(
                started.elapsed() < SOON,
                "{made} spans were made; the collector has {received}; the filters say {ledgers:#?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Requests that go on until they are stopped. One that is not answered with 200 fails the test.
pub struct Load {
    lanes: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
}

impl Load {
    fn start(addresses: Vec<SocketAddr>) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut lanes = JoinSet::new();
        for lane in 0..4 {
            let (addresses, stop, served) = (addresses.clone(), stop.clone(), served.clone());
            lanes.spawn(async move {
                let (client, mut sent) = (Client::new(), 0);
                for address in addresses.iter().cycle().skip(lane) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let reply = client.send(Request::get(*address, "/cart")).await.unwrap_or_else(|e| panic!("{e}"));
                    assert_eq!(reply.status, 200);
                    sent += 1;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                sent
            });
        }
        Self { lanes, stop, served }
    }

    /// Waits until that many more requests were answered.
    pub async fn more(&self, requests: u64) {
        let goal = self.served.load(Ordering::Relaxed) + requests;
        wait_until("the load goes on", async || goal <= self.served.load(Ordering::Relaxed)).await;
    }

    /// Ends the load; how many requests were answered, all with 200.
    pub async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = 0;
        while let Some(lane) = self.lanes.join_next().await {
            sent += lane.unwrap();
        }
        sent
    }
}

/// Waits for a line in an Envoy's log.
pub async fn logged(envoy: &Envoy, text: &str) -> String {
    envoy.wait_for_log(text, SOON).await.unwrap_or_else(|error| panic!("{error}"))
}
