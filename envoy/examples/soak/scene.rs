//! The Envoy, its surroundings, and its traffic.

use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;
use tracelift_envoy::ports::any_loopback;
use tracelift_envoy::process::{module, replace_file};
use tracelift_envoy::{Bootstrap, Collector, Envoy, Launch, Load, Request, Shipped, Stats, Tally, Upstream};

pub type BoxError = Box<dyn std::error::Error>;

/// One request in so many is answered with 503.
const FAILS: u64 = 20;
/// What the mesh shares, if it were one: recall is on.
pub const TOKEN: &str = "a-secret-of-the-soak";
/// Bytes that each worker may hold for a recall: small, so that a storm meets the bound.
const HELD_BYTES: u64 = 256 * 1024;
const WORKERS: u32 = 2;
/// How long a replaced configuration goes on: less than a phase, so that what a drain cuts is cut in the phase after at most.
const DRAIN_SECONDS: u32 = 8;
/// How long the books may take to balance: each VM writes its counters every 100 ms, one after the other.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything that runs.
pub struct Scene {
    pub collector: Collector,
    /// The listener `inbound`.
    pub to: SocketAddr,
    /// The listener `outbound`.
    from: SocketAddr,
    envoy: Envoy,
    upstream: Upstream,
    bootstrap: Bootstrap,
    file: PathBuf,
    updates: AtomicU64,
    received: AtomicU64,
    floods: Mutex<Tally>,
    _directory: TempDir,
}

impl Scene {
    pub async fn start() -> Result<Self, BoxError> {
        let (collector, upstream) = (Collector::start().await?, Upstream::start().await?);
        let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module()?)?;
        bootstrap.endpoints("otel_collector", &[collector.address()])?;
        for cluster in ["application", "payments"] {
            bootstrap.endpoints(cluster, &[upstream.address()])?;
        }
        for (path, status) in [("/direct", 200), ("/broken", 500)] {
            bootstrap.add_route("inbound", path, json!({ "direct_response": { "status": status } }))?;
        }
        bootstrap.recall(TOKEN)?;
        bootstrap.plugin(|json| {
            json["sampling"] = json!({ "ratio": 0.2 });
            json["export"]["timeout_ms"] = 2_000.into();
            json["upgrade"]["recall"]["max_bytes"] = HELD_BYTES.into();
        })?;
        // Ports that were free a moment ago: they have to stay the same through all updates.
        let free = || std::net::TcpListener::bind(any_loopback())?.local_addr();
        let (to, from) = (free()?, free()?);
        bootstrap.listen("inbound", to)?;
        bootstrap.listen("outbound", from)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("listeners.json");
        let mut dynamic = bootstrap.clone();
        replace_file(&file, &dynamic.listeners_from_file(&file))?;
        let envoy = Launch::new()?.workers(WORKERS).drain_seconds(DRAIN_SECONDS).start(&dynamic).await?;
        Ok(Self {
            collector,
            to,
            from,
            envoy,
            upstream,
            bootstrap,
            file,
            updates: AtomicU64::new(0),
            received: AtomicU64::new(0),
            floods: Mutex::default(),
            _directory: directory,
        })
    }

    /// Traffic of every sort: that comes to the pod and that its application sends, with a context and without, sampled and
    /// not, HTTP/1.1 and HTTP/2, fine and failing. Two requests make a trace; when the second fails, the first is recalled.
    pub fn loads(&self) -> Loads {
        let (to, from) = (self.to, self.from);
        Loads(Load::start(4, move |number| {
            let path = if number % FAILS == 7 { "/status/503" } else { "/status/200" };
            let (pair, calls) = (number / 2, (number / FAILS).is_multiple_of(2));
            let request = if calls { Request::get(from, path).host("payments") } else { Request::get(to, path) };
            let request = request.header("user-agent", "soak/1").header("accept", "*/*");
            let trace = trace(pair);
            let request = match pair % 7 {
                0 => request,
                1 => request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-03")),
                2 => request.header("traceparent", b"\xff no context".as_slice()),
                _ => request
                    .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-02"))
                    .header("tracestate", "ot=th:8,vendor=x"),
            };
            if number % 3 == 0 { request.http2() } else { request }
        }))
    }

    /// Counts the answers of a flood.
    pub fn add(&self, tally: Tally) {
        self.floods.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    }

    /// Gives the listeners another configuration.
    pub fn update(&self) -> Result<(), BoxError> {
        let number = self.updates.fetch_add(1, Ordering::Relaxed);
        let mut next = self.bootstrap.clone();
        next.plugin(|json| json["sampling"]["ratio"] = (if number.is_multiple_of(2) { 0.1 } else { 0.2 }).into())?;
        Ok(replace_file(&self.file, &next.listeners_as_discovery_response())?)
    }

    /// Reads everything, when the books balance, or as they are when they do not in time.
    pub async fn look(&self, at: Duration, phase: &'static str, loads: &Loads) -> Result<Line, BoxError> {
        self.line(at, phase, (loads.0.ended(), loads.0.broken()), |stats| stats.ledger().balances()).await
    }

    /// The same at the end, when everything has left and nothing is held any more.
    pub async fn settle(&self, at: Duration) -> Result<Line, BoxError> {
        let is_empty = |stats: &Stats| stats.ledger().is_settled() && stats.tracelift("recall.bytes") == 0;
        self.line(at, "at the end", (0, 0), is_empty).await
    }

    async fn line(
        &self,
        at: Duration,
        phase: &'static str,
        (requests, broken): (u64, u64),
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Line, BoxError> {
        let started = Instant::now();
        let stats = loop {
            let stats = self.envoy.admin().stats().await?;
            if condition(&stats) || PATIENCE < started.elapsed() {
                break stats;
            }
            sleep(Duration::from_millis(50)).await;
        };
        self.upstream.forget();
        self.received.fetch_add(self.collector.take_spans().len() as u64, Ordering::Relaxed);
        let floods = self.floods.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (resident, received) = (self.envoy.resident_bytes(), self.received.load(Ordering::Relaxed));
        Ok(Line { at, phase, requests: requests + floods.sent(), broken, floods, resident, received, stats })
    }
}

