//! The end of an Envoy whose bootstrap has the library as an extension, too: it waits for the answer to the last export.

use crate::stage::{self, CONNECTIONS, SOON, Stage, with_workers};
use std::path::Path;
use tracelift_envoy::collector::measured::counts;
use tracelift_envoy::{Answer, Bootstrap, Collector, Filter, Upstream};

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

/// The stats sink as users copy it, with the library of this run.
fn stats_sink(library: &Path) -> serde_json::Value {
    let page = include_str!("../../../docs/dynamic-module.md");
    let (_, block) = page.split_once("```yaml\nstats_sinks:").expect("the page shows it");
    let (block, _) = block.split_once("```").expect("the end of a block");
    let shown = Bootstrap::from_yaml(&format!("stats_sinks:{block}")).unwrap();
    let mut sinks = shown.as_value()["stats_sinks"].clone();
    sinks[0]["typed_config"]["dynamic_module_config"]["module"]["local"]["filename"] = library.to_string_lossy().into();
    sinks
}

/// The end under load of an Envoy with this filter: how many spans of answered requests did not arrive.
async fn lost_under_load(filter: Filter) -> u64 {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = stage::bootstrap(&collector, &upstream);
    bootstrap.plugin(|json| json["export"]["max_export_batch_size"] = 32.into()).unwrap();
    if let Filter::Dynamic(library) = &filter {
        let mut with_sink = bootstrap.as_value().clone();
        with_sink["stats_sinks"] = stats_sink(library);
        bootstrap = Bootstrap::from_yaml(&with_sink.to_string()).unwrap();
    }
    let envoy = with_workers().filter(filter.clone()).start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    let load = stage::load(stage::inbound(&envoy), "/status/200");
    assert!(load.goes_on(400, SOON).await, "requests wait");
    stage::until(&envoy, "spans arrive", |stats| 0 < stats.ledger().exported).await;
    assert!(envoy.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    let answered = load.stop().await.answered();
    let expected = answered.saturating_sub(CONNECTIONS as u64) as usize;
    let arrived = collector.wait_for_spans(expected, SOON).await;
    let arrived = arrived.unwrap_or_else(|error| panic!("{filter:?}: {answered} answered, {error}")).len() as u64;
    println!("  {filter:?}: {answered} answered, {arrived} spans arrived");
    answered.saturating_sub(arrived)
}

/// Both lose at most what is being answered at that moment: one request of each connection.
#[tokio::test]
async fn sigterm_under_load_loses_no_more_with_a_stats_sink_than_the_wasm_module() {
    for filter in [Filter::Wasm, Filter::of_this_run().unwrap()] {
        assert!(lost_under_load(filter).await <= CONNECTIONS as u64);
    }
}

#[tokio::test]
async fn sigterm_before_the_first_export_of_metrics_loses_no_request() {
    let stage = Stage::start(|json| {
        json["metrics"] = serde_json::json!({ "enabled": true, "interval_ms": 60_000 });
        waiting(json);
    })
    .await;
    let loads = stage.load("/status/200");
    loads.go_on(50).await;
    let served = loads.stop("before SIGTERM").await.served();
    stage.until("the main thread has ticked", |stats| stats.ledger().queued == served).await;
    assert!(stage.with.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    let newest = stage.collector.measured().last().map(counts).expect("an export");
    assert_eq!(newest.values().sum::<u64>(), served);
}
