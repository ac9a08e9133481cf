//! A rate that steers itself: counts from spans are right at every moment, whatever the traffic does, and what is kept is what the target
//! allows. Planted faults must be found by the same check.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Envoy, Headers, RequestSpec, Response};

use crate::estimates::{Fault, Kept, Run, SIGMAS, planted, worst};
use crate::kit::{COLLECTOR, closed_books, process, seconds, started};
use crate::unbiased::{collect, each};

/// Runs of each policy, each with a seed of its own.
const SEEDS: u64 = 12;
/// Seconds of one run.
const SECONDS: u64 = 90;
/// Traces a second.
const TARGET: f64 = 40.0;
/// A stratum of its own has so many spans that chance kept; smaller ones are put together.
const MANY: usize = 100;
/// The same within one run, where only the spread of all deviations matters.
const SOME: usize = 30;

/// Requests of a second: steady, a step up, on and off, a lull.
fn load(second: u64) -> u64 {
    match second {
        0..20 => 200,
        20..35 => 1_200,
        35..65 if second % 10 < 4 => 800,
        35..65 => 80,
        65..75 => 20,
        _ => 300,
    }
}

/// The route and the status of a request.
fn request(seed: u64, number: u64) -> (u64, u16) {
    let spread = number.wrapping_add(seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let route = u64::from((spread >> 2).trailing_zeros()).min(5);
    let status = if spread.is_multiple_of(61) { 503 } else { 200 };
    (route, status)
}

fn configuration(policy: &Value) -> String {
    let routes: Vec<String> = (0..6).map(|route| format!("/r{route}")).collect();
    let mut configuration = json!({
        "span_kind": "server", "metrics": {"enabled": true, "routes": routes, "exemplars": false},
        "export": {"max_queue_size": 65_536, "max_queue_bytes": 64 << 20},
    });
    for (key, value) in policy.as_object().expect("an object") {
        configuration[key] = value.clone();
    }
    configuration.to_string()
}

fn serve(envoy: &mut Envoy, seed: u64, number: u64) {
    let (route, status) = request(seed, number);
    let path = format!("/r{route}");
    let head = [(":method", "GET"), (":path", path.as_str()), (":authority", "shop"), (":scheme", "http")];
    let spec = RequestSpec::new("inbound", Headers::from(head)).worker((number % 2) as usize);
    envoy.open(spec).respond(envoy, Response::status(status));
}

/// One run under a policy, second by second.
fn run(policy: &Value, seed: u64) -> Run {
    let builder = process(configuration(policy)).workers(2).seed(seed);
    let mut envoy = started(builder.collector(COLLECTOR, Duration::from_millis(20)));
    let (mut run, mut number) = (Run::default(), 0);
    for second in 0..SECONDS {
        for _ in 0..load(second) {
            serve(&mut envoy, seed, number);
            number += 1;
        }
        envoy.advance(seconds(1));
        collect(&mut envoy, &mut run, second as usize);
    }
    for _ in 0..25 {
        envoy.advance(seconds(3)); // The last spans, and the next export of metrics.
        collect(&mut envoy, &mut run, SECONDS as usize);
    }
    assert_eq!(run.exact.values().sum::<u64>(), number, "every request is counted");
    assert!(envoy.gauge("tracelift.audit.z_centi") < 400, "the audit agrees");
    closed_books(&mut envoy);
    run
}

/// Estimate and number of a stratum, and its variance by the spans themselves: each that chance kept at p stands for (1 - p) / p² of it.
#[derive(Clone, Copy, Default)]
struct Stratum {
    difference: f64,
    variance: f64,
    by_chance: usize,
}

impl Stratum {
    fn add(&mut self, other: Self) {
        self.difference += other.difference;
        self.variance += other.variance;
        self.by_chance += other.by_chance;
    }

    fn z(self) -> f64 {
        if self.difference.abs() < 1e-6 { 0.0 } else { self.difference / self.variance.sqrt() }
    }
}

/// By route and status.
fn strata<'a>(runs: impl IntoIterator<Item = &'a Run>) -> BTreeMap<(String, u16), Stratum> {
    let mut all = BTreeMap::<(String, u16), Stratum>::new();
    for run in runs {
        for ((_, route, status), count) in &run.exact {
            all.entry((route.clone(), *status)).or_default().difference -= *count as f64;
        }
        for Kept { kind: (_, route, status), adjusted, .. } in &run.spans {
            let variance = adjusted * (adjusted - 1.0);
            let span = Stratum { difference: *adjusted, variance, by_chance: usize::from(1.0 < *adjusted) };
            all.entry((route.clone(), *status)).or_default().add(span);
        }
    }
    all
}

fn deviations<'a>(runs: impl IntoIterator<Item = &'a Run>) -> BTreeMap<String, f64> {
    let mut named = BTreeMap::<String, Stratum>::new();
    for ((route, status), stratum) in strata(runs) {
        let own = if stratum.by_chance < MANY { "rare".to_owned() } else { format!("{route} {status}") };
        for name in [own, format!("route {route}"), format!("status {status}"), "all".to_owned()] {
            named.entry(name).or_default().add(stratum);
        }
    }
    named.into_iter().map(|(name, stratum)| (name, stratum.z())).collect()
}

