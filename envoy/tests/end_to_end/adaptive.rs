//! A rate that steers itself, in an Envoy with four workers: all go by one ratio, and what is kept is what the target allows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::{Pod, SOON, settings};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracelift_envoy::{Load, ReceivedSpan, Request, Shipped};

/// Traces a second.
const TARGET: u64 = 20;
/// The ratio until something is known, in millionths.
const FIRST: u64 = 200_000;

/// The `th` of a span.
fn th(span: &ReceivedSpan) -> String {
    let state = span.span.trace_state.as_str();
    state.strip_prefix("ot=th:").unwrap_or_else(|| panic!("tracestate {state}")).to_owned()
}

/// When each threshold was first and last seen at the beginning of a span, in Unix nanoseconds; by its first time.
fn in_force(spans: &[ReceivedSpan]) -> Vec<(u64, u64, String)> {
    let mut seen = BTreeMap::<String, (u64, u64)>::new();
    for span in spans {
        let at = span.span.start_time_unix_nano;
        let times = seen.entry(th(span)).or_insert((at, at));
        *times = (times.0.min(at), times.1.max(at));
    }
    let mut all: Vec<_> = seen.into_iter().map(|(th, (first, last))| (first, last, th)).collect();
    all.sort();
    all
}

async fn ratio(pod: &Pod, wanted: impl Fn(u64) -> bool) -> u64 {
    let deadline = SOON * 3;
    let found = pod.envoy.admin().wait_for_stats(deadline, |stats| {
        let ratio = stats.tracelift("adaptive.ratio_ppm");
        wanted(ratio).then_some(ratio)
    });
    let found = found.await.unwrap();
    match found {
        Some(ratio) => ratio,
        None => panic!("the ratio is {}", pod.envoy.admin().stats().await.unwrap().tracelift("adaptive.ratio_ppm")),
    }
}

#[tokio::test]
async fn four_workers_go_by_one_ratio_which_neither_a_reset_of_counters_nor_a_step_of_load_unsettles() {
    let pod = Pod::with_workers(4, Shipped::Sidecar, |bootstrap| {
        settings(bootstrap, |json| {
            let target = json!({ "traces_per_second": TARGET, "min_ratio": 0 });
            json["sampling"] = json!({ "ratio": FIRST as f64 / 1e6, "target": target });
        });
    })
    .await;
    assert_eq!(ratio(&pod, |ratio| ratio != 0).await, FIRST);
    let entry = pod.entry();
    let few = Load::start(2, move |_| Request::get(entry, "/cart"));
    ratio(&pod, |ratio| ratio < FIRST).await;
    let started = Instant::now();
    let many = Load::start(16, move |_| Request::get(entry, "/cart"));
    while started.elapsed() < Duration::from_secs(12) {
        assert!(many.goes_on(50, SOON).await, "requests go on");
    }
    let settled = ratio(&pod, |ratio| ratio < FIRST / 2).await;
    pod.envoy.admin().post("/reset_counters").await.unwrap();
    while started.elapsed() < Duration::from_secs(24) {
        assert!(many.goes_on(50, SOON).await, "requests go on");
    }
    let after = ratio(&pod, |_| true).await;
    assert!(after < 4 * settled && settled < 10 * after, "{settled} before the reset, {after} behind it");
    let (few, many) = (few.stop().await, many.stop().await);
    assert!(few.is_all(200) && many.is_all(200), "{few}; {many}");

    sleep(Duration::from_millis(500)).await;
    let spans = pod.collector.spans();
    assert!(spans.iter().all(|span| span.text("tracelift.sampling.reason") == Some("adaptive")));
    let thresholds = in_force(&spans);
    assert!(3 <= thresholds.len(), "{thresholds:?}");
    // A worker takes over what another one has found on its own tick, so that two are in force at a time, and never three.
    for three in thresholds.windows(3) {
        assert!(three[0].1 < three[2].0, "three thresholds at a time: {three:?}");
    }
    let sent = (few.sent() + many.sent()) as f64;
    let estimate: f64 = spans.iter().map(|span| adjusted_count(&th(span))).sum();
    let variance: f64 = spans.iter().map(|span| adjusted_count(&th(span)).powi(2)).sum();
    let z = (estimate - sent) / variance.sqrt();
    assert!(z.abs() < 4.0, "{estimate} of {sent} requests: z {z:.1}");
}

fn adjusted_count(th: &str) -> f64 {
    let range = 2f64.powi(56);
    let threshold = u64::from_str_radix(&format!("{th:0<14}"), 16).expect("hexadecimal digits");
    range / (range - threshold as f64)
}
