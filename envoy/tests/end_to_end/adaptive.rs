//! A rate that steers itself, in an Envoy with several workers: all go by one ratio, and what is kept is what the target allows.

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
    is_estimated(&spans, few.sent() + many.sent());
}

#[tokio::test]
async fn each_route_has_a_rate_and_the_rare_one_is_kept_whole() {
    let pod = Pod::with_workers(4, Shipped::Sidecar, |bootstrap| {
        settings(bootstrap, |json| {
            let target = json!({ "traces_per_second": TARGET, "min_ratio": 0, "by": "route" });
            json["sampling"] = json!({ "ratio": 1, "target": target });
            json["metrics"]["routes"] = json!(["/cart", "/users/{id}"]);
        });
    })
    .await;
    ratio(&pod, |ratio| ratio == 1_000_000).await;
    let entry = pod.entry();
    let many = Load::start(8, move |_| Request::get(entry, "/cart"));
    let started = Instant::now();
    let mut rare = 0;
    while started.elapsed() < Duration::from_secs(12) {
        assert_eq!(pod.get(&format!("/users/{rare}")).await.status, 200);
        rare += 1;
        sleep(Duration::from_millis(300)).await;
    }
    ratio(&pod, |ratio| ratio < 1_000_000 / 2).await;
    let many = many.stop().await;
    assert!(many.is_all(200), "{many}");
    sleep(Duration::from_millis(500)).await;
    let (users, cart): (Vec<_>, Vec<_>) = pod.collector.spans().into_iter().partition(|span| {
        assert_eq!(span.text("tracelift.sampling.reason"), Some("adaptive"));
        span.text("url.path").is_some_and(|path| path.starts_with("/users/"))
    });
    assert_eq!(users.len(), rare, "each of the rare");
    assert!(users.iter().all(|span| th(span) == "0"), "at its own rate");
    assert!((cart.len() as u64) < many.sent() / 2, "{} of {} of the others", cart.len(), many.sent());
    is_estimated(&cart, many.sent());
}

#[tokio::test]
async fn a_boost_raises_the_rate_of_all_workers_while_requests_fail() {
    let pod = Pod::with_workers(2, Shipped::Sidecar, |bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 0.01, "boost": { "max_ratio": 0.5 } });
            json["upgrade"]["traces_per_second"] = 1_000.into();
        });
    })
    .await;
    let entry = pod.entry();
    let good = Load::start(2, move |_| Request::get(entry, "/cart"));
    sleep(Duration::from_secs(67)).await; // What is usual is known after a minute.
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!(["adaptive.boosted", "adaptive.ratio_ppm"].map(|name| stats.tracelift(name)), [0, 10_000]);
    let failing = Load::start(1, move |_| Request::get(entry, "/status/503"));
    ratio(&pod, |ratio| ratio == 100_000).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!(["adaptive.boosted", "adaptive.changes.boost"].map(|name| stats.tracelift(name)), [1, 1]);
    sleep(Duration::from_secs(2)).await; // A worker obeys on its next tick.
    let (good, failing) = (good.stop().await, failing.stop().await);
    assert!(good.is_all(200) && failing.is_all(503), "{good}; {failing}");
    assert!(pod.envoy.log().contains("the boost of the sampling ratio begins"), "{}", pod.envoy.log());
    sleep(Duration::from_millis(500)).await;
    let mut spans = pod.collector.spans();
    spans.retain(|span| span.text("url.path") == Some("/cart"));
    assert!(spans.iter().all(|span| span.text("tracelift.sampling.reason") == Some("adaptive")));
    let thresholds: Vec<_> = in_force(&spans).into_iter().map(|(.., th)| adjusted_count(&th).round()).collect();
    assert_eq!(thresholds, [100.0, 10.0], "ten times the ratio");
    is_estimated(&spans, good.sent());
}

/// The spans stand for so many requests.
fn is_estimated(spans: &[ReceivedSpan], sent: u64) {
    let counts = || spans.iter().map(|span| adjusted_count(&th(span)));
    let (estimate, variance) = (counts().sum::<f64>(), counts().map(|count| count * (count - 1.0)).sum::<f64>());
    let z = (estimate - sent as f64) / variance.sqrt();
    assert!(z.abs() < 4.0, "{estimate} of {sent} requests: z {z:.1}");
}

fn adjusted_count(th: &str) -> f64 {
    let range = 2f64.powi(56);
    let threshold = u64::from_str_radix(&format!("{th:0<14}"), 16).expect("hexadecimal digits");
    range / (range - threshold as f64)
}
