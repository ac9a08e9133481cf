//! Both temporalities under a collector's faults: the last cumulative counts are the truth, and the sum of deltas is, up to what the filter
//! counts as lost.

use serde_json::json;
use std::collections::BTreeMap;
use tokio::task::JoinSet;
use tracelift_envoy::collector::measured::Export;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Answer, Client, Request, Shipped, Stats};

use crate::mesh::{Pod, SOON, settings};
use crate::points::{cells, newest, summed, total};
use crate::traffic::{self, Truth, without_errors};

/// Requests before a fault, and during it: each label set has some.
const REQUESTS: usize = 420;

/// An Envoy that exports its metrics each second and nothing else, so that each answer of the collector is one to metrics.
async fn pod(which: Shipped, temporality: &str, refusing: &RefusingPort) -> Pod {
    Pod::start(which, |bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 0, "mode": "independent" });
            json["upgrade"] = json!({ "traces_per_second": 0 });
            json["export"]["timeout_ms"] = 500.into();
            json["metrics"] = traffic::metrics("exponential", temporality);
        });
        traffic::refuse(bootstrap, refusing);
    })
    .await
}

/// The same with deltas, and so many requests of which the collector has all.
async fn deltas(which: Shipped, refusing: &RefusingPort) -> (Pod, u64) {
    let pod = pod(which, "delta", refusing).await;
    let before = all(&traffic::send(&pod, REQUESTS, 20).await);
    wait_for_total(&pod, before, summed_up).await;
    (pod, before)
}

async fn counter(pod: &Pod, name: &str) -> u64 {
    pod.envoy.admin().stats().await.unwrap().tracelift(name)
}

/// Sends requests while the collector answers so, until an answer of that kind was met.
async fn under(pod: &Pod, answer: Answer, met: &str) -> Truth {
    let before = counter(pod, met).await;
    pod.collector.always(answer);
    let sent = traffic::send(pod, REQUESTS, 21).await;
    let grown = |stats: &Stats| (before < stats.tracelift(met)).then_some(());
    pod.envoy.admin().wait_for_stats(SOON, grown).await.unwrap().expect("the fault was met");
    pod.collector.always(Answer::Accept);
    sent
}

fn refuse() -> Answer {
    Answer::Refuse { status: 503, headers: Vec::new() }
}

/// Waits until that many requests were counted.
async fn wait_for_total(pod: &Pod, wanted: u64, found: impl Fn(&[Export]) -> u64) {
    let came = pod.collector.wait_for_measured(SOON, |exports| (found(exports) == wanted).then_some(())).await;
    let found = found(&pod.collector.measured());
    came.unwrap_or_else(|error| panic!("{error}: {found} requests of {wanted} came\n{}", pod.envoy.log()));
}

fn summed_up(exports: &[Export]) -> u64 {
    total(&summed(exports, ""))
}

/// Sends requests of one more kind over connections to both workers, and waits until the sum of the deltas has all of them: what was
/// counted before them was exported before them.
async fn mark(pod: &Pod) -> u64 {
    const MARKS: u64 = 40;
    let mut lanes = JoinSet::new();
    for _ in 0..MARKS {
        let marked = Request::get(pod.entry(), "/status/418");
        lanes.spawn(async move { Client::new().send(marked).await.unwrap().status });
    }
    assert!(lanes.join_all().await.iter().all(|status| *status == 418));
    let marked = |exports: &[Export]| {
        let all = summed(exports, "");
        all.iter().filter(|(cell, _)| cell.contains("status_code=418")).map(|(_, point)| point.count).sum()
    };
    wait_for_total(pod, MARKS, marked).await;
    MARKS
}

