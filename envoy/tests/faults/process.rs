//! The end of an Envoy under load, whatever its collector does.

use crate::stage::{SOON, Stage};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;
use tracelift_envoy::{Answer, Load, Request};

fn quick(json: &mut Value) {
    json["export"]["max_export_batch_size"] = 32.into();
}

/// Ends both Envoys under load, and returns how many requests were answered with the filter before the signal was sent.
async fn end(stage: Stage, story: &str) -> (u64, tracelift_envoy::Collector) {
    let Stage { with, without, collector, upstream: _upstream } = stage;
    let start = |to| Load::start(4, move |_| Request::get(to, "/status/200"));
    let [of_with, of_without] = [&with, &without].map(|envoy| start(envoy.address("inbound").unwrap()));
    assert!(of_with.goes_on(500, SOON).await && of_without.goes_on(500, SOON).await);
    let before = of_with.ended();
    let mut took = Vec::new();
    for envoy in [with, without] {
        let started = Instant::now();
        assert!(envoy.terminate(SOON).await.unwrap_or_else(|error| panic!("{story}: {error}")).success(), "{story}");
        took.push(started.elapsed());
    }
    let (with, without) = (of_with.stop().await, of_without.stop().await);
    println!(
        "{story}: exit after {:?} with the filter, {:?} without; {before} answered before the signal",
        took[0], took[1]
    );
    for tally in [with, without] {
        assert!(tally.statuses.keys().all(|status| *status == 200), "{story}: {tally}");
    }
    (before, collector)
}

/// The last flush goes out over the open connection, so that at most what was being answered at that moment is missing.
#[tokio::test]
async fn sigterm_under_load_ends_envoy_at_once_and_the_last_spans_arrive() {
    let stage = Stage::start(quick).await;
    let (before, collector) = end(stage, "SIGTERM").await;
    let spans = collector.wait_for_spans(before as usize, SOON).await.unwrap();
    let ids: BTreeSet<String> = spans.iter().map(|span| span.span_id()).collect();
    assert_eq!(ids.len(), spans.len(), "no span came twice");
}

#[tokio::test]
async fn sigterm_does_not_wait_for_a_collector_that_hangs() {
    let stage = Stage::start(quick).await;
    stage.collector.always(Answer::Silence);
    let (before, collector) = end(stage, "SIGTERM while the collector hangs").await;
    // What is lost at an exit nobody can count any more: the answers that would say so never came.
    assert!(collector.spans().len() as u64 <= before);
}
