//! Trace-ids of either format arrive, and an exporter that still looks for a time in them takes X-Ray's only.

use crate::kit::{Pod, SOON};
use std::sync::Arc;
use std::time::Instant;
use tracelift_envoy::{Request, Shipped};
use tracelift_xray::Pipeline;
use tracelift_xray::collector::Settings;
use tracelift_xray::stored::xray_id;

const REQUESTS: usize = 20;

/// Ids of that format of the traces of 20 requests.
async fn ids(pipeline: &Arc<Pipeline>, format: &str) -> (Pod, Vec<String>) {
    let pod = Pod::behind(pipeline.clone(), Shipped::Sidecar, |bootstrap| {
        bootstrap.plugin(|json| json["trace_id_format"] = format.into()).unwrap();
    })
    .await;
    for _ in 0..REQUESTS {
        pod.client.send(Request::get(pod.envoy.address("inbound").unwrap(), "/cart")).await.unwrap();
    }
    let ids: Vec<_> = pod.upstream.arrivals().iter().map(|it| it.text("traceparent")[3..35].to_owned()).collect();
    assert_eq!(ids.len(), REQUESTS);
    (pod, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_of_both_formats_arrive_under_their_32_digits() {
    let pipeline = Arc::new(Pipeline::start().await.unwrap());
    for format in ["w3c", "xray"] {
        let (pod, ids) = ids(&pipeline, format).await;
        for id in &ids {
            let trace = pod.stored(id, 1).await;
            assert_eq!((trace.id, trace.documents.len()), (xray_id(id), 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exporter_that_still_looks_for_the_time_takes_xrays_ids_and_drops_the_others() {
    // As every collector before 0.84 does.
    let old =
        Settings { feature_gates: "-exporter.awsxray.skiptimestampvalidation", verbose: true, ..Settings::default() };
    let pipeline = Arc::new(Pipeline::start_with(old).await.unwrap());
    let (_pod, random) = ids(&pipeline, "w3c").await;
    let started = Instant::now();
    let dropped = |log: &str| random.iter().filter(|id| log.contains(&format!("invalid xray traceid: {id}"))).count();
    // A random id falls into four weeks of the 136 years once in 1,775 times.
    while dropped(&pipeline.collector().log()) < REQUESTS - 2 {
        assert!(started.elapsed() < SOON, "{random:?}\n{}", pipeline.collector().log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (_pod, with_a_time) = ids(&pipeline, "xray").await;
    for id in &with_a_time {
        let trace = pipeline.trace(id, SOON, |trace| !trace.documents.is_empty()).await.unwrap();
        assert_eq!(trace.id, xray_id(id));
    }
}
