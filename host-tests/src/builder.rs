//! What an Envoy process is started with.

use std::time::Duration;

use crate::Status;
use crate::callout::{Callout, Cluster, Reply};
use crate::envoy::{Envoy, StartError};
use crate::fault::Hostcall;
use crate::listener::{Direction, Listener};
use crate::module::Module;
use crate::process::{LogLevel, Process};
use crate::property::{Property, PropertyPath};

/// 1 January 2026, 00:00 UTC.
const DEFAULT_START: Duration = Duration::from_secs(1_767_225_600);

/// Builds an [`Envoy`]. One worker, an empty environment and no cluster unless the test says so.
pub struct EnvoyBuilder {
    pub(crate) module: Module,
    pub(crate) process: Box<Process>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) workers: usize,
    pub(crate) seed: u64,
    pub(crate) log_after_done: bool,
}

impl EnvoyBuilder {
    pub(crate) fn new(module: &Module) -> Self {
        let process = Process { now: DEFAULT_START, started: DEFAULT_START, ..Process::default() };
        let builder = Self {
            module: module.clone(),
            process: Box::new(process),
            listeners: Vec::new(),
            workers: 1,
            seed: 0,
            log_after_done: false,
        };
        builder.node_id("sidecar~10.0.0.1~cart-0.shop~shop.svc").node_cluster("cart")
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds the listener `inbound` with this plugin configuration.
    pub fn inbound(self, configuration: impl AsRef<[u8]>) -> Self {
        self.listener(Listener::new("inbound", Direction::Inbound, configuration))
    }

    /// Adds the listener `outbound` with this plugin configuration.
    pub fn outbound(self, configuration: impl AsRef<[u8]>) -> Self {
        self.listener(Listener::new("outbound", Direction::Outbound, configuration))
    }

    /// Adds the listener `gateway`, which has no direction, with this plugin configuration.
    pub fn gateway(self, configuration: impl AsRef<[u8]>) -> Self {
        self.listener(Listener::new("gateway", Direction::Unspecified, configuration))
    }

    /// How many worker threads, each with a VM of its own (Envoy's `--concurrency`).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Seed of `random_get`; each VM has its own stream of it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Virtual time of the start, since the epoch.
    pub fn start_time(mut self, since_epoch: Duration) -> Self {
        self.process.now = since_epoch;
        self.process.started = since_epoch;
        self
    }

    /// Adds an environment variable (`vm_config.environment_variables`).
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.process.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets `vm_id`; empty unless set, as Istio leaves it.
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        self.process.vm_id = vm_id.to_owned();
        self
    }

    /// Sets the VM configuration.
    pub fn vm_configuration(mut self, configuration: impl AsRef<[u8]>) -> Self {
        self.process.vm_configuration = configuration.as_ref().to_vec();
        self
    }

    /// Sets `node.id`.
    pub fn node_id(self, id: &str) -> Self {
        self.property("xds.node.id", id)
    }

    /// Sets `node.cluster`.
    pub fn node_cluster(self, cluster: &str) -> Self {
        self.property("xds.node.cluster", cluster)
    }

    /// Sets one value under `node.metadata`, such as `&["LABELS", "app.kubernetes.io/name"]`.
    pub fn node_metadata(self, path: &[&str], value: &str) -> Self {
        let path = [&["xds", "node", "metadata"], path].concat();
        self.property(&path[..], value)
    }

    /// Sets a property that every context can read.
    pub fn property(mut self, path: impl Into<PropertyPath>, value: impl Into<Property>) -> Self {
        self.process.properties.set(path.into(), value.into());
        self
    }

    /// Makes a cluster known that callouts can go to.
    pub fn cluster(mut self, name: &str) -> Self {
        self.process.clusters.insert(name.to_owned(), Cluster::Ready);
        self
    }

    /// Makes a cluster known that has no host.
    pub fn cluster_without_host(mut self, name: &str) -> Self {
        self.process.clusters.insert(name.to_owned(), Cluster::WithoutHost);
        self
    }

    /// Log lines below this are not kept, and the module can ask for it; Info unless set.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.process.log_level = Some(level);
        self
    }

    /// Answers each callout that goes to `cluster` with success after `latency`; others are left to the test.
    pub fn collector(self, cluster: &str, latency: Duration) -> Self {
        let name = cluster.to_owned();
        self.cluster(cluster).answer_with(move |callout| {
            if callout.cluster == name { Reply::accept(callout, latency) } else { Reply::ByHand }
        })
    }

    /// Decides for every callout as it is sent.
    pub fn answer_with(mut self, rule: impl FnMut(&Callout) -> Reply + Send + 'static) -> Self {
        self.process.answering = Some(Box::new(rule));
        self
    }

    /// Makes hostcalls fail from the very start; the rule names the status or lets the call pass.
    pub fn fault(mut self, rule: impl FnMut(&mut Hostcall<'_>) -> Option<Status> + Send + 'static) -> Self {
        self.process.faults.add(rule);
        self
    }

    /// Calls `proxy_on_log` after `proxy_on_done`, as the specification says and Envoy does not.
    pub fn log_after_done(mut self) -> Self {
        self.log_after_done = true;
        self
    }

    /// Starts the process: a canary VM for each configuration, then the main thread's VM and the workers'.
    ///
    /// # Errors
    /// If the module refuses its VM or a configuration, or traps: Envoy does not start then, whatever the failure policy.
    pub fn start(self) -> Result<Envoy, StartError> {
        Envoy::from_builder(self)
    }
}
