//! What a worker's VM weighs: memory over many requests at growing concurrency, and what it costs to start.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::load::{Load, Protocol};
use crate::process::{linear_memory, processor_time, resident};
use crate::stage::{PROXIED, Stage};
use crate::statistics::middle;
use crate::traffic::Traffic;
use crate::variant::{Tracer, Variant};

/// Requests in flight, one after the other.
const LANES: [usize; 5] = [1, 16, 64, 256, 1024];

/// Which variants are weighed, by how they trace.
fn is_weighed(variant: &Variant) -> bool {
    match &variant.tracer {
        Tracer::None => variant.name == crate::variant::NONE,
        Tracer::EmptyFilter => true,
        Tracer::Tracelift { settings, .. } => settings.signal && 0.0 < variant.share,
        _ => false,
    }
}

/// Sends `requests` in equal parts at each concurrency, and notes what is resident after each.
pub async fn weigh(stage: &Stage, variants: &[Variant], requests: usize) -> Result<Value> {
    let mut rows = Vec::new();
    for variant in variants.iter().filter(|variant| is_weighed(variant)) {
        println!("Memory of {:?}: {requests} requests at {LANES:?} in flight …", variant.name);
        let envoy = stage.start(variant).await?;
        let mut steps = vec![json!({ "in_flight": 0, "requests": 0, "resident_bytes": resident(envoy.id())?,
                                     "linear_memory_bytes": linear_memory(envoy.id())? })];
        let mut done = 0;
        for lanes in LANES {
            let count = requests / LANES.len();
            let mut load = Load::connect(envoy.address(PROXIED)?, Protocol::Http2, lanes).await?;
            load.run(Traffic::new(Protocol::Http2.version(), variant.share, lanes as u64), count).await?;
            stage.collector.take_spans();
            done += count;
            // The exporter's second: what waits for it is not a leak.
            sleep(Duration::from_millis(1500)).await;
            steps.push(json!({ "in_flight": lanes, "requests": done, "resident_bytes": resident(envoy.id())?,
                               "linear_memory_bytes": linear_memory(envoy.id())? }));
        }
        rows.push(json!({ "variant": variant.name, "steps": steps }));
    }
    Ok(rows.into())
}

/// From the start of the process until it takes traffic: time, and processor time.
pub async fn start(stage: &Stage, variants: &[Variant], times: usize) -> Result<Value> {
    let mut rows = Vec::new();
    for variant in variants.iter().filter(|variant| is_weighed(variant)) {
        println!("Start of {:?}, {times} times …", variant.name);
        let (mut ready, mut spent) = (Vec::new(), Vec::new());
        for _ in 0..times {
            let started = Instant::now();
            let envoy = stage.start(variant).await?;
            ready.push(started.elapsed().as_secs_f64() * 1e3);
            spent.push(processor_time(envoy.id())?.as_secs_f64() * 1e3);
        }
        rows.push(
            json!({ "variant": variant.name, "ready_ms": middle(ready), "processor_ms": middle(spent), "times": times }),
        );
    }
    Ok(rows.into())
}