/// The standard deviation of the deviations of all strata of all runs, and how many those are.
fn spread(runs: &[Run]) -> (f64, usize) {
    let each = runs.iter().flat_map(|run| strata([run]).into_values()).filter(|stratum| SOME <= stratum.by_chance);
    let zs: Vec<f64> = each.map(Stratum::z).collect();
    let (count, mean) = (zs.len() as f64, zs.iter().sum::<f64>() / zs.len() as f64);
    ((zs.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt(), zs.len())
}

/// The same spans, each with the `th` that was in force so many seconds before.
fn of_another_moment(run: &Run, before: usize) -> Run {
    let by_chance = run.spans.iter().filter(|span| 1.0 < span.adjusted);
    let last: BTreeMap<usize, f64> = by_chance.map(|span| (span.batch, span.adjusted)).collect();
    let mut other = run.clone();
    for span in other.spans.iter_mut().filter(|span| 1.0 < span.adjusted) {
        let then = last.range(..=span.batch.saturating_sub(before)).next_back();
        span.adjusted = then.map_or(span.adjusted, |(_, adjusted)| *adjusted);
    }
    other
}

fn policies() -> [(&'static str, Value); 3] {
    let target = |more: Value| {
        let mut target = json!({"traces_per_second": TARGET});
        more.as_object().into_iter().flatten().for_each(|(key, value)| target[key] = value.clone());
        target
    };
    let off = json!({"traces_per_second": 0});
    [
        ("target", json!({"sampling": {"ratio": 0.5, "target": target(json!({}))}, "upgrade": off})),
        ("by route", json!({"sampling": {"ratio": 0.5, "target": target(json!({"by": "route"}))}, "upgrade": off})),
        (
            "everything",
            json!({
                "sampling": {"ratio": 0.5, "target": target(json!({"by": "route"})), "boost": {"max_ratio": 1, "hold_s": 10}},
                "upgrade": {"traces_per_second": 5, "coverage": {"enabled": true, "window_s": 10}},
            }),
        ),
    ]
}

#[test]
fn spans_of_a_rate_that_steers_itself_stand_for_what_there_was() {
    let mut all = Vec::new();
    for (name, policy) in policies() {
        let jobs: Vec<u64> = (0..SEEDS).collect();
        let runs = each(&jobs, |seed| run(&policy, *seed));
        let found = deviations(&runs);
        let (z, stratum) = worst(&found);
        assert!(z < SIGMAS, "{name}: {stratum} is off by {z:.1} standard deviations");
        let (deviation, of) = spread(&runs);
        println!(
            "{name}: {} strata, worst {z:.2} ({stratum}); standard deviation of {of} deviations: {deviation:.3}",
            found.len()
        );
        assert!(40 < of && (0.85..1.15).contains(&deviation), "{name}: {of} deviations have {deviation:.3}");
        if name == "target" {
            assert_kept(&runs);
            for fault in [Fault::HardCap(60), Fault::Lost] {
                let faulty: Vec<Run> = runs.iter().map(|run| planted(run, fault, |_| 1.0)).collect();
                assert_found(&format!("{fault:?}"), &faulty);
            }
            let faulty: Vec<Run> = runs.iter().map(|run| of_another_moment(run, 3)).collect();
            assert_found("th of another moment", &faulty);
        }
        all.extend(runs);
    }
    let (deviation, of) = spread(&all);
    println!("all policies: standard deviation of {of} deviations: {deviation:.3}");
    assert!(200 < of && (0.9..1.1).contains(&deviation), "{of} deviations have {deviation:.3}");
}

fn assert_found(fault: &str, faulty: &[Run]) {
    let found = deviations(faulty);
    let (z, stratum) = worst(&found);
    println!("{fault}: {stratum} is off by {z:.1}");
    assert!(SIGMAS < z, "{fault} is not found: {stratum} is off by {z:.1} standard deviations");
}

/// Where the load is steady, the target is kept within three deviations; ten seconds never have more than three times it, and a burst.
fn assert_kept(runs: &[Run]) {
    let mut kept = vec![0.0; SECONDS as usize + 1];
    runs.iter().flat_map(|run| &run.spans).for_each(|span| kept[span.batch] += 1.0 / runs.len() as f64);
    for steady in [12..20, 28..35] {
        let count = steady.len() as f64;
        let a_second = kept[steady.clone()].iter().sum::<f64>() / count;
        let deviation = (TARGET / (count * runs.len() as f64)).sqrt();
        assert!((a_second - TARGET).abs() < 3.0 * deviation + 0.05 * TARGET, "{steady:?}: {a_second:.1} a second");
    }
    let ten = kept.windows(10).skip(10).map(|ten| ten.iter().sum::<f64>()).fold(0.0, f64::max);
    assert!(ten < 3.0 * TARGET * 10.0, "{ten} in ten seconds");
}
