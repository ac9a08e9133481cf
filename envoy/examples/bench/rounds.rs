//! The level of real Envoys: every round gives each variant one slice of requests, in any order, and each slice is compared
//! with that of the plain Envoy in the same round.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracelift_envoy::Envoy;

use crate::load::{Answered, Load, Protocol};
use crate::process::processor_time;
use crate::stage::{DIRECT, PROXIED, Stage};
use crate::statistics::{Median, middle};
use crate::traffic::Traffic;
use crate::variant::{NONE, Variant, YARDSTICKS};
use tracelift_envoy::Random;

/// A place of the traffic: who answers, and how it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Which listener of the Envoy that is measured.
    pub listener: &'static str,
    /// How the load and the upstream speak.
    pub protocol: Protocol,
}

impl Scene {
    /// The four there are.
    pub const ALL: [Self; 4] = [
        Self { listener: DIRECT, protocol: Protocol::Http1 },
        Self { listener: PROXIED, protocol: Protocol::Http1 },
        Self { listener: DIRECT, protocol: Protocol::Http2 },
        Self { listener: PROXIED, protocol: Protocol::Http2 },
    ];

    /// As options and the report name it.
    pub fn name(self) -> String {
        let who = if self.listener == DIRECT { "direct response" } else { "real upstream" };
        format!("{who}, {}", self.protocol.name())
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Times that all Envoys are started afresh: luck of a process is no result.
    pub blocks: usize,
    /// Rounds of a scene in each block.
    pub rounds: usize,
    /// Requests of a slice.
    pub requests: usize,
    /// Requests in flight.
    pub lanes: usize,
}

/// After a slice, the exporters' second, and a little.
const SETTLE: Duration = Duration::from_millis(1500);

/// One slice of one variant.
#[derive(Clone, Copy, Debug)]
struct Slice {
    /// From its beginning to that of the variant's next one, so that exports which come later are charged to it. Microseconds of
    /// processor time a request.
    micros: f64,
    answered: Answered,
}

/// All slices of a scene: by variant, then by round.
struct Scores {
    scene: Scene,
    slices: Vec<Vec<Slice>>,
}

/// Runs all blocks and gives back the report of each scene.
pub async fn measure(stage: &Stage, variants: &[Variant], scenes: &[Scene], extent: Extent) -> Result<Value> {
    let mut scores: Vec<Scores> =
        scenes.iter().map(|scene| Scores { scene: *scene, slices: vec![Vec::new(); variants.len()] }).collect();
    let mut random = Random(2026);
    let mut sent = vec![Vec::new(); variants.len()];
    for block in 1..=extent.blocks {
        println!("Block {block} of {}: starting {} Envoys …", extent.blocks, variants.len());
        let mut envoys = Vec::with_capacity(variants.len());
        for variant in variants {
            envoys.push(stage.start(variant).await?);
        }
        for scores in &mut scores {
            println!("  {}: {} rounds of {} requests each …", scores.scene.name(), extent.rounds, extent.requests);
            play(stage, variants, &envoys, scores, extent, &mut random).await?;
        }
        let requests = ((extent.rounds + 1) * extent.requests * scenes.len()) as f64;
        for ((variant, envoy), sent) in variants.iter().zip(&envoys).zip(&mut sent) {
            if let Some(spans) = stage.spans(variant, envoy).await? {
                let spans = spans as f64 / requests;
                variant.check_spans(spans, requests)?;
                sent.push(spans);
            }
        }
    }
    let spans: Vec<Option<f64>> = sent.into_iter().map(|sent| (!sent.is_empty()).then(|| middle(sent))).collect();
    Ok(scores.iter().map(|scores| scores.report(variants, &spans)).collect())
}

async fn play(
    stage: &Stage,
    variants: &[Variant],
    envoys: &[Envoy],
    scores: &mut Scores,
    extent: Extent,
    random: &mut Random,
) -> Result<()> {
    let Scene { listener, protocol } = scores.scene;
    let mut loads = Vec::with_capacity(envoys.len());
    for envoy in envoys {
        loads.push(Load::connect(envoy.address(listener)?, protocol, extent.lanes).await?);
    }
    let mut order: Vec<usize> = (0..variants.len()).collect();
    let mut open: Vec<Option<(Duration, Answered)>> = vec![None; variants.len()];
    // The first round warms up and is thrown away.
    for round in 0..=extent.rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let now = processor_time(envoys[index].id())?;
            if let (Some((began, answered)), true) = (open[index], 1 < round) {
                scores.slices[index].push(Slice::new(now - began, answered, extent.requests));
            }
            let traffic = Traffic::new(protocol.version(), variants[index].share, random.next());
            let answered = loads[index].run(traffic, extent.requests).await;
            open[index] = Some((now, answered.with_context(|| format!("variant {:?}", variants[index].name))?));
            stage.collector.take_spans();
        }
    }
    sleep(SETTLE).await;
    for (index, envoy) in envoys.iter().enumerate() {
        if let Some((began, answered)) = open[index] {
            let now = processor_time(envoy.id())?;
            scores.slices[index].push(Slice::new(now - began, answered, extent.requests));
        }
    }
    Ok(())
}

impl Slice {
    fn new(spent: Duration, answered: Answered, requests: usize) -> Self {
        Self { micros: spent.as_secs_f64() * 1e6 / requests as f64, answered }
    }
}

impl Scores {
    fn report(&self, variants: &[Variant], spans: &[Option<f64>]) -> Value {
        let plain = variants.iter().position(|variant| variant.name == NONE);
        let rows = variants.iter().enumerate().map(|(index, variant)| {
            let slices = &self.slices[index];
            let of = |value: fn(&Slice) -> f64| middle(slices.iter().map(value).collect());
            let added = self.added(index, plain);
            let quotients = YARDSTICKS.map(|yardstick| {
                let other = self.added(variant.compared_with((&yardstick, false), variants)?, plain);
                let quotients: Vec<f64> = added.iter().zip(other).map(|(own, other)| own / other).collect();
                Some(interval(Median::of(&quotients)))
            });
            json!({
                "variant": variant.name,
                "micros": of(|slice| slice.micros),
                "added_micros": interval(Median::of(&added)),
                "to_native": quotients[0],
                "to_batches": quotients[1],
                "requests_per_second": of(|slice| slice.answered.requests_per_second()),
                "p50_micros": of(|slice| f64::from(slice.answered.p50)),
                "p99_micros": of(|slice| f64::from(slice.answered.p99)),
                "spans_per_request": spans[index],
            })
        });
        let rounds = self.slices.first().map_or(0, Vec::len);
        json!({ "scene": self.scene.name(), "pairs": rounds, "variants": rows.collect::<Vec<_>>() })
    }

    /// What each slice of a variant took more than the plain Envoy's of the same round, in microseconds a request.
    fn added(&self, variant: usize, plain: Option<usize>) -> Vec<f64> {
        let plain = plain.map(|plain| self.slices[plain].as_slice()).unwrap_or_default();
        self.slices[variant].iter().zip(plain).map(|(slice, plain)| slice.micros - plain.micros).collect()
    }
}

fn interval(median: Median) -> Value {
    json!({ "median": median.value, "low": median.low, "high": median.high })
}
