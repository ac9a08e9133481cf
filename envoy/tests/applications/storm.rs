//! Every trace fails: the bounds of the application and of its sidecar hold, and each count adds up.

use crate::application::FLASK;
use crate::mesh::SOON;
use crate::scene::{Contract, Setup};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::task::JoinSet;
use tracelift_envoy::Client;

const REQUESTS: u64 = 600;
const PER_SECOND: u64 = 5;
/// Room for some twenty traces.
const HOLD_BYTES: u64 = 64 << 10;
/// What Python may grow by while it serves: threads, buffers, arenas.
const GROWTH: u64 = 48 << 20;

#[tokio::test]
async fn in_a_storm_of_failures_the_budget_holds_the_ring_evicts_and_counts_and_memory_is_bounded() {
    let scene = Setup::new(FLASK, Contract::Whole)
        .upgrades_per_second(PER_SECOND)
        .variable("TRACELIFT_TRACES_PER_SECOND", PER_SECOND)
        .variable("TRACELIFT_HOLD_BYTES", HOLD_BYTES)
        .variable("OTEL_METRICS_EXPORTER", "console")
        .variable("OTEL_METRIC_EXPORT_INTERVAL", 200)
        .start()
        .await;
    // What is made once for all requests is made before the storm.
    for _ in 0..20 {
        scene.get("/reviews/7").await;
    }
    let before = scene.application.resident_bytes();
    let began = Instant::now();
    let mut storm = JoinSet::new();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| scene.request(&scene.new_trace(), "/reviews/7").header("x-demo-fault", "error"))
        .collect();
    for requests in requests.chunks(REQUESTS as usize / 4) {
        let requests = requests.to_vec();
        storm.spawn(async move {
            let client = Client::new();
            for request in requests {
                assert_eq!(client.send(request).await.unwrap().status, 500);
            }
        });
    }
    storm.join_all().await;
    // Each failed trace was released or shed, and the counters, which are read one after the other, add up.
    let counters = scene
        .application
        .wait_for_counters(|of| {
            let released = of("releases.error") + of("releases.signal") + of("releases.sidecar");
            let gone = of("spans.released") + of("spans.expired") + of("spans.evicted");
            REQUESTS <= released + of("shed") && of("spans.held") == gone + of("spans.holding")
        })
        .await;
    // The seconds that passed, and the one that may be spent at once, on each side.
    let seconds = began.elapsed().as_secs() + 2;
    let of = |name: &str| counters.iter().find(|(found, _)| found == name).map_or(0, |(_, value)| *value);
    assert!(0 < of("releases.error") && of("releases.error") <= PER_SECOND * seconds, "{counters:?}");
    assert!(0 < of("shed") && 0 < of("spans.evicted"), "{counters:?}");
    assert!(of("spans.holding_bytes") <= HOLD_BYTES, "{counters:?}");
    let after = scene.application.resident_bytes();
    assert!(after < before + GROWTH, "{before} bytes before, {after} after");

    let released = of("spans.released") as usize;
    let spans = scene.sdk.wait_for_spans(released, SOON).await.unwrap();
    let of_traces =
        |spans: &[tracelift_envoy::ReceivedSpan]| spans.iter().map(|span| span.trace_id()).collect::<BTreeSet<_>>();
    let (application, proxies) = (of_traces(&spans), of_traces(&scene.proxies.spans()));
    let most = (2 * PER_SECOND * seconds) as usize;
    assert!(application.len() <= most && proxies.len() <= 2 * most, "{} and {}", application.len(), proxies.len());
    for envoy in [&scene.gateway, &scene.reviews, &scene.ratings] {
        let stats = envoy.admin().stats().await.unwrap();
        assert!(stats.ledger().balances() && stats.sum("errors.") == 0, "{}", stats.ledger());
    }
}
