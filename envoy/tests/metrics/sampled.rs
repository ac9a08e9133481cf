//! The filter's metrics and those that a real collector makes of spans: the same where every span is there, and what theirs are an estimate
//! of where one in twenty is.

use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Shipped, Stats};

use crate::counting::Counting;
use crate::mesh::{Pod, settings};
use crate::points::{Cells, newest, summed, total};
use crate::traffic::{self, Truth, without_errors};

/// Requests of a story, and clients that leave.
const REQUESTS: usize = 20_000;
const LEAVING: usize = 16;

/// An Envoy before a collector that counts, after all requests were made and everything was counted.
struct Counted {
    pod: Pod,
    counting: Counting,
    truth: Truth,
    /// What the filter says.
    ours: Cells,
}

impl Counted {
    async fn requests(histogram: &str, ratio: f64) -> Self {
        let (counting, refusing) = (Counting::start().await, RefusingPort::any().unwrap());
        let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
            settings(bootstrap, |json| {
                json["sampling"] = serde_json::json!({ "ratio": ratio, "mode": "independent" });
                json["upgrade"] = serde_json::json!({ "traces_per_second": 0 });
                // A slow collector must not cost spans, of which there are more at once than anybody else has.
                json["export"]["max_queue_size"] = 65_536.into();
                json["export"]["max_queue_bytes"] = (64 << 20).into();
                json["metrics"] = traffic::metrics(histogram, "cumulative");
            });
            bootstrap.endpoints("otel_collector", &[counting.otlp()]).unwrap();
            traffic::refuse(bootstrap, &refusing);
        })
        .await;
        let sent = traffic::send(&pod, REQUESTS, 7).await;
        let left = traffic::leave(&pod, LEAVING, 8).await;
        let truth = traffic::sum([sent, left]);
        let expected = (REQUESTS + LEAVING) as u64;
        until("the filter's counts are complete", || total(&newest(&counting.ours.measured(), OURS)) == expected).await;
        let ours = newest(&counting.ours.measured(), OURS);
        Self { pod, counting, truth, ours }
    }

    /// Waits until the collector has made metrics of each span that was exported; how many.
    async fn spans(&self) -> u64 {
        let settled = |stats: &Stats| {
            let ledger = stats.ledger();
            (ledger.is_settled() && ledger.discarded == 0).then_some(ledger.exported)
        };
        let stats = self.pod.envoy.admin().wait_for_stats(PATIENCE, settled).await.unwrap();
        let exported = stats.unwrap_or_else(|| panic!("spans were lost, or wait:\n{}", self.pod.envoy.log()));
        until("the collector has all spans", || self.counting.spans.spans().len() as u64 == exported).await;
        exported
    }

    fn theirs(&self, name: &str) -> Cells {
        newest(&self.counting.theirs.measured(), name)
    }

    /// A sum of deltas: the connector keeps none itself.
    fn weighed(&self) -> Cells {
        summed(&self.counting.theirs.measured(), "weighed.calls")
    }
}

/// How long a condition may take to come true after so many requests, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// Both of the filter's metrics at a server.
const OURS: &str = "";

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// By label sets.
fn counts(cells: &Cells) -> Truth {
    cells.iter().map(|(cell, point)| (cell.clone(), point.count)).collect()
}

/// Everything is kept, so that what the collector counts of spans is what the filter counted of requests.
async fn the_same_as_of_all_spans(histogram: &str) {
    let counted = Counted::requests(histogram, 1.0).await;
    let (ours, truth) = (&counted.ours, &counted.truth);
    assert_eq!(&without_errors(ours), truth);
    assert!(ours.keys().any(|cell| cell.contains("error.type=") && cell.contains("http.route=")), "{ours:#?}");
    let exported = counted.spans().await;
    assert_eq!(exported, (REQUESTS + LEAVING) as u64);

    for name in ["explicit.calls", "exponential.calls", "explicit.duration", "exponential.duration"] {
        until(name, || total(&counted.theirs(name)) == exported).await;
        assert_eq!(counts(ours), counts(&counted.theirs(name)), "{name}");
    }
    until("weighed.calls", || total(&counted.weighed()) == exported).await;
    assert_eq!(counts(ours), counts(&counted.weighed()), "weighed.calls");
    let theirs = counted.theirs(&format!("{histogram}.duration"));
    let mut scales = Vec::new();
    for (cell, point) in ours {
        let theirs = &theirs[cell];
        // The resolutions are those that each chose, so both are taken to the coarser one.
        let scale = point.buckets.scale().into_iter().chain(theirs.buckets.scale()).min().unwrap_or_default();
        assert_eq!(point.buckets.at_most(scale), theirs.buckets.at_most(scale), "{cell}");
        assert!((point.sum - theirs.sum).abs() <= 1e-6 * theirs.sum, "{cell}: {} and {} s", point.sum, theirs.sum);
        scales.extend(point.buckets.scale());
    }
    // Fine enough for the comparison to say something.
    assert!(scales.iter().all(|scale| (2..=4).contains(scale)), "{scales:?}");
    compare_with_envoy(&counted.pod, ours).await;
}