/// Requests of a truth.
fn all(truth: &Truth) -> u64 {
    truth.values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cumulative_counts_make_up_for_every_fault() {
    let refusing = RefusingPort::any().unwrap();
    let pod = pod(Shipped::Sidecar, "cumulative", &refusing).await;
    let mut parts = vec![traffic::send(&pod, REQUESTS, 20).await];
    parts.push(under(&pod, refuse(), "metrics.exports.failed").await);
    parts.push(under(&pod, Answer::Silence, "metrics.exports.failed").await);
    // Half of the points are refused, and are in the next export again.
    parts.push(under(&pod, Answer::PartialSuccess { rejected: 60, message: "half" }, "metrics.points_lost").await);
    let truth = traffic::sum(parts);
    wait_for_total(&pod, all(&truth), |exports| total(&newest(exports, ""))).await;
    assert_eq!(without_errors(&newest(&pod.collector.measured(), "")), truth);

    let mut series: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for export in pod.collector.measured() {
        for (cell, point) in cells(&export, "") {
            let (start, count) = series.entry(cell.clone()).or_insert((point.start, 0));
            assert_eq!(point.start, *start, "{cell} began anew");
            assert!(*count <= point.count && point.start < point.time, "{cell} fell from {count} to {}", point.count);
            *count = point.count;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_that_were_refused_come_with_the_next_export() {
    let refusing = RefusingPort::any().unwrap();
    let pod = pod(Shipped::Sidecar, "delta", &refusing).await;
    let mut truth = traffic::send(&pod, REQUESTS, 20).await;
    for _ in 0..2 {
        truth = traffic::sum([truth, under(&pod, refuse(), "metrics.exports.failed").await]);
        wait_for_total(&pod, all(&truth), summed_up).await;
    }
    assert_eq!(without_errors(&summed(&pod.collector.measured(), "")), truth);
    assert_eq!(counter(&pod, "metrics.points_lost").await, 0);
    windows_follow_each_other(&pod);
}

/// Envoy says 503 of a connection that ends before the answer, and of one that never came to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_that_were_stored_without_an_answer_are_not_doubled() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let refusing = RefusingPort::any().unwrap();
        let (pod, before) = deltas(which, &refusing).await;
        let during = all(&under(&pod, Answer::HangUp, "metrics.points_lost").await);
        let marked = mark(&pod).await;
        wait_for_total(&pod, before + during + marked, summed_up).await;
        windows_follow_each_other(&pod);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_for_a_collector_that_is_away_come_with_the_next_export() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let refusing = RefusingPort::any().unwrap();
        let (pod, before) = deltas(which, &refusing).await;
        pod.collector.stop_listening().await.unwrap();
        let during = all(&under(&pod, Answer::Accept, "metrics.exports.failed").await);
        pod.collector.listen_again().await.unwrap();
        wait_for_total(&pod, before + during, summed_up).await;
        assert_eq!(counter(&pod, "metrics.points_lost").await, 0, "{}", pod.envoy.log());
        windows_follow_each_other(&pod);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_that_timed_out_over_grpc_are_counted_as_lost() {
    lost_and_counted(Shipped::SidecarGrpcExport, Answer::Silence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_that_timed_out_are_not_sent_again_and_their_points_are_counted_as_lost() {
    lost_and_counted(Shipped::Sidecar, Answer::Silence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_of_which_a_collector_refused_half_are_counted_as_lost() {
    lost_and_counted(Shipped::SidecarGrpcExport, Answer::PartialSuccess { rejected: 40, message: "half" }).await;
}

/// Each point that was lost had a request at least, and all of them were made under the fault.
async fn lost_and_counted(which: Shipped, answer: Answer) {
    let refusing = RefusingPort::any().unwrap();
    let (pod, before) = deltas(which, &refusing).await;
    let during = all(&under(&pod, answer, "metrics.points_lost").await);
    let marked = mark(&pod).await;
    let points = counter(&pod, "metrics.points_lost").await;
    let lost = before + during + marked - summed_up(&pod.collector.measured());
    assert!(0 < points && points <= lost && lost <= during, "{points} points, {lost} of {during} requests");
    windows_follow_each_other(&pod);
}

/// No moment is in two deltas.
fn windows_follow_each_other(pod: &Pod) {
    let mut end = 0;
    for export in pod.collector.measured() {
        let cells = cells(&export, "");
        let (starts, ends): (Vec<_>, Vec<_>) = cells.values().map(|point| (point.start, point.time)).unzip();
        let (Some(start), Some(newest)) = (starts.iter().min(), ends.iter().max()) else { continue };
        assert!(end <= *start && start < newest, "{end} {start} {newest}");
        end = *newest;
    }
}
