//! Counts from spans are right under every policy: a million requests through the release module, held against its own exact counts,
//! in every stratum. Faults that a policy of this kind can have are planted into what it exported, and must be found by the same check.
//!
//! `TRACELIFT_LAW_SEEDS` runs the policy with everything in it with so many seeds instead of 20.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tracelift_host::{Envoy, Headers, RequestSpec, Response, measured};

use crate::estimates::{Fault, Kind, Run, SIGMAS, deviations, kept, kind_of, planted, spread, worst};
use crate::kit::{COLLECTOR, closed_books, process, seconds, started};

/// Runs of the policy with everything in it, each with a seed of its own.
const SEEDS: u64 = 20;
/// Requests of each of them.
const A_RUN: u64 = 35_000;
/// Requests of each policy that has one thing alone.
const ALONE: u64 = 100_000;
/// Requests between two looks at what the collector has.
const BATCH: u64 = 1000;
/// Share that the head keeps; a threshold has it exactly.
const RATIO: f64 = 0.125;
/// The same by a rule for one method.
const RULE: (&str, f64) = ("POST", 0.5);
/// Routes, the first of which is called most.
const ROUTES: u64 = 40;

fn share((method, ..): &Kind) -> f64 {
    if method == RULE.0 { RULE.1 } else { RATIO }
}

/// A request: its method, its route, its status, and whether the application marks its answer.
fn request(seed: u64, number: u64) -> (&'static str, u64, u16, bool) {
    let number = number.wrapping_add(seed << 32);
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    // Each route is called half as often as the four before it.
    let route = u64::from((spread >> 2).trailing_zeros()).min(ROUTES / 4 - 1) * 4 + spread % 4;
    let method = match number.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 61 {
        0..5 => "GET",
        5..7 => "POST",
        _ => "PUT",
    };
    let status = match number.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 54 {
        0..4 => 503,
        4..20 => 404,
        20..40 => 301,
        _ => 200,
    };
    (method, route, status, spread.is_multiple_of(97))
}

/// Runs so many requests under a policy: what there was, and what spans say.
fn run(upgrade: &serde_json::Value, seed: u64, count: u64) -> Run {
    let rules = json!([{"match": {"method": [RULE.0]}, "ratio": RULE.1}]);
    let configuration = json!({
        "span_kind": "server", "sampling": {"ratio": RATIO, "rules": rules}, "upgrade": upgrade,
        "metrics": {"enabled": true, "route_header": "x-route", "max_series": 2000, "exemplars": false},
        "export": {"max_queue_size": 65_536, "max_queue_bytes": 64 << 20},
    });
    let builder = process(configuration.to_string()).workers(2).seed(seed);
    let mut envoy = started(builder.collector(COLLECTOR, Duration::from_millis(20)));
    let mut run = Run::default();
    for number in 0..count {
        let (method, route, status, marked) = request(seed, number);
        let head = [(":method", method), (":path", "/"), (":authority", "shop"), (":scheme", "http")];
        let spec = RequestSpec::new("inbound", Headers::from(head)).worker((number % 2) as usize);
        let mut answer = Response::status(status).header("x-route", format!("/{route}"));
        if marked {
            answer = answer.header("x-keep", "yes");
        }
        envoy.open(spec).respond(&mut envoy, answer);
        if number % BATCH == BATCH - 1 {
            envoy.advance(Duration::from_millis(1_500));
            collect(&mut envoy, &mut run, (number / BATCH) as usize);
        }
    }
    for _ in 0..25 {
        envoy.advance(seconds(3)); // The last spans, and the next export of metrics.
        collect(&mut envoy, &mut run, (count / BATCH) as usize);
    }
    assert_eq!(run.exact.values().sum::<u64>(), count, "every request is counted");
    assert!(envoy.gauge("tracelift.audit.z_centi") < 400, "the audit agrees");
    closed_books(&mut envoy);
    run
}

/// Takes what the collector has received since the last time.
pub fn collect(envoy: &mut Envoy, run: &mut Run, batch: usize) {
    run.spans.extend(envoy.exports().accepted().spans().iter().map(|span| kept(span, batch)));
    if let Some(export) = envoy.measured().last() {
        run.exact.clear();
        for (series, count) in measured::counts(export) {
            *run.exact.entry(kind_of(&series)).or_default() += count;
        }
    }
    envoy.forget_callouts();
}

/// Runs each of the jobs, as many at once as there are processors, and returns what came of them in their order.
pub fn each<J: Sync>(jobs: &[J], work: impl Fn(&J) -> Run + Sync) -> Vec<Run> {
    let next = Mutex::new(0..jobs.len());
    let done = Mutex::new(Vec::new());
    let take = || next.lock().expect("no job panicked").next();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(place) = take() {
                    let run = work(&jobs[place]);
                    done.lock().expect("no job panicked").push((place, run));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no job panicked");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, run)| run).collect()
}

fn seeds() -> u64 {
    let asked = std::env::var("TRACELIFT_LAW_SEEDS").ok();
    asked.map_or(SEEDS, |seeds| seeds.parse().expect("TRACELIFT_LAW_SEEDS is a number"))
}

#[test]
fn a_million_requests_are_what_their_spans_stand_for_and_planted_faults_are_found() {
    let coverage = json!({"enabled": true, "per_window": 3, "window_s": 10, "traces_per_minute": 100_000});
    let marks = json!({"x-keep": {"exact": "yes"}});
    let everything = json!({"coverage": coverage, "response_headers": marks, "traces_per_second": 5});
    let alone = [
        ("failures", json!({"traces_per_second": 2})),
        ("coverage", json!({"coverage": coverage})),
        ("a small budget", json!({"coverage": {"enabled": true, "window_s": 10, "traces_per_minute": 100}})),
    ];
    let jobs: Vec<_> = (0..seeds()).map(|seed| (&everything, seed, A_RUN)).collect();
    let more = (100..).zip(&alone).map(|(seed, (_, upgrade))| (upgrade, seed, ALONE));
    let jobs: Vec<_> = jobs.into_iter().chain(more).collect();
    let mut runs = each(&jobs, |(upgrade, seed, count)| run(upgrade, *seed, *count));
    for (name, _) in alone.iter().rev() {
        let run = runs.pop().expect("a run of each policy");
        let found = deviations([&run], share);
        let (z, stratum) = worst(&found);
        assert!(z < SIGMAS, "{name}: {stratum} is off by {z:.1} standard deviations");
    }

    let found = deviations(&runs, share);
    assert!(100 < found.len(), "{} strata", found.len());
    let (z, stratum) = worst(&found);
    assert!(z < SIGMAS, "everything: {stratum} is off by {z:.1} standard deviations");
    let (deviation, of) = spread(&runs, share);
    println!("{} strata, worst {z:.2} ({stratum}); standard deviation of {of} deviations: {deviation:.3}", found.len());
    assert!(400 < of && (0.9..1.1).contains(&deviation), "{of} deviations have a standard deviation of {deviation:.3}");

    for fault in [Fault::HardCap(200), Fault::ChargedIfMissed, Fault::AnothersThreshold, Fault::Lost] {
        let faulty: Vec<Run> = runs.iter().map(|run| planted(run, fault, share)).collect();
        let found = deviations(&faulty, share);
        let (z, stratum) = worst(&found);
        println!("{fault:?}: {stratum} is off by {z:.1}");
        assert!(SIGMAS < z, "{fault:?} is not found: {stratum} is off by {z:.1} standard deviations");
    }
}
