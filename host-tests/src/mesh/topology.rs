//! The mesh as it is built: services with their pods, a gateway in front, and who has the filter.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::applications::{Application, Applications};
use super::collector::Collector;
use super::options::{Odds, Options, Sabotage};
use crate::random::SeededRandom;
use crate::{Direction, Envoy, EnvoyBuilder, Listener, Module, StartError, Status, VmId};

/// Index of a pod; the gateway is 0.
pub(crate) type PodId = usize;
/// Index of a service, from the front of the mesh to its back.
pub(crate) type ServiceId = usize;

/// The gateway's place among the pods.
pub(crate) const GATEWAY: PodId = 0;
/// Workers of every Envoy.
pub(crate) const WORKERS: usize = 2;
/// The cluster of the collector.
pub(crate) const COLLECTOR: &str = "otel_collector";
/// The cluster through which recall reaches any pod.
pub(crate) const RECALL: &str = "tracelift_recall";
/// The secret of the mesh.
pub(crate) const TOKEN: &str = "a-secret-of-the-whole-mesh";
/// Bytes of pending spans that a worker holds.
pub(crate) const PENDING_BYTES: u64 = 640 * 1024;
/// How long a pending span is held.
pub(crate) const HOLD: Duration = Duration::from_secs(5);
/// Bounds of every worker's queue for each listener.
pub(crate) const QUEUE_BYTES: u64 = 128 * 1024;
const QUEUE_SPANS: u64 = 256;
/// The budget that every Envoy had if [`Sabotage::BudgetIgnored`] were the rule.
const IGNORED: u32 = 10;

/// One Envoy, with an application behind it or as the gateway.
pub(crate) struct Pod {
    /// Where calls find it.
    pub(crate) address: String,
    /// `None` for a pod without the filter.
    pub(crate) envoy: Option<Envoy>,
    pub(crate) application: Application,
    /// When its Envoy is to be woken; `None` if nothing is due.
    pub(crate) wakes: Option<Duration>,
    pub(crate) down: [bool; WORKERS],
    pub(crate) generation: [u32; WORKERS],
    pub(crate) memory_at_start: u64,
    /// Changes of its metrics, and traps, when they were last looked at.
    pub(crate) seen: (u64, usize),
    /// Failures that this Envoy saw in the last second.
    pub(crate) failures: VecDeque<Duration>,
}

/// Everything that does not change during a run.
pub(crate) struct Topology {
    pub(crate) pods: Vec<Pod>,
    /// Pods of each service.
    pub(crate) services: Vec<Vec<PodId>>,
}

impl Topology {
    /// Starts every Envoy.
    pub(crate) fn build(
        options: &Options,
        odds: &Odds,
        modules: [&Module; 2],
        collector: &Arc<Mutex<Collector>>,
        random: &mut SeededRandom,
    ) -> Result<Self, StartError> {
        let mut services: Vec<Vec<PodId>> = Vec::new();
        let gateway = start(options, modules, collector, GATEWAY, "gateway")?;
        let mut pods = vec![Pod::new(GATEWAY, Some(gateway), Application::CopiesHeaders)];
        let mut kinds = SeededRandom::new(options.seed, u64::MAX - 3);
        while pods.len() <= options.pods {
            let service = services.len();
            let instances = (1 + random.below(4)).min(options.pods + 1 - pods.len());
            let mut of_service = Vec::new();
            for _ in 0..instances {
                let id = pods.len();
                let with_filter = !random.chance(odds.without_filter);
                let name = format!("service-{service}");
                let envoy = with_filter.then(|| start(options, modules, collector, id, &name)).transpose()?;
                let deaf = random.chance(odds.deaf);
                let application = match Applications::choose(&mut kinds, odds, deaf) {
                    // Behind another's Envoy there is nobody to join what its SDK did not record.
                    Application::Sdk | Application::SdkWithContract if envoy.is_none() => Application::CopiesHeaders,
                    application => application,
                };
                pods.push(Pod::new(id, envoy, application));
                of_service.push(id);
            }
            services.push(of_service);
        }
        Ok(Self { pods, services })
    }

    /// A service that calls of `from` go to: mostly further back, now and then anywhere, so that traces come back to a pod.
    pub(crate) fn callee(&self, from: Option<ServiceId>, random: &mut SeededRandom) -> ServiceId {
        let count = self.services.len();
        match from {
            None => random.below(count.div_ceil(3)),
            Some(from) if from + 1 < count && !random.chance(0.1) => {
                from + 1 + random.below((count - from - 1).min(12))
            }
            Some(_) => random.below(count),
        }
    }

    /// The pod that an address belongs to.
    pub(crate) fn pod_at(&self, address: &str) -> Option<PodId> {
        self.pods.iter().position(|pod| pod.address == address)
    }
}

