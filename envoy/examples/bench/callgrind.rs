//! The level of Valgrind: what the whole process of a real Envoy executes for a request. Unlike time it is the same on a busy
//! machine, so that each variant is counted once, and several at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracelift_envoy::Envoy;

use crate::load::Load;
use crate::rounds::Scene;
use crate::stage::{Processors, Stage};
use crate::traffic::Traffic;
use crate::valgrind::Callgrind;
use crate::variant::{NONE, Variant, YARDSTICKS};

/// How much is counted.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Requests of a scene before anything is counted: V8 compiles what is hot.
    pub warm_up: usize,
    /// Requests of each of the two halves.
    pub requests: usize,
    /// Requests in flight.
    pub lanes: usize,
}

/// Envoys at a time: each takes a processor, and half a gigabyte.
const AT_ONCE: usize = 4;

/// Envoy merges its histograms so often, which is 5 s by default: work by the clock, of which a request would get fifty times
/// its share here, where everything is slow. Envoy allows no more than 5 minutes.
const STATS_FLUSH_INTERVAL: &str = "290s";

/// Tracelift sends what it has every second, Envoy's own tracer every five unless there are enough. In life there is a batch by then;
/// here, where seconds have few requests, both have the same time to gather one.
const SPANS_WAIT_MS: u64 = 5000;

/// The most that request metrics allow between two exports, which go by the clock, too: the first one comes while V8 compiles.
const METRICS_INTERVAL_MS: u64 = 600_000;

/// How long an Envoy without requests is counted, for what goes by the clock.
const IDLE: Duration = Duration::from_secs(10);

/// A request takes some milliseconds here, and fifty times that where many compete for the processors.
const LONGEST_REQUEST: Duration = Duration::from_millis(500);

/// How long spans may wait after the last request.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What one variant executes for a request of one scene.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Of the first half of the requests, each with the exports that came after it.
    first: f64,
    /// Of the second half.
    second: f64,
    /// How much of that an Envoy without requests executes in the same time, such as ticks of filters.
    by_clock: f64,
}

impl Count {
    /// Instructions a request.
    pub fn instructions(self) -> f64 {
        f64::midpoint(self.first, self.second)
    }

    /// How far the halves lie apart, in instructions a request: two runs do not agree better than that.
    pub fn apart(self) -> f64 {
        (self.first - self.second).abs()
    }

    /// What goes by the clock and not by the request. It is more of a request where everything is slower.
    pub fn by_clock(self) -> f64 {
        self.by_clock
    }
}

/// One variant: a count for each scene, and the spans a request that were sent, where they are counted.
pub struct Counted {
    /// In the order of the scenes.
    pub scenes: Vec<Count>,
    spans: Option<f64>,
}

/// Counts all variants and gives back the report of each scene.
pub async fn measure(processors: Processors, variants: &[Variant], scenes: &[Scene], extent: Extent) -> Result<Value> {
    let counted = count(processors, variants, scenes, extent).await?;
    let report = |(index, scene): (usize, &Scene)| {
        let of = |place: Option<usize>| place.map_or(f64::NAN, |place| counted[place].scenes[index].instructions());
        let plain = of(variants.iter().position(|variant| variant.name == NONE));
        let rows = variants.iter().zip(&counted).map(|(variant, counted)| {
            let count = counted.scenes[index];
            let quotients = YARDSTICKS.map(|yardstick| {
                (count.instructions() - plain) / (of(variant.compared_with((&yardstick, false), variants)) - plain)
            });
            let same = of(variant.compared_with((&YARDSTICKS[0], true), variants)) - plain;
            json!({
                "variant": variant.name,
                "instructions": count.instructions(),
                "added": count.instructions() - plain,
                "to_native": quotients[0],
                "to_batches": quotients[1],
                "to_native_inline": (count.instructions() - plain) / same,
                "halves_apart": count.apart(),
                "by_clock": count.by_clock(),
                "spans_per_request": counted.spans,
            })
        });
        json!({ "scene": scene.name(), "requests": 2 * extent.requests, "variants": rows.collect::<Vec<_>>() })
    };
    Ok(scenes.iter().enumerate().map(report).collect())
}

