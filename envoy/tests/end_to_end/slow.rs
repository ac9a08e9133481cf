//! What is slower than usual, and which of five hops is to blame.

use std::time::{Duration, Instant};

use crate::chain::{Chain, lineage};
use crate::mesh::SOON;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{Client as CLIENT, Server as SERVER};
use serde_json::json;
use tokio::task::JoinSet;
use tracelift_envoy::{Client, Request, Stats};

/// Beyond what two busy processors make of an ordinary request.
const MIN_MS: u64 = 700;
/// How long one slow request is given to leave its five spans, before the next is sent.
const EACH: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_deepest_hop_that_was_slow_is_named_and_every_caller_keeps_its_span() {
    let chain = Chain::start(|_, json| {
        json["metrics"] = json!({ "routes": ["/delay/{ms}"] });
        json["upgrade"]["slow"] = json!({ "enabled": true, "min_ms": MIN_MS });
    })
    .await;
    let edge = chain.gateway.address("edge").unwrap();
    let mut usual = JoinSet::new();
    for _ in 0..8 {
        usual.spawn(async move {
            let client = Client::new();
            for _ in 0..130 {
                assert_eq!(client.send(Request::get(edge, "/delay/1")).await.unwrap().status, 200);
            }
        });
    }
    usual.join_all().await;

    // Each worker learns on its ticks what all have counted: until then it keeps nothing, or a part.
    let client = Client::new();
    let started = Instant::now();
    let line = loop {
        assert!(started.elapsed() < SOON * 2, "no slow request was kept at every hop: {:?}", chain.collector.spans());
        for _ in 0..8 {
            chain.enter(&client, "/delay/1").await;
        }
        chain.enter(&client, "/delay/1500").await;
        let trace = chain.upstream.last().unwrap().text("traceparent")[3..35].to_owned();
        let whole = chain.collector.wait_for(EACH, |spans| {
            let spans: Vec<_> = spans.iter().filter(|span| span.trace_id() == trace).cloned().collect();
            (spans.len() == 5).then_some(spans)
        });
        if let Ok(spans) = whole.await {
            break spans;
        }
    };
    let wanted = [
        ("gateway", SERVER, "signal"),
        ("gateway", CLIENT, "signal"),
        ("cart", SERVER, "signal"),
        ("cart", CLIENT, "signal"),
        ("payments", SERVER, "slow"),
    ];
    assert_eq!(lineage(&line).unwrap(), wanted);
    let (culprits, callers): (Vec<_>, Vec<_>) = line.iter().partition(|span| span.trigger() == Some("slow"));
    let [culprit] = culprits[..] else { panic!("{culprits:?}") };
    let [baseline, excess] = ["baseline_ms", "excess_ms"].map(|name| culprit.int(&format!("tracelift.slow.{name}")));
    assert!(baseline.is_some_and(|usual| usual < 1_000), "{baseline:?}");
    assert!((1_490..3_000).contains(&(baseline.unwrap() + excess.unwrap())), "{baseline:?} {excess:?}");
    assert_eq!(culprit.span.trace_state, "ot=th:0");
    assert!(callers.iter().all(|span| span.attribute("tracelift.slow.culprit").is_none()));

    chain.settle(chain.collector.spans().len()).await;
    let stats: Stats = chain.payments.admin().stats().await.unwrap();
    assert!(1 <= stats.tracelift("slow.routes") && 1 <= stats.tracelift("slow.culprits"));
}