/// A trace-id of its own for each number.
pub fn trace(number: u64) -> String {
    format!("{number:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

/// The traffic that never stops.
pub struct Loads(Load);

impl Loads {
    pub async fn stop(self) -> Tally {
        self.0.stop().await
    }

    /// How many of so many requests were to be answered with 503.
    pub fn failing(sent: u64) -> u64 {
        (sent + FAILS - 8) / FAILS
    }
}

/// One reading.
pub struct Line {
    pub at: Duration,
    pub phase: &'static str,
    pub requests: u64,
    /// Those without a whole answer.
    pub broken: u64,
    /// All floods so far.
    pub floods: Tally,
    /// Of the Envoy process, bytes.
    pub resident: u64,
    /// Spans that the collector has taken.
    pub received: u64,
    pub stats: Stats,
}

impl Line {
    /// Bytes that wait for a recall, in all workers.
    pub fn held(&self) -> u64 {
        self.stats.tracelift("recall.bytes")
    }

    /// The most that may.
    pub fn held_at_most() -> u64 {
        HELD_BYTES * u64::from(WORKERS)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = self.stats.ledger();
        write!(
            f,
            "{:>6.0} {:<17} {:>9} {:>6} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
            self.at.as_secs_f64(),
            self.phase,
            self.requests,
            self.resident >> 20,
            ledger.offered,
            ledger.exported,
            ledger.discarded,
            ledger.queued,
            ledger.in_flight,
            self.stats.sum("upgrades.") - self.stats.tracelift("upgrades.shed"),
            self.stats.tracelift("upgrades.shed"),
            self.stats.tracelift("recall.released"),
            self.held() >> 10,
            if ledger.balances() { "balances" } else { "DOES NOT BALANCE" }
        )
    }
}
