//! The ratio holds, and it is the trace-id that decides.

use crate::mesh::{Pod, SOON, settings};
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use tracelift_envoy::{Client, Random, Request};

const REQUESTS: u64 = 4000;
const RATIO: f64 = 0.1;

/// The rejection threshold of 10 %: 0.9 * 2^56 with four hexadecimal digits of precision, rounded to nearest.
const THRESHOLD: u64 = 0xe666 << 40;

/// The last 56 bits of a trace-id.
fn randomness(trace_id: &str) -> u64 {
    u64::from_str_radix(&trace_id[18..], 16).unwrap()
}

#[tokio::test]
async fn the_share_of_sampled_traces_is_the_ratio_whoever_made_the_ids() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"]["ratio"] = RATIO.into();
            json["propagators"] = serde_json::json!(["tracecontext", "xray"]);
        });
    })
    .await;
    // Roots of our own; ids of X-Ray, whose first 32 bits are the time and whose decision is left to us.
    let ours = |request: Request, _| request;
    let xray = |request: Request, number: u64| {
        let tail = u128::from(Random::of(number)) << 32 | u128::from(Random::of(number + REQUESTS)) & 0xffff_ffff;
        request.header("x-amzn-trace-id", format!("Root=1-6911c1f5-{tail:024x}"))
    };

    let mut sampled_before = 0;
    for (kind, identify) in [("our own", &ours as &dyn Fn(Request, u64) -> Request), ("X-Ray's", &xray)] {
        let arrived_before = pod.upstream.arrivals().len();
        flood(&pod, identify).await;

        let trace_ids: BTreeSet<_> =
            pod.upstream.arrivals()[arrived_before..].iter().map(|a| a.text("traceparent")[3..35].to_owned()).collect();
        assert_eq!(trace_ids.len() as u64, REQUESTS, "{kind}: no id twice");
        let expected: BTreeSet<_> = trace_ids.into_iter().filter(|id| THRESHOLD <= randomness(id)).collect();
        let spans = pod.collector.wait_for_spans(sampled_before + expected.len(), SOON).await.unwrap();
        let sampled: BTreeSet<_> = spans[sampled_before..].iter().map(|span| span.trace_id()).collect();
        assert_eq!(sampled, expected, "{kind}: sampled is what the trace-id says");
        sampled_before = spans.len();

        let (n, p) = (REQUESTS as f64, RATIO);
        let tolerance = 5.0 * (n * p * (1.0 - p)).sqrt(); // Five sigma: wrong once in a million runs.
        assert!((sampled.len() as f64 - n * p).abs() < tolerance, "{kind}: {} of {n} at {p}", sampled.len());
    }
    pod.settle(sampled_before).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!(stats.tracelift("decisions.sampled.ratio") + stats.tracelift("decisions.dropped.ratio"), 2 * REQUESTS);
}

/// 4,000 requests over eight connections, so that both workers have their share.
async fn flood(pod: &Pod, identify: &dyn Fn(Request, u64) -> Request) {
    let mut lanes = JoinSet::new();
    for lane in 0..8 {
        let requests: Vec<_> =
            (lane..REQUESTS).step_by(8).map(|number| identify(Request::get(pod.entry(), "/cart"), number)).collect();
        lanes.spawn(async move {
            let client = Client::new();
            for request in requests {
                assert_eq!(client.send(request).await.unwrap().status, 200);
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
}
