//! Trace-ids of either format arrive, and an exporter that still looks for a time in them takes X-Ray's only.

use crate::kit::Pod;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tracelift_envoy::{Request, Shipped};
use tracelift_xray::Pipeline;
use tracelift_xray::stored::xray_id;
use tracelift_xray::translate::refused_by_old_exporters;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_of_both_formats_arrive_under_their_32_digits_and_only_xrays_pass_an_old_exporter() {
    let pipeline = Arc::new(Pipeline::start().await.unwrap());
    for format in ["w3c", "xray"] {
        let pod = Pod::behind(pipeline.clone(), Shipped::Sidecar, |bootstrap| {
            bootstrap.plugin(|json| json["trace_id_format"] = format.into()).unwrap();
        })
        .await;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for _ in 0..20 {
            pod.client.send(Request::get(pod.envoy.address("inbound").unwrap(), "/cart")).await.unwrap();
        }
        let ids: Vec<_> = pod.upstream.arrivals().iter().map(|it| it.text("traceparent")[3..35].to_owned()).collect();
        assert_eq!(ids.len(), 20);
        for id in &ids {
            let trace = pod.stored(id, 1).await;
            assert_eq!((trace.id, trace.documents.len()), (xray_id(id), 1));
        }
        let refused = ids.iter().filter(|id| refused_by_old_exporters(id, now())).count();
        // A random id falls into four weeks of the 136 years once in 1,775 times.
        assert!(if format == "xray" { refused == 0 } else { 18 <= refused }, "{refused} of 20 {format} ids");
    }
}

#[test]
fn an_old_exporter_wants_a_second_of_the_last_four_weeks() {
    let now = 1_795_000_000;
    let id = |second: u64| format!("{second:08x}1a2b3c4d5e6f708192a3b4c5");
    for (second, refused) in [
        (now, false),
        (now + 300, false),
        (now + 301, true),
        (now - 28 * 86_400, false),
        (now - 28 * 86_400 - 1, true),
        (0x4bf9_2f35, true),
    ] {
        assert_eq!(refused_by_old_exporters(&id(second), now), refused, "{second}");
    }
}