/// Counts all variants, as many at a time as there are processors, each with a stage of its own.
pub async fn count(
    processors: Processors,
    variants: &[Variant],
    scenes: &[Scene],
    extent: Extent,
) -> Result<Vec<Counted>> {
    let queue = Rc::new(RefCell::new(variants.iter().cloned().enumerate().rev().collect::<Vec<_>>()));
    let mut running = JoinSet::new();
    for processor in 0..processors.count.clamp(1, AT_ONCE).min(variants.len()) {
        let (queue, scenes, total) = (Rc::clone(&queue), scenes.to_vec(), variants.len());
        running.spawn_local(async move {
            let stage = Stage::build(processors.measuring(processor)).await?;
            let mut done = Vec::new();
            loop {
                let Some((index, variant)) = queue.borrow_mut().pop() else { return Ok(done) };
                println!("Valgrind, {} of {total}: {:?}, {} requests …", index + 1, variant.name, 2 * extent.requests);
                let counted = one(&stage, &variant, &scenes, extent).await;
                done.push((index, counted.with_context(|| format!("variant {:?} under Valgrind", variant.name))?));
            }
        });
    }
    let mut all = Vec::with_capacity(variants.len());
    while let Some(done) = running.join_next().await {
        let done: Result<Vec<(usize, Counted)>> = done.context("a count panicked")?;
        all.extend(done?);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, counted)| counted).collect())
}

async fn one(stage: &Stage, variant: &Variant, scenes: &[Scene], extent: Extent) -> Result<Counted> {
    let callgrind = Callgrind::new().await?;
    let mut bootstrap = stage.bootstrap(variant)?;
    bootstrap.set("/stats_flush_interval", STATS_FLUSH_INTERVAL)?;
    bootstrap.plugin(|settings| {
        settings["export"]["scheduled_delay_ms"] = SPANS_WAIT_MS.into();
        if let Some(metrics) = settings.get_mut("metrics") {
            metrics["interval_ms"] = METRICS_INTERVAL_MS.into();
        }
    })?;
    let envoy = callgrind.wrap(stage.launch(variant)?).start(&bootstrap).await?;
    let mut counts = Vec::with_capacity(scenes.len());
    for (seed, scene) in (1..).step_by(3).zip(scenes) {
        let mut load = Load::connect(envoy.address(scene.listener)?, scene.protocol, extent.lanes).await?;
        let traffic = |seed| Traffic::new(scene.protocol.version(), variant.share, seed);
        play(&mut load, traffic(seed), extent.warm_up).await?;
        callgrind.switch_on(envoy.id()).await?;
        trail(stage, variant, &envoy, &callgrind).await?;
        sleep(IDLE).await;
        let a_second = callgrind.take(envoy.id()).await? as f64 / IDLE.as_secs_f64();
        let (mut halves, began) = ([0.0; 2], Instant::now());
        for (seed, half) in (seed + 1..).zip(&mut halves) {
            play(&mut load, traffic(seed), extent.requests).await?;
            *half = trail(stage, variant, &envoy, &callgrind).await? as f64 / extent.requests as f64;
            stage.collector.take_spans();
        }
        let by_clock = a_second * began.elapsed().as_secs_f64() / (2 * extent.requests) as f64;
        counts.push(Count { first: halves[0], second: halves[1], by_clock });
    }
    let requests = ((extent.warm_up + 2 * extent.requests) * scenes.len()) as f64;
    let spans = stage.spans(variant, &envoy).await?.map(|spans| spans as f64 / requests);
    if let Some(spans) = spans {
        variant.check_spans(spans, requests)?;
    }
    Ok(Counted { scenes: counts, spans })
}

/// Sends requests to an Envoy that may be slow, but not stand still.
async fn play(load: &mut Load, traffic: Traffic, count: usize) -> Result<()> {
    let deadline = LONGEST_REQUEST.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    match timeout(deadline, load.run(traffic, count)).await {
        Ok(answered) => answered.map(drop),
        Err(_) => bail!("Envoy under Valgrind did not answer {count} requests within {deadline:?}"),
    }
}

/// What was counted until the spans of the last requests had left too. That is known by those who receive them, because whom one
/// asks executes instructions; Envoy itself is asked when they are taken, and that is forgotten.
async fn trail(stage: &Stage, variant: &Variant, envoy: &Envoy, callgrind: &Callgrind) -> Result<u64> {
    let began = Instant::now();
    let mut counted = 0;
    loop {
        stage.wait_for_quiet(variant.longest_wait()).await?;
        counted += callgrind.take(envoy.id()).await?;
        let settled = stage.is_settled(variant, envoy).await?;
        callgrind.zero(envoy.id()).await?;
        if settled {
            return Ok(counted);
        }
        ensure!(began.elapsed() < SETTLED_WITHIN, "spans still wait {SETTLED_WITHIN:?} after the last request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_make_a_mean_and_a_noise() {
        let count = Count { first: 100_000.0, second: 101_000.0, by_clock: 700.0 };
        assert_eq!((count.instructions(), count.apart()), (100_500.0, 1_000.0));
    }
}