/// Envoy's own counters by class.
async fn compare_with_envoy(pod: &Pod, ours: &Cells) {
    let stats = pod.envoy.admin().stats().await.unwrap();
    let class = |digit: u64| -> u64 {
        let key = format!("http.response.status_code={digit}");
        ours.iter().filter(|(cell, _)| cell.contains(&key)).map(|(_, point)| point.count).sum()
    };
    let calls: u64 = ours.iter().filter(|(cell, _)| cell.contains("rpc.")).map(|(_, point)| point.count).sum();
    let envoys = |name: &str| stats.get(&format!("http.inbound.downstream_rq_{name}"));
    let of_class = [1, 2, 3, 4, 5].map(|digit| envoys(&format!("{digit}xx")));
    assert_eq!([class(1), class(2) + calls, class(3), class(4), class(5)], of_class);
    assert_eq!(envoys("completed"), total(ours) - LEAVING as u64, "all but those whose clients left");
    assert_eq!(envoys("total"), total(ours));
    let served = |(name, value): (&str, u64)| {
        name.starts_with("listener.") && name.contains(".worker_") && name.ends_with("downstream_cx_total") && 0 < value
    };
    assert!(1 < stats.iter().filter(|stat| served(*stat)).count(), "one worker had all requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explicit_buckets_are_those_that_a_collector_makes_of_all_spans() {
    the_same_as_of_all_spans("explicit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exponential_buckets_are_those_that_a_collector_makes_of_all_spans() {
    the_same_as_of_all_spans("exponential").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_ratio_ours_count_every_request_and_theirs_are_an_estimate_of_it() {
    const RATIO: f64 = 0.05;
    let counted = Counted::requests("exponential", RATIO).await;
    assert_eq!(without_errors(&counted.ours), counted.truth);
    compare_with_envoy(&counted.pod, &counted.ours).await;
    let exported = counted.spans().await;
    assert!(exported < 2 * (RATIO * REQUESTS as f64) as u64, "{exported} spans");

    let stands_for = (exported as f64 / RATIO) as u64;
    let near = |cells: &Cells| total(cells).abs_diff(stands_for) <= exported;
    until("explicit.calls", || near(&counted.theirs("explicit.calls"))).await;
    until("weighed.calls", || near(&counted.weighed())).await;
    for (name, theirs) in [("explicit.calls", counted.theirs("explicit.calls")), ("weighed.calls", counted.weighed())] {
        let theirs = without_errors(&theirs);
        within_four_sigma(name, &counted.truth, &theirs, RATIO);
        let all = |counts: &Truth| Truth::from([("all".to_owned(), counts.values().sum())]);
        within_four_sigma(name, &all(&counted.truth), &all(&theirs), RATIO);
    }
}

/// An estimate of n by spans that are kept with probability p has the variance n (1 − p) / p.
fn within_four_sigma(name: &str, truth: &Truth, estimated: &Truth, p: f64) {
    assert!(estimated.keys().all(|cell| truth.contains_key(cell)), "{name}: {estimated:#?}");
    for (cell, requests) in truth {
        let n = *requests as f64;
        let estimate = estimated.get(cell).copied().unwrap_or_default() as f64;
        let sigma = (n * (1.0 - p) / p).sqrt();
        assert!((estimate - n).abs() <= 4.0 * sigma, "{name}: {estimate} for {n} of {cell}, sigma {sigma}");
    }
}
