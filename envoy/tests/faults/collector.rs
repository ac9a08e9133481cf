//! Collectors that are down, refuse, hang, are slow, or answer what they should not.

use crate::stage::{Memory, SOON, Stage, WORKERS, inbound};
use serde_json::Value;
use std::time::Duration;
use tracelift_envoy::{Answer, Client, Collector, Filter, Request, Stats};

/// Most spans of a worker's queue, and of a request: small, so that an outage of a second is as long as one of minutes.
const QUEUE: u64 = 128;
const BATCH: u64 = 32;
/// Most of the outage, in requests of the load: several times what the queues hold.
const LONG: u64 = QUEUE * 8;

fn small_queue(json: &mut Value) {
    json["export"]["max_queue_size"] = QUEUE.into();
    json["export"]["max_export_batch_size"] = BATCH.into();
    json["export"]["timeout_ms"] = 500.into();
}

/// Requests of a worker that may be unanswered at once. Their spans come back into the queue when they fail, full or not.
const IN_FLIGHT: u64 = 4;

/// The gauges of all workers together keep to the bounds of all workers together.
fn within_bounds(stats: &Stats) {
    let (queued, most) = (stats.tracelift("queue.spans"), (QUEUE + IN_FLIGHT * BATCH) * u64::from(WORKERS));
    assert!(queued <= most, "{queued} spans wait, where {most} may");
}

