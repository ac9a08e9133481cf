//! The end of an Envoy under load, whatever its collector does, and how many spans that costs.

use crate::stage::{CONNECTIONS, SOON, Stage, WORKERS};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;
use tracelift_envoy::{Answer, Collector, Filter, Ledger};

/// Requests before something else happens.
const FEW: u64 = 200;

fn quick(json: &mut Value) {
    json["export"]["max_export_batch_size"] = 32.into();
}

/// What an end under load has cost.
struct End {
    /// The books, read last before the signal.
    books: Ledger,
    /// Requests that were answered in all, each of them a span.
    answered: u64,
    collector: Collector,
}

impl End {
    /// Ends both Envoys under load.
    async fn of(stage: Stage, story: &str) -> Self {
        let earlier = stage.settle().await.offered;
        let loads = stage.load("/status/200");
        loads.go_on(FEW).await;
        let told = |ledger: &Ledger| earlier + FEW <= ledger.offered && ledger.balances();
        let books = stage.until("the books tell of the load", |stats| told(&stats.ledger())).await.ledger();
        let Stage { with, without, collector, upstream: _upstream } = stage;
        let mut took = Vec::new();
        for envoy in [with, without] {
            let started = Instant::now();
            let status = envoy.terminate(SOON).await.unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(status.success(), "{story}: {status}");
            took.push(started.elapsed());
        }
        let both = loads.stop(story).await;
        println!("  exit after {:?} with the filter, {:?} without\n  before it: {books}", took[0], took[1]);
        for tally in [&both.with, &both.without] {
            assert!(tally.statuses.keys().all(|status| *status == 200), "{story}: {tally}");
        }
        Self { books, answered: both.with.answered(), collector }
    }

    /// Spans of answered requests that did not arrive.
    fn print_lost(&self) {
        let arrived = self.collector.spans().len() as u64;
        let lost = self.answered.saturating_sub(arrived);
        println!("  {} answered, {arrived} spans arrived, {lost} lost", self.answered);
    }
}

/// The last flush goes out over the open connections, so that at most what was being answered at that moment is missing; of the dynamic
/// module, what was answered from then on.
#[tokio::test]
async fn sigterm_under_load_ends_envoy_at_once_and_the_last_spans_arrive() {
    let stage = Stage::start(quick).await;
    let end = End::of(stage, "SIGTERM").await;
    // A worker's VM sends when the worker has stopped. The dynamic module sends from the main thread before Envoy stops the workers:
    // what was recorded when the signal came arrives, and what they serve after that does not.
    let is_dynamic = Filter::of_this_run().unwrap().is_dynamic();
    let expected = if is_dynamic { end.books.offered } else { end.answered.saturating_sub(CONNECTIONS as u64) };
    let spans = end.collector.wait_for_spans(expected as usize, SOON).await.unwrap_or_else(|error| panic!("{error}"));
    end.print_lost();
    let ids: BTreeSet<String> = spans.iter().map(|span| span.span_id()).collect();
    assert_eq!(ids.len(), spans.len(), "no span came twice");
}

/// Nobody can count at an exit any more what is lost by it: the answers that would say so never come. It is what the
/// collector had not acknowledged, and that was in the books.
#[tokio::test]
async fn sigterm_does_not_wait_for_a_collector_that_hangs_and_loses_what_it_had_not_acknowledged() {
    let stage = Stage::start(quick).await;
    let loads = stage.load("/status/200");
    loads.go_on(FEW).await;
    stage.until("spans arrive", |stats| 0 < stats.ledger().exported).await;
    let served = loads.stop("before the collector hangs").await.served();
    stage.closed(served).await;
    let before = stage.settle().await;
    stage.collector.always(Answer::Silence);

    let end = End::of(stage, "SIGTERM while the collector hangs").await;
    assert_eq!(end.collector.spans().len() as u64, before.exported);
    let answered = before.offered + end.answered;
    let (lost, waited) = (answered - before.exported, end.books.queued + end.books.in_flight);
    println!("  {answered} answered in all, {} spans arrived, {lost} lost", before.exported);
    // The rest was answered between the last look at the books and the exit.
    assert!(FEW <= waited && waited + end.books.discarded <= lost, "{waited} waited, {lost} are lost: {}", end.books);
}

/// A flush at the end needs a connection that is open: the ABI gives no time to make one.
#[tokio::test]
async fn sigterm_before_the_first_export_loses_exactly_what_is_queued() {
    let stage = Stage::start(|json| {
        json["export"]["scheduled_delay_ms"] = 60_000.into();
        json["export"]["max_export_batch_size"] = 2_048.into(); // No batch is full before that.
    })
    .await;
    let loads = stage.load("/status/200");
    loads.go_on(50).await;
    let served = loads.stop("SIGTERM before the first export").await.served();
    let all = |ledger: &Ledger| ledger.queued == served && ledger.balances();
    let books = stage.until("all spans wait", |stats| all(&stats.ledger())).await.ledger();
    assert_eq!(stage.collector.attempts().len(), 0, "no connection has been opened for {WORKERS} workers");
    assert!(stage.with.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    let arrived = stage.collector.spans().len() as u64;
    println!("  {books}\n  {served} answered, {arrived} spans arrived, {} lost", served - arrived);
    assert_eq!((arrived, served - arrived), (0, books.queued));
}
