//! The end of an Envoy.

use crate::mesh::{SOON, settings, shipped};
use serde_json::json;
use tracelift_envoy::{Client, Collector, Launch, Request, Shipped, Upstream};

/// As far as the ABI allows, which has no way to await an answer at the end: the connection must be open already.
#[tokio::test]
async fn spans_that_wait_at_sigterm_go_out_over_the_open_connection() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut bootstrap = shipped(which, &collector);
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
        assert_eq!(collector.spans().len(), 4, "{which:?}");
        assert!(envoy.terminate(SOON).await.unwrap().success(), "{which:?}");
        collector.wait_for_spans(7, SOON).await.unwrap_or_else(|error| panic!("{which:?}: {error}"));
    }
}