/// One outage: traffic before, during and after it. `felt` tells that the filter has met it.
async fn outage(story: &str, answer: Answer, felt: impl Fn(&Stats) -> bool) -> (u64, Stats) {
    let stage = Stage::start(small_queue).await;
    let memory = Memory::of(&stage.with);
    let loads = stage.load("/status/200");
    loads.go_on(100).await;
    stage.until("spans arrive before the outage", |stats| 0 < stats.ledger().exported).await;

    stage.collector.always(answer);
    loads.go_on(LONG).await;
    within_bounds(&stage.until(story, |stats| felt(stats) && stats.ledger().balances()).await);

    stage.collector.always(Answer::Accept);
    let attempts = stage.collector.attempts().len();
    loads.go_on(100).await;
    assert!(stage.collector.wait_for_attempts(attempts + 1, SOON).await.is_ok(), "the filter tries again");
    let served = loads.stop(story).await.served();
    let stats = stage.closed(served).await;
    let ledger = stats.ledger();
    println!("  {ledger}");
    assert_eq!(ledger.offered, served, "every request was sampled");
    memory.stayed_within(0);
    assert_eq!(stats.sum("errors."), 0);
    (stage.collector.spans().len() as u64, stats)
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_no_request_up_and_what_does_not_fit_is_counted() {
    let full = |stats: &Stats| 0 < stats.tracelift("spans.discarded.queue_full");
    let (_, stats) = outage("hanging", Answer::Silence, full).await;
    assert_ne!(stats.tracelift("exports.retried"), 0);
    // What timed out was sent again: the collector, had it only been slow, would have it twice and none was lost by that.
    assert_eq!(stats.ledger().discarded, stats.tracelift("spans.discarded.queue_full"));
}

#[tokio::test]
async fn a_slow_collector_gets_everything_that_the_queue_can_hold() {
    let slow = Answer::AcceptAfter(Duration::from_millis(200));
    let (received, stats) = outage("slow", slow, |stats| 2 < stats.tracelift("exports.succeeded")).await;
    assert_eq!(received, stats.ledger().exported);
    assert_eq!(stats.ledger().discarded, stats.tracelift("spans.discarded.queue_full"));
}

#[tokio::test]
async fn a_429_with_retry_after_is_waited_for() {
    let later = Answer::Refuse { status: 429, headers: vec![("retry-after", "1".to_owned())] };
    let full = |stats: &Stats| 0 < stats.tracelift("spans.discarded.queue_full");
    let (received, stats) = outage("429", later, full).await;
    assert_eq!(received, stats.ledger().exported);
    assert_ne!(stats.tracelift("exports.retried"), 0);
    assert_eq!(stats.ledger().discarded, stats.tracelift("spans.discarded.queue_full"));
}

#[tokio::test]
async fn a_503_is_tried_again_and_a_500_is_not() {
    let unavailable = Answer::Refuse { status: 503, headers: Vec::new() };
    let (received, stats) = outage("503", unavailable, |stats| 0 < stats.tracelift("exports.retried")).await;
    assert_eq!((received, stats.tracelift("exports.failed")), (stats.ledger().exported, 0));

    let broken = Answer::Refuse { status: 500, headers: Vec::new() };
    let lost = |stats: &Stats| 0 < stats.tracelift("spans.discarded.non_retryable");
    let (received, stats) = outage("500", broken, lost).await;
    assert_eq!(received, stats.ledger().exported);
    assert_eq!(stats.tracelift("exports.retried"), 0);
}

#[tokio::test]
async fn what_a_partial_success_rejects_is_lost_and_counted_and_never_sent_again() {
    let partly = Answer::PartialSuccess { rejected: 5, message: "too many" };
    let (received, stats) =
        outage("partial success", partly, |stats| 0 < stats.tracelift("spans.discarded.rejected")).await;
    assert_eq!(received, stats.ledger().exported);
    assert_eq!(stats.tracelift("exports.retried"), 0);
}

/// What the queue of one worker has reserved, should all of them go to that one.
const FAILURES: u64 = QUEUE / 4;

#[tokio::test]
async fn failures_are_kept_while_sampled_traffic_fills_the_queue_of_a_slow_collector() {
    // So slow that any machine makes more spans than it takes: some 130 a second of both workers.
    let patient = |json: &mut Value| {
        small_queue(json);
        json["export"]["timeout_ms"] = 10_000.into();
    };
    let stage = Stage::start(patient).await;
    stage.collector.always(Answer::AcceptAfter(Duration::from_secs(2)));
    let loads = stage.load("/status/200");
    let full = |stats: &Stats| 0 < stats.tracelift("spans.discarded.queue_full");
    stage.until("the queue is full", full).await;
    let lost = stage.with.admin().stats().await.unwrap().tracelift("spans.discarded.queue_full");
    for _ in 0..FAILURES {
        let failed = Client::new().send(Request::get(inbound(&stage.with), "/status/503")).await.unwrap();
        assert_eq!(failed.status, 503);
    }
    loads.go_on(100).await;
    stage.until("others were lost meanwhile", |stats| lost < stats.tracelift("spans.discarded.queue_full")).await;
    let served = loads.stop("failures first").await.served();
    let stats = stage.closed(served + FAILURES).await;
    println!("  {}", stats.ledger());
    assert_eq!(stats.tracelift("spans.upgraded_discarded"), 0);
    let kept = stage.collector.spans_with("error.type", "503").len() as u64;
    assert_eq!(kept, FAILURES, "every failure arrived");
}

/// What Envoy may grow by beside answers of 100 MiB. With its default it keeps 32 MiB of each of eight at once.
const ANSWERS: u64 = 32 << 20;

#[tokio::test]
async fn a_collector_that_answers_without_end_costs_little_memory_and_counts_as_one_that_does_not_answer() {
    let stage = Stage::start(small_queue).await;
    let loads = stage.load("/status/200");
    loads.go_on(1_000).await;
    stage.until("spans arrive before", |stats| 0 < stats.ledger().exported).await;
    let before = stage.with.resident_bytes();
    stage.collector.always(Answer::Flood { bytes: 100 << 20 });
    let mut most = 0;
    let retried = |stats: &Stats| {
        most = most.max(stage.with.resident_bytes());
        // A dynamic module that has read such an answer before its timeout does not send the batch again.
        8 < stats.tracelift("exports.retried") + stats.tracelift("exports.failed")
    };
    let stats = stage.until("answers are too large", retried).await;
    println!("  resident memory: {} MiB before, {} MiB at most", before >> 20, most >> 20);
    assert!(most < before + ANSWERS, "{} MiB became {} MiB", before >> 20, most >> 20);
    // Envoy ends a call of the wasm module at its bound; the dynamic module reads on, and knows an answer that is none.
    let for_good = |stats: &Stats| stats.tracelift("spans.discarded.non_retryable");
    assert!(for_good(&stats) == 0 || Filter::of_this_run().unwrap().is_dynamic());
    stage.collector.always(Answer::Accept);
    let served = loads.stop("answers without end").await.served();
    let stats = stage.closed(served).await;
    assert_eq!(stats.ledger().discarded, stats.tracelift("spans.discarded.queue_full") + for_good(&stats));
}

/// Below Envoy's bound and above ours: it is not read, and OTLP wants no second attempt.
#[tokio::test]
async fn an_answer_that_is_larger_than_any_of_otlp_is_a_failure_for_good() {
    let lost = |stats: &Stats| 0 < stats.tracelift("spans.discarded.non_retryable");
    let (received, stats) = outage("large answers", Answer::Flood { bytes: 200 << 10 }, lost).await;
    assert_eq!(received, stats.ledger().exported);
    assert_eq!(stats.tracelift("exports.retried"), 0);
}

#[tokio::test]
async fn garbage_with_a_good_status_counts_as_taken() {
    let before = |stats: &Stats| 5 < stats.tracelift("exports.succeeded");
    let (received, stats) = outage("garbage", Answer::Garbage, before).await;
    assert!(received < stats.ledger().exported, "OTLP/HTTP: 200 is success, whatever the body says");
    assert_eq!(stats.tracelift("exports.retried"), 0);
}

/// Down from the start, up, down again for longer than the queue lasts, and up: minutes, shortened by a small queue.
#[tokio::test]
async fn a_collector_that_is_down_at_the_start_and_again_later_costs_spans_and_no_request() {
    let collector = Collector::start().await.unwrap();
    collector.stop_listening().await.unwrap();
    let stage = Stage::start_with(collector, small_queue, |_| {}).await;
    let loads = stage.load("/status/200");
    for _ in 0..2 {
        let lost = stage.with.admin().stats().await.unwrap().tracelift("spans.discarded.queue_full");
        loads.go_on(LONG).await;
        let more = |stats: &Stats| lost < stats.tracelift("spans.discarded.queue_full");
        within_bounds(&stage.until("the queue is full", more).await);
        let spans = stage.collector.spans().len();
        stage.collector.listen_again().await.unwrap();
        stage.collector.wait_for_spans(spans + 1, SOON).await.expect("the filter finds it again");
        stage.collector.stop_listening().await.unwrap();
    }
    stage.collector.listen_again().await.unwrap();
    let served = loads.stop("down at start and again").await.served();
    stage.closed(served).await;
    let ledger = stage.settle().await;
    println!("  {ledger}");
    assert_eq!(ledger.offered, served);
}

#[tokio::test]
async fn a_cluster_that_the_configuration_does_not_have_costs_spans_and_no_request() {
    let stage = Stage::start(|json| {
        small_queue(json);
        json["export"]["cluster"] = "no_such_cluster".into();
    })
    .await;
    let loads = stage.load("/status/200");
    loads.go_on(LONG).await;
    let stats = stage.until("the queue is full", |stats| 0 < stats.tracelift("spans.discarded.queue_full")).await;
    within_bounds(&stats);
    loads.go_on(100).await;
    let served = loads.stop("no such cluster").await.served();
    let offered = |stats: &Stats| stats.ledger().offered == served && stats.ledger().balances();
    let ledger = stage.until("every span is accounted for", offered).await.ledger();
    println!("  {ledger}");
    assert_eq!(ledger.exported, 0);
    let told = stage.with.wait_for_log("no_such_cluster", SOON).await.expect("the log names the cluster");
    let lines = stage.with.log().lines().filter(|line| line.contains("no_such_cluster")).count();
    assert!(lines <= 2 * (WORKERS as usize + 1), "{lines} lines for one fault, such as {told}");
}
