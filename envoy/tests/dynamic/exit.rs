//! The end of an Envoy whose bootstrap has the library as an extension, too: it waits for the answer to the last export.

use crate::stage::{SOON, Stage};
use tracelift_envoy::Answer;

/// Settings by which nothing leaves before the end.
fn waiting(json: &mut serde_json::Value) {
    json["export"]["scheduled_delay_ms"] = 60_000.into();
    json["export"]["max_export_batch_size"] = 2_048.into();
}

async fn with_spans_that_wait() -> (Stage, u64) {
    let stage = Stage::start(waiting).await;
    let loads = stage.load("/status/200");
    loads.go_on(50).await;
    let served = loads.stop("before SIGTERM").await.served();
    stage.until("all spans wait", |stats| stats.ledger().queued == served && stats.ledger().balances()).await;
    assert_eq!(stage.collector.attempts().len(), 0, "no connection has been opened");
    (stage, served)
}

#[tokio::test]
async fn sigterm_before_the_first_export_loses_nothing() {
    let (stage, served) = with_spans_that_wait().await;
    assert!(stage.with.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    assert_eq!(stage.collector.spans().len() as u64, served, "Envoy waited for the answer");
}

/// A collector that never answers delays the exit by two seconds, and no more.
#[tokio::test]
async fn sigterm_waits_for_a_collector_that_hangs_and_not_for_ever() {
    let (stage, served) = with_spans_that_wait().await;
    stage.collector.always(Answer::Silence);
    assert!(stage.with.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    assert_eq!(stage.collector.spans().len(), 0);
    println!("  {served} spans were sent and not answered");
    assert_ne!(stage.collector.attempts().len(), 0, "they were sent");
}
