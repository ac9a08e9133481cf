//! What every story needs: Envoys with the module, a collector, an upstream, a client.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::process::module;
use tracelift_envoy::{
    Bootstrap, Client, Collector, Envoy, Filter, Launch, Ledger, ReceivedSpan, Reply, Request, Shipped, Upstream,
};

/// How long a condition may take to come true. Healthy runs need a fraction of a second.
pub const SOON: Duration = Duration::from_secs(20);

/// A shipped configuration whose collector is `collector`, exporting every 100 ms.
pub fn shipped(which: Shipped, collector: &Collector) -> Bootstrap {
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    let mut bootstrap = Bootstrap::shipped(which, &module).unwrap();
    bootstrap.endpoints("otel_collector", &[collector.address()]).unwrap();
    bootstrap.plugin(|json| json["export"]["scheduled_delay_ms"] = 100.into()).unwrap();
    bootstrap
}

/// Starts an Envoy with two workers, or fails with its log.
pub async fn start(bootstrap: &Bootstrap) -> Envoy {
    started(launch(), bootstrap).await
}

/// Of an Envoy with two workers.
fn launch() -> Launch {
    Launch::new().unwrap_or_else(|error| panic!("{error}")).workers(2)
}

async fn started(launch: Launch, bootstrap: &Bootstrap) -> Envoy {
    launch.start(bootstrap).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The error of a start that must not succeed.
pub async fn refusal(bootstrap: &Bootstrap) -> String {
    match Launch::new().unwrap_or_else(|error| panic!("{error}")).start(bootstrap).await {
        Ok(_) => panic!("Envoy started"),
        Err(error) => error.to_string(),
    }
}

/// A pod: one Envoy in front of an upstream, both of which are programmable.
pub struct Pod {
    pub envoy: Envoy,
    pub collector: Collector,
    pub upstream: Upstream,
    pub client: Client,
}

impl Pod {
    /// The shipped sidecar with a change.
    pub async fn sidecar(change: impl FnOnce(&mut Bootstrap)) -> Self {
        Self::start(Shipped::Sidecar, change).await
    }

    /// The shipped sidecar with these `sampling` and `upgrade` members.
    pub async fn sampling(ratio: f64) -> Self {
        Self::sidecar(|bootstrap| settings(bootstrap, |json| json["sampling"]["ratio"] = ratio.into())).await
    }

    /// The shipped sidecar with a change and the wasm module, also in a run of the dynamic module: for what only a VM has.
    pub async fn of_wasm(change: impl FnOnce(&mut Bootstrap)) -> Self {
        Self::of(launch().filter(Filter::Wasm), Shipped::Sidecar, change).await
    }

    /// A shipped configuration with a change; `application` or `frontend` is the programmable upstream.
    pub async fn start(which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> Self {
        Self::of(launch(), which, change).await
    }

    /// The same with so many workers.
    pub async fn with_workers(workers: u32, which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> Self {
        Self::of(launch().workers(workers), which, change).await
    }

    async fn of(launch: Launch, which: Shipped, change: impl FnOnce(&mut Bootstrap)) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut bootstrap = shipped(which, &collector);
        let first = if which == Shipped::Gateway { "frontend" } else { "application" };
        bootstrap.endpoints(first, &[upstream.address()]).unwrap();
        if which != Shipped::Gateway {
            bootstrap.endpoints("payments", &[upstream.address()]).unwrap();
        }
        change(&mut bootstrap);
        Self { envoy: started(launch, &bootstrap).await, collector, upstream, client: Client::new() }
    }

    /// Where requests enter: `inbound`, or the gateway's `edge`.
    pub fn entry(&self) -> SocketAddr {
        self.envoy.address("inbound").or_else(|_| self.envoy.address("edge")).unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(self.entry(), path)).await
    }

    pub async fn send(&self, request: Request) -> Reply {
        self.client.send(request).await.unwrap_or_else(|error| panic!("{error}\n{}", self.envoy.log()))
    }

    /// The one span whose trace-id is in this `traceparent`, as soon as the collector has it.
    pub async fn span_of(&self, traceparent: &str) -> ReceivedSpan {
        span_of(&self.collector, traceparent).await
    }

    /// Closes the books of a run that lost nothing; see [`settle`].
    pub async fn settle(&self, exported: usize) -> Ledger {
        settle(&[&self.envoy], &self.collector, exported, 0).await
    }

    /// Closes the books of a run that had to lose some; see [`settle`].
    pub async fn settle_with(&self, exported: usize, discarded: u64) -> Ledger {
        settle(&[&self.envoy], &self.collector, exported, discarded).await
    }
}

/// Changes the filter's settings on every listener.
pub fn settings(bootstrap: &mut Bootstrap, change: impl FnMut(&mut Value)) {
    bootstrap.plugin(change).unwrap();
}

/// The one span of that trace, as soon as the collector has it.
async fn span_of(collector: &Collector, traceparent: &str) -> ReceivedSpan {
    let trace_id = &traceparent[3..35];
    collector
        .wait_for(SOON, |spans| spans.iter().find(|span| span.trace_id() == trace_id).cloned())
        .await
        .unwrap_or_else(|error| panic!("trace {trace_id}: {error}"))
}

/// Waits until nothing is queued or in flight and all VMs have told their counters, then checks that exactly `exported`
/// spans left and `discarded` were lost, that the collector holds what left, and that the conservation law holds.
pub async fn settle(envoys: &[&Envoy], collector: &Collector, exported: usize, discarded: u64) -> Ledger {
    let started = Instant::now();
    loop {
        let mut ledgers = Vec::new();
        for envoy in envoys {
            let stats = envoy.admin().stats().await.unwrap();
            assert_eq!(stats.sum("errors."), 0, "the filter met a host that would not do as asked");
            ledgers.push(stats.ledger());
        }
        let ledger: Ledger = ledgers.into_iter().sum();
        let received = collector.spans().len();
        let as_told = ledger.exported == exported as u64 && ledger.discarded == discarded && received == exported;
        if as_told && ledger.is_settled() {
            return ledger;
        }
        assert!(
            started.elapsed() < SOON,
            "{exported} spans should have been exported and {discarded} discarded; the collector has {received}; the filter says {ledger}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// A `traceparent` of a caller: trace-ids count from `number`, so that tests can tell traces apart.
pub fn traceparent(number: u64, sampled: bool) -> String {
    let flags = if sampled { "03" } else { "02" };
    format!("00-4bf92f3577b34da6{number:016x}-00f067aa0ba902b7-{flags}")
}
