//! What a real Prometheus makes of the filter's metrics: quantiles, increases over restarts and faults, the shipped rules and panels.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Envoy, Launch, Shipped};

use crate::counting::Counting;
use crate::mesh::{Pod, SOON, settings, shipped};
use crate::points::{Buckets, newest, total};
use crate::prometheus::Prometheus;
use crate::traffic;

/// All requests that it has of all Envoys.
const ALL: &str = "sum(histogram_count(http_server_request_duration_seconds)) + (sum(histogram_count(rpc_server_call_duration_seconds)) or vector(0))";

fn configuration() -> Value {
    json!({ "global": { "scrape_interval": "1s", "evaluation_interval": "1s" } })
}

/// With an Envoy of this ratio before a collector that stores its metrics in `prometheus`.
async fn pod(counting: &Counting, refusing: &RefusingPort, histogram: &str, ratio: f64) -> Pod {
    Pod::start(Shipped::Sidecar, |bootstrap| stored(bootstrap, counting, refusing, histogram, ratio)).await
}

fn stored(bootstrap: &mut Bootstrap, counting: &Counting, refusing: &RefusingPort, histogram: &str, ratio: f64) {
    settings(bootstrap, |json| {
        json["sampling"] = json!({ "ratio": ratio, "mode": "independent" });
        json["upgrade"] = json!({ "traces_per_second": 0 });
        json["metrics"] = traffic::metrics(histogram, "cumulative");
    });
    bootstrap.endpoints("otel_collector", &[counting.otlp()]).unwrap();
    traffic::refuse(bootstrap, refusing);
}

/// The order statistic that a quantile of a histogram is read for.
fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1].as_secs_f64()
}

/// Durations of all HTTP requests, of their spans.
async fn durations(counting: &Counting, count: usize) -> Vec<Duration> {
    let spans = counting.spans.wait_for_spans(count, SOON).await.unwrap();
    let http = spans.iter().filter(|span| span.text("rpc.system.name").is_none());
    let mut durations: Vec<_> = http.map(|span| span.duration()).collect();
    durations.sort_unstable();
    durations
}

