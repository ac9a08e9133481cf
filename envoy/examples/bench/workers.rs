//! The level of many workers: whether throughput grows with them as it does without a filter, and what each of them weighs. Envoy
//! and load share all processors; a filter whose workers wait for each other falls behind the plain Envoy with the same number.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::sleep;
use tracelift_envoy::{Envoy, Random};

use crate::load::{Load, Protocol};
use crate::process::{processor_time, resident};
use crate::stage::{DIRECT, Processors, Stage};
use crate::statistics::{Median, middle};
use crate::traffic::Traffic;
use crate::variant::{NONE, Variant};

/// Threads of Envoy's that serve requests.
const WORKERS: [u32; 4] = [1, 2, 4, 8];
/// Connections, each with one request in flight, for each worker: the kernel spreads them, and no worker must have none.
const LANES_A_WORKER: usize = 16;
/// The exporter's second: what waits for it is not memory of a worker's.
const SETTLE: Duration = Duration::from_millis(1500);

/// What is compared: no tracing, ours in both forms, and Envoy's own.
fn is_compared(variant: &Variant) -> bool {
    [
        NONE,
        "Tracelift 5 %",
        "Tracelift dynamic 5 %",
        "Tracelift dynamic 100 %",
        "native OpenTelemetry 5 %",
        "native OpenTelemetry 100 %",
    ]
    .contains(&variant.name.as_str())
}

/// One variant with so many workers.
struct Row<'a> {
    variant: &'a Variant,
    envoy: Envoy,
    /// Requests a second, and microseconds of processor time a request, of each round.
    slices: Vec<(f64, f64)>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Slices of each variant.
    pub rounds: usize,
    /// Requests of a slice.
    pub requests: usize,
}

/// Measures each variant with each number of workers.
pub async fn measure(stage: &Stage, processors: Processors, variants: &[Variant], extent: Extent) -> Result<Value> {
    let Extent { rounds, requests } = extent;
    let mut rows = Vec::new();
    for workers in WORKERS {
        println!("{workers} workers: {rounds} rounds of {requests} requests each …");
        let mut together = Vec::new();
        for variant in variants.iter().filter(|variant| is_compared(variant)) {
            let envoy = stage.start_with(variant, workers, processors.count).await?;
            together.push(Row { variant, envoy, slices: Vec::new() });
        }
        play(stage, &mut together, (workers, processors.count), extent).await?;
        sleep(SETTLE).await;
        let plain: Vec<_> =
            together.iter().filter(|row| row.variant.name == NONE).flat_map(|row| row.slices.clone()).collect();
        for row in &together {
            rows.push(row.report(workers, &plain)?);
        }
    }
    Ok(rows.into())
}

async fn play(
    stage: &Stage,
    rows: &mut [Row<'_>],
    (workers, processors): (u32, usize),
    Extent { rounds, requests }: Extent,
) -> Result<()> {
    let mut random = Random(u64::from(workers));
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The first round warms up and is thrown away.
    for round in 0..=rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let row = &mut rows[index];
            let (address, share) = (row.envoy.address(DIRECT)?, row.variant.share);
            let (before, seed) = (processor_time(row.envoy.id())?, random.next());
            let flood = Flood { address, share, seed, lanes: LANES_A_WORKER * workers as usize, requests, processors };
            // On another thread, so that this one receives the exports.
            let rate = tokio::task::spawn_blocking(move || flood.run()).await.context("the load panicked")??;
            stage.collector.take_spans();
            if 0 < round {
                let spent = processor_time(row.envoy.id())? - before;
                row.slices.push((rate, spent.as_secs_f64() * 1e6 / requests as f64));
            }
        }
    }
    Ok(())
}

/// The load: so many lanes to one Envoy, spread over all processors.
#[derive(Clone, Copy)]
struct Flood {
    address: SocketAddr,
    share: f64,
    seed: u64,
    lanes: usize,
    requests: usize,
    processors: usize,
}

impl Flood {
    /// Sends the requests from as many threads as there are processors; answers how many got through in a second.
    fn run(self) -> Result<f64> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.processors).map(|thread| scope.spawn(move || self.part(thread))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("the load panicked"))?).sum()
        })
    }

    /// What one thread of them does.
    fn part(self, thread: usize) -> Result<f64> {
        let mut all = CpuSet::new();
        (0..self.processors).for_each(|processor| all.set(processor));
        sched_setaffinity(None, &all).context("cannot use all processors")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let version = Protocol::Http1.version();
        let traffic = Traffic::new(version, self.share, self.seed.wrapping_add(thread as u64));
        runtime.block_on(LocalSet::new().run_until(async {
            let mut load = Load::connect(self.address, Protocol::Http1, self.lanes.div_ceil(self.processors)).await?;
            Ok(load.run(traffic, self.requests / self.processors).await?.requests_per_second())
        }))
    }
}

impl Row<'_> {
    fn report(&self, workers: u32, plain: &[(f64, f64)]) -> Result<Value> {
        let of = |value: fn(&(f64, f64)) -> f64| middle(self.slices.iter().map(value).collect());
        let quotients: Vec<f64> = self.slices.iter().zip(plain).map(|(own, plain)| own.0 / plain.0).collect();
        let quotient = Median::of(&quotients);
        Ok(json!({
            "variant": self.variant.name,
            "workers": workers,
            "requests_per_second": of(|slice| slice.0),
            "to_plain": { "median": quotient.value, "low": quotient.low, "high": quotient.high },
            "micros": of(|slice| slice.1),
            "resident_bytes": resident(self.envoy.id())?,
        }))
    }
}