impl Pod {
    fn new(id: PodId, envoy: Option<Envoy>, application: Application) -> Self {
        let memory = envoy.as_ref().map(|envoy| envoy.vms().iter().map(|vm| envoy.memory_size(*vm)).max());
        Self {
            address: format!("10.{}.{}.{}:15006", id >> 16, id >> 8 & 0xff, id & 0xff),
            envoy,
            application,
            wakes: None,
            down: [false; WORKERS],
            generation: [0; WORKERS],
            memory_at_start: memory.flatten().unwrap_or(0),
            seen: (0, 0),
            failures: VecDeque::new(),
        }
    }

    /// The VMs of its Envoy; none without the filter.
    pub(crate) fn vms(&self) -> Vec<VmId> {
        self.envoy.as_ref().map(Envoy::vms).unwrap_or_default()
    }
}

/// Which filter a pod has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// In a matcher, and `traceparent` is read alone.
    Wrapped,
    /// Of the other module.
    Other,
}

impl Kind {
    fn of(options: &Options, id: PodId) -> Self {
        match id % 3 {
            _ if !options.mixed => Self::Plain,
            0 => Self::Wrapped,
            1 => Self::Plain,
            _ => Self::Other,
        }
    }
}

fn start(
    options: &Options,
    [ours, other]: [&Module; 2],
    collector: &Arc<Mutex<Collector>>,
    id: PodId,
    service: &str,
) -> Result<Envoy, StartError> {
    let kind = Kind::of(options, id);
    let listener = |name: &str, direction, side: &str, edge: bool| {
        let mut configuration = configuration(options, service, side, edge);
        if kind == Kind::Wrapped {
            configuration["envoy"] = json!({ "answers": "notable", "inline_headers": true });
        }
        let listener = Listener::new(name, direction, configuration.to_string());
        match (kind, edge) {
            (Kind::Wrapped, false) => listener.wrapped(),
            (Kind::Wrapped, true) => listener.wrapped_at_edge(),
            (Kind::Plain | Kind::Other, _) => listener,
        }
    };
    // Far from each other: a VM that is replaced goes on with the next seed.
    let seed = SeededRandom::new(options.seed, id as u64).next();
    let module = if kind == Kind::Other { other } else { ours };
    let builder = Envoy::builder(module).workers(WORKERS).seed(seed);
    let builder = match id {
        GATEWAY => {
            let edge = options.sabotage != Some(Sabotage::EdgeOpen);
            builder.listener(listener("gateway", Direction::Unspecified, "both", edge))
        }
        _ => builder.listener(listener("inbound", Direction::Inbound, "server", false)).listener(listener(
            "outbound",
            Direction::Outbound,
            "client",
            false,
        )),
    };
    let collector = Arc::clone(collector);
    let builder = builder.cluster(COLLECTOR).cluster(RECALL).answer_with(move |callout| {
        let mut collector = collector.lock().expect("nobody panics while collecting");
        collector.answer(id, callout)
    });
    sabotaged(builder, options).start()
}

fn configuration(options: &Options, name: &str, kind: &str, edge: bool) -> Value {
    let budget = match options.sabotage {
        Some(Sabotage::BudgetIgnored) => options.budget * IGNORED,
        _ => options.budget,
    };
    let queue = match options.sabotage {
        Some(Sabotage::MemoryUnbounded) => 50,
        _ => 1,
    };
    json!({
        "service_name": name,
        "span_kind": kind,
        "edge": edge,
        "sampling": { "ratio": options.ratio },
        "upgrade": {
            "traces_per_second": budget,
            "signal": { "accept_previous": options.sabotage == Some(Sabotage::SdkBelieved) },
            "recall": {
                "enabled": options.recall, "cluster": RECALL, "token": TOKEN,
                "hold_ms": HOLD.as_millis() as u64, "max_bytes": PENDING_BYTES,
            },
        },
        "export": {
            "cluster": COLLECTOR, "timeout_ms": 2000,
            "max_queue_bytes": QUEUE_BYTES * queue, "max_queue_size": QUEUE_SPANS * queue,
        },
    })
}

fn sabotaged(builder: EnvoyBuilder, options: &Options) -> EnvoyBuilder {
    match options.sabotage {
        Some(Sabotage::TableForgets) => builder.fault(|call| {
            // A worker then goes by its own books of the budget.
            (call.name == "proxy_get_shared_data").then_some(Status::NotFound)
        }),
        Some(Sabotage::BooksCooked) => {
            let mut calls = 0_u32;
            builder.fault(move |call| {
                calls += u32::from(call.name == "proxy_increment_metric");
                (call.name == "proxy_increment_metric" && calls.is_multiple_of(7)).then_some(Status::Ok)
            })
        }
        _ => builder,
    }
}
