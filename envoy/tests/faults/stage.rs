//! An Envoy with the filter, its twin without, and one load for both.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Collector, Envoy, Launch, Ledger, Load, Request, Shipped, Stats, Tally, Upstream};

/// How long a condition may take to come true. Healthy runs need a fraction of it.
pub const SOON: Duration = Duration::from_secs(30);
/// Worker threads, each with a VM of its own; the main thread has one, too.
pub const WORKERS: u32 = 2;
/// Connections of a load: enough to keep both workers busy.
pub const CONNECTIONS: usize = 4;
/// What an Envoy may grow by while it serves, in bytes: buffers and arenas of two workers, and V8's own.
pub const GROWTH: u64 = 64 << 20;

/// The two Envoys and what is around them.
pub struct Stage {
    pub with: Envoy,
    pub without: Envoy,
    pub collector: Collector,
    pub upstream: Upstream,
}

/// What a load has seen at both.
pub struct Both {
    pub with: Tally,
    pub without: Tally,
}

impl Stage {
    /// The shipped sidecar that samples everything, with a change to the filter's settings.
    pub async fn start(change: impl FnMut(&mut Value)) -> Self {
        let collector = Collector::start().await.unwrap();
        Self::start_with(collector, change, |_| {}).await
    }

    /// The same with a given collector and a change to both Envoys.
    pub async fn start_with(
        collector: Collector,
        mut change: impl FnMut(&mut Value),
        both: impl Fn(&mut Bootstrap),
    ) -> Self {
        let upstream = Upstream::start().await.unwrap();
        let mut bootstrap = bootstrap(&collector, &upstream);
        bootstrap.plugin(&mut change).unwrap();
        both(&mut bootstrap);
        let mut twin = bootstrap.clone();
        twin.without_plugin();
        let (with, without) = tokio::join!(launch(&bootstrap), launch(&twin));
        Self { with, without, collector, upstream }
    }

    /// A load of that path on both at once.
    pub fn load(&self, path: &str) -> Loads {
        Loads { with: load(inbound(&self.with), path), without: load(inbound(&self.without), path) }
    }

    /// Reads the counters of the filter until `condition` holds.
    #[track_caller]
    pub fn until(&self, what: &str, condition: impl FnMut(&Stats) -> bool) -> impl Future<Output = Stats> {
        until(&self.with, what, condition)
    }

    /// Waits until so many requests are in the books, and everything has left of them.
    pub async fn closed(&self, requests: u64) -> Stats {
        closed(&self.with, requests).await
    }

    /// Lets everything leave, and checks that what the filter says it exported is what the collector took.
    pub async fn settle(&self) -> Ledger {
        let stats = self.closed(0).await;
        let ledger = stats.ledger();
        assert_eq!(ledger.exported, self.collector.spans().len() as u64, "{ledger}");
        ledger
    }
}

/// Waits until so many requests are in the books of an Envoy, and everything has left of them. The filter counts for itself and
/// tells on a tick, so that books can be in order before the last requests are in them.
pub async fn closed(envoy: &Envoy, requests: u64) -> Stats {
    let decided = |stats: &Stats| stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.");
    let closed = |stats: &Stats| stats.ledger().is_settled() && requests <= decided(stats);
    until(envoy, &format!("the books of {requests} requests are closed"), closed).await
}

/// A load on each.
pub struct Loads {
    pub with: Load,
    pub without: Load,
}

impl Loads {
    /// Waits until both have served so many more requests.
    pub async fn go_on(&self, more: u64) {
        assert!(self.with.goes_on(more, SOON).await, "requests wait at the Envoy with the filter");
        assert!(self.without.goes_on(more, SOON).await, "requests wait at the Envoy without the filter");
    }

    /// Ends both and prints what they saw.
    pub async fn stop(self, story: &str) -> Both {
        let both = Both { with: self.with.stop().await, without: self.without.stop().await };
        println!("{story}\n  with the filter:    {}\n  without the filter: {}", both.with, both.without);
        both
    }
}

impl Both {
    /// Every request of both was served with 200; how many with the filter.
    #[track_caller]
    pub fn served(&self) -> u64 {
        assert!(self.without.is_all(200), "the twin itself: {}", self.without);
        assert!(self.with.is_all(200), "{}", self.with);
        self.with.answered()
    }
}

/// The shipped sidecar in front of `upstream`, exporting every 100 ms, sampling everything.
pub fn bootstrap(collector: &Collector, upstream: &Upstream) -> Bootstrap {
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module).unwrap();
    bootstrap.endpoints("otel_collector", &[collector.address()]).unwrap();
    for cluster in ["application", "payments"] {
        bootstrap.endpoints(cluster, &[upstream.address()]).unwrap();
    }
    bootstrap
        .plugin(|json| {
            json["sampling"] = json!({ "ratio": 1 });
            json["export"]["scheduled_delay_ms"] = 100.into();
        })
        .unwrap();
    bootstrap
}

pub async fn launch(bootstrap: &Bootstrap) -> Envoy {
    with_workers().start(bootstrap).await.unwrap_or_else(|error| panic!("{error}"))
}

/// How all of them are started.
pub fn with_workers() -> Launch {
    Launch::new().unwrap_or_else(|error| panic!("{error}")).workers(WORKERS)
}

pub fn inbound(envoy: &Envoy) -> SocketAddr {
    envoy.address("inbound").unwrap()
}

pub fn load(to: SocketAddr, path: &str) -> Load {
    let path = path.to_owned();
    Load::start(CONNECTIONS, move |_| Request::get(to, &path))
}

/// Reads the counters until `condition` holds.
#[track_caller]
pub fn until(envoy: &Envoy, what: &str, mut condition: impl FnMut(&Stats) -> bool) -> impl Future<Output = Stats> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        loop {
            let stats =
                envoy.admin().stats().await.unwrap_or_else(|error| panic!("{caller}: {error}\n{}", envoy.log()));
            if condition(&stats) {
                return stats;
            }
            if SOON < started.elapsed() {
                let ours: Vec<_> = stats.family("").filter(|(_, value)| *value != 0).collect();
                panic!("{caller}: not so within {SOON:?}: {what}; {}; {ours:?}\n{}", stats.ledger(), envoy.log());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until the law holds, since VMs write their counters one after the other, each every 100 ms.
pub async fn balanced(envoy: &Envoy) -> Ledger {
    until(envoy, "the law balances", |stats| stats.ledger().balances()).await.ledger()
}

/// Resident memory before something; afterwards it may have grown by [`GROWTH`] and what the filter's bounds allow.
pub struct Memory<'a> {
    envoy: &'a Envoy,
    before: u64,
}

impl<'a> Memory<'a> {
    pub fn of(envoy: &'a Envoy) -> Self {
        Self { envoy, before: envoy.resident_bytes() }
    }

    #[track_caller]
    pub fn stayed_within(&self, bounds: u64) {
        let after = self.envoy.resident_bytes();
        println!("  resident memory: {} MiB before, {} MiB after", self.before >> 20, after >> 20);
        assert!(after <= self.before + bounds + GROWTH, "{} MiB became {} MiB", self.before >> 20, after >> 20);
    }
}
