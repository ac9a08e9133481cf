//! The end of an Envoy.

use crate::mesh::{Pod, SOON, settings, shipped};
use serde_json::json;
use tracelift_envoy::collector::measured::{Export, counts};
use tracelift_envoy::{Client, Collector, Launch, Request, Shipped, Upstream};

/// As far as the ABI allows, which has no way to await an answer at the end: the connection must be open already. Only over
/// HTTP/1.1, because on HTTP/2 Envoy sends a RST_STREAM in the same write as the batch, and it is the collector's luck
/// which of the two it sees first.
#[tokio::test]
async fn spans_that_wait_at_sigterm_go_out_over_the_open_connection() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = shipped(Shipped::Sidecar, &collector);
    bootstrap.endpoints("application", &[upstream.address()]).unwrap();
    settings(&mut bootstrap, |json| {
        json["sampling"] = json!({ "ratio": 1 });
        // The first four leave as a full batch and open the connection; later ones would wait for a minute.
        json["export"]["max_export_batch_size"] = 4.into();
        json["export"]["scheduled_delay_ms"] = 60_000.into();
    });
    // One worker, hence one queue and one connection.
    let envoy = Launch::new().unwrap().workers(1).start(&bootstrap).await.unwrap();
    let client = Client::new();
    for count in 1..=7 {
        let reply = client.send(Request::get(envoy.address("inbound").unwrap(), "/cart")).await.unwrap();
        assert_eq!(reply.status, 200);
        if count == 4 {
            collector.wait_for_spans(4, SOON).await.unwrap();
        }
    }
    assert_eq!(collector.spans().len(), 4, "three wait");
    assert!(envoy.terminate(SOON).await.unwrap().success());
    collector.wait_for_spans(7, SOON).await.unwrap();
}

/// Long before its interval is over a process exports its metrics once, and over that connection once more when it ends.
#[tokio::test]
async fn metrics_of_a_young_process_are_exported_at_its_end() {
    for temporality in ["cumulative", "delta"] {
        let pod = Pod::sidecar(|bootstrap| {
            settings(bootstrap, |json| {
                json["sampling"] = json!({ "ratio": 0 });
                json["metrics"] = json!({ "enabled": true, "interval_ms": 60_000, "temporality": temporality });
            });
        })
        .await;
        let of_first = |exports: &[Export]| exports.first().map(|_| ());
        for served in [20, 27] {
            for _ in 0..served {
                pod.get("/status/200").await;
            }
            pod.collector.wait_for_measured(SOON, of_first).await.unwrap();
        }
        assert_eq!(pod.collector.measured().len(), 1, "the next is due in a minute");
        assert!(pod.envoy.terminate(SOON).await.unwrap().success());
        let requests = |exports: &[Export]| {
            let mut each = exports.iter().map(|export| counts(export).values().sum::<u64>());
            if temporality == "delta" { each.sum() } else { each.next_back().unwrap_or_default() }
        };
        let all = |exports: &[Export]| (requests(exports) == 47).then_some(());
        let came = pod.collector.wait_for_measured(SOON, all).await;
        came.unwrap_or_else(|error| panic!("{temporality}: {error}, {} requests", requests(&pod.collector.measured())));
    }
}