const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quantiles_of_native_histograms_are_within_a_bucket_of_the_truth() {
    let prometheus = Prometheus::start(&configuration(), &[]).await;
    let (counting, refusing) = (Counting::storing(prometheus.address()).await, RefusingPort::any().unwrap());
    let pod = pod(&counting, &refusing, "exponential", 1.0).await;
    let requests = 2000;
    traffic::send(&pod, requests, 11).await;
    prometheus.wait_for(ALL, requests as f64).await;
    let durations = durations(&counting, requests).await;
    let ours = newest(&counting.ours.measured(), "http.server.");
    assert_eq!(total(&ours), durations.len() as u64);
    let scale = ours.values().filter_map(|point| point.buckets.scale()).min().unwrap();
    // Both are in one bucket.
    let width = 2_f64.powf(2_f64.powi(-scale)) * (1.0 + 1e-9);
    for q in QUANTILES {
        let found = prometheus
            .value(&format!("histogram_quantile({q}, sum(http_server_request_duration_seconds))"))
            .await
            .unwrap();
        let truth = quantile(&durations, q);
        assert!(
            found / truth < width && truth / found < width,
            "p{q}: {found} s, in truth {truth} s, at scale {scale}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quantiles_of_classic_histograms_are_within_a_bucket_of_the_truth() {
    let prometheus = Prometheus::start(&configuration(), &[]).await;
    let (counting, refusing) = (Counting::storing(prometheus.address()).await, RefusingPort::any().unwrap());
    let pod = pod(&counting, &refusing, "explicit", 1.0).await;
    let requests = 2000;
    traffic::send(&pod, requests, 12).await;
    let count = "sum(http_server_request_duration_seconds_count) + sum(rpc_server_call_duration_seconds_count)";
    prometheus.wait_for(count, requests as f64).await;
    let durations = durations(&counting, requests).await;
    let ours = newest(&counting.ours.measured(), "http.server.");
    let Some(Buckets::Explicit { bounds, .. }) = ours.values().next().map(|point| &point.buckets) else {
        panic!("{ours:#?}")
    };
    for q in QUANTILES {
        let expression = format!("histogram_quantile({q}, sum by (le) (http_server_request_duration_seconds_bucket))");
        let (found, truth) = (prometheus.value(&expression).await.unwrap(), quantile(&durations, q));
        let place = bounds.partition_point(|bound| *bound < truth);
        let (below, above) = (place.checked_sub(1).map_or(0.0, |place| bounds[place]), bounds[place]);
        assert!(below <= found && found <= above, "p{q}: {found} s, in truth {truth} s, in {below} to {above} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_survives_a_restart_of_envoy_and_a_collector_that_was_away() {
    let prometheus = Prometheus::start(&configuration(), &[]).await;
    let (counting, refusing) = (Counting::storing(prometheus.address()).await, RefusingPort::any().unwrap());
    let pod = pod(&counting, &refusing, "exponential", 0.0).await;
    // The first sample of a series is where an increase begins to be seen.
    traffic::send(&pod, 1, 13).await;
    let one = "http_server_request_duration_seconds{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/status/{code}\"}";
    prometheus.wait_for(&format!("histogram_count({one})"), 1.0).await;

    // A collector that is away: what happens meanwhile is part of what comes after it.
    let get = async |envoy: &Envoy, count: usize| {
        for _ in 0..count {
            let request = tracelift_envoy::Request::get(envoy.address("inbound").unwrap(), "/status/200");
            assert_eq!(pod.client.send(request).await.unwrap().status, 200);
        }
    };
    let failed = |stats: &tracelift_envoy::Stats| (0 < stats.tracelift("metrics.exports.failed")).then_some(());
    let counting = counting
        .without(async || {
            get(&pod.envoy, 120).await;
            pod.envoy.admin().wait_for_stats(SOON, failed).await.unwrap().expect("an export failed");
        })
        .await;
    prometheus.wait_for(&format!("histogram_count({one})"), 121.0).await;

    // Another process of the same service is a stream of its own, by its `service.instance.id`.
    let mut bootstrap = shipped(Shipped::Sidecar, &pod.collector);
    stored(&mut bootstrap, &counting, &refusing, "exponential", 0.0);
    bootstrap.endpoints("application", &[pod.upstream.address()]).unwrap();
    let second = Launch::new().unwrap().workers(2).start(&bootstrap).await.unwrap();
    get(&second, 1).await;
    prometheus.wait_for(&format!("sum(histogram_count({one}))"), 122.0).await;
    get(&second, 40).await;
    prometheus.wait_for(&format!("sum(histogram_count({one}))"), 162.0).await;
    assert_eq!(prometheus.value(&format!("count({one})")).await, Some(2.0), "two instances");
    let increase = prometheus.value(&format!("sum(histogram_count(increase({one}[5m])))")).await.unwrap();
    // Prometheus extends what it saw to both sides by half an interval, or a little more than a whole one.
    assert!((160.0..2.0 * 160.0).contains(&increase), "{increase}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_the_same_name_is_a_reset_that_an_increase_survives() {
    let prometheus = Prometheus::start(&configuration(), &[]).await;
    let (counting, refusing) = (Counting::storing(prometheus.address()).await, RefusingPort::any().unwrap());
    let pod = pod(&counting, &refusing, "exponential", 0.0).await;
    drop(pod.envoy);
    let mut bootstrap = shipped(Shipped::Sidecar, &pod.collector);
    stored(&mut bootstrap, &counting, &refusing, "exponential", 0.0);
    bootstrap.endpoints("application", &[pod.upstream.address()]).unwrap();
    settings(&mut bootstrap, |json| json["resource"]["service.instance.id"] = "cart-0".into());
    let one = "http_server_request_duration_seconds{instance=\"cart-0\",http_route=\"/status/{code}\"}";
    for (first, then) in [(5, 60), (2, 30)] {
        let envoy = Launch::new().unwrap().workers(2).start(&bootstrap).await.unwrap();
        for (count, seen) in [(first, first), (then, first + then)] {
            for _ in 0..count {
                let request = tracelift_envoy::Request::get(envoy.address("inbound").unwrap(), "/status/200");
                assert_eq!(pod.client.send(request).await.unwrap().status, 200);
            }
            prometheus.wait_for(&format!("histogram_count({one})"), f64::from(seen)).await;
        }
    }
    assert_eq!(prometheus.value(&format!("resets({one}[5m])")).await, Some(1.0));
    let increase = prometheus.value(&format!("histogram_count(increase({one}[5m]))")).await.unwrap();
    let seen = 60.0 + 32.0;
    assert!((seen..2.0 * seen).contains(&increase), "{increase}");
}
