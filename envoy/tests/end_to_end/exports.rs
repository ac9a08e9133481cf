//! The collector may be slow, down or mad: no request fails or waits, and what could be delivered is.

use crate::mesh::{Pod, SOON, settings, traceparent};
use serde_json::json;
use std::time::{Duration, Instant};
use tracelift_envoy::{Answer, Request, Shipped, Stats};

/// Far above what a request takes here, far below what any of these collectors makes an export wait.
const AT_ONCE: Duration = Duration::from_secs(2);

impl Pod {
    async fn sampled(which: Shipped) -> Self {
        Self::start(which, |bootstrap| {
            settings(bootstrap, |json| {
                json["sampling"] = json!({ "ratio": 1 });
                json["export"]["timeout_ms"] = 3000.into();
            });
        })
        .await
    }

    /// Sends that many sampled requests, each of which must be answered at once.
    async fn serve(&self, count: u64) {
        for number in 0..count {
            let started = Instant::now();
            let request = Request::get(self.entry(), "/cart").header("traceparent", traceparent(number, true));
            assert_eq!(self.send(request).await.status, 200);
            assert!(started.elapsed() < AT_ONCE, "a request waited {:?}", started.elapsed());
        }
    }
}

#[tokio::test]
async fn spans_of_an_outage_arrive_when_the_collector_is_back() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let pod = Pod::sampled(which).await;
        pod.serve(20).await;
        pod.settle(20).await;

        pod.collector.stop_listening().await.unwrap();
        pod.serve(100).await;
        let line = pod
            .envoy
            .wait_for_log("spans are kept and sent again", SOON)
            .await
            .unwrap_or_else(|error| panic!("{which:?}: {error}"));
        assert!(line.contains("otel_collector"), "what to look at: {line}");

        pod.collector.listen_again().await.unwrap();
        pod.serve(20).await;
        pod.settle(140).await;
        let stats = pod.envoy.admin().stats().await.unwrap();
        assert!(0 < stats.tracelift("exports.retried"), "{which:?}");
        assert_eq!(stats.tracelift("exports.failed"), 0, "{which:?}");
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_makes_no_request_wait() {
    let pod = Pod::sampled(Shipped::Sidecar).await;
    pod.collector.always(Answer::Silence);
    pod.serve(50).await;
    pod.collector.wait_for_attempts(2, SOON).await.unwrap();
    pod.collector.always(Answer::Accept);
    pod.settle(50).await;
}

#[tokio::test]
async fn a_collector_that_asks_for_time_gets_it() {
    let over_http = Answer::Refuse { status: 429, headers: vec![("retry-after", "1".to_owned())] };
    let over_grpc = Answer::RefuseGrpc { code: 8, retry_after: Some(Duration::from_secs(1)) };
    for (which, busy) in [(Shipped::Sidecar, over_http), (Shipped::SidecarGrpcExport, over_grpc)] {
        let pod = Pod::sampled(which).await;
        pod.collector.next([busy]);
        pod.serve(1).await;
        pod.collector.wait_for_attempts(1, SOON).await.unwrap();
        let refused = Instant::now();
        pod.collector.wait_for_spans(1, SOON).await.unwrap();
        // Ticks of 100 ms may look at the clock a little early or late; a second is a second.
        assert!(Duration::from_millis(900) < refused.elapsed(), "{which:?}: back after {:?}", refused.elapsed());
        pod.settle(1).await;
    }
}

#[tokio::test]
async fn what_a_collector_rejects_for_good_is_counted_and_not_sent_again() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let pod = Pod::sampled(which).await;
        pod.collector.next([Answer::PartialSuccess { rejected: 1, message: "no room" }]);
        pod.serve(1).await;
        pod.settle_with(0, 1).await;
        let stats = pod.envoy.admin().stats().await.unwrap();
        assert_eq!(stats.tracelift("spans.discarded.rejected"), 1, "{which:?}");

        let bad_request = match which {
            Shipped::SidecarGrpcExport => Answer::RefuseGrpc { code: 3, retry_after: None },
            _ => Answer::Refuse { status: 400, headers: Vec::new() },
        };
        pod.collector.next([bad_request]);
        pod.serve(1).await;
        pod.collector.wait_for_attempts(2, SOON).await.unwrap();
        pod.serve(1).await;
        pod.settle_with(1, 2).await;
        let stats = pod.envoy.admin().stats().await.unwrap();
        assert_eq!(stats.tracelift("spans.discarded.non_retryable"), 1, "{which:?}");
        assert_eq!(pod.collector.attempts().len(), 3, "{which:?}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_harms_nobody() {
    for which in [Shipped::Sidecar, Shipped::SidecarGrpcExport] {
        let pod = Pod::sampled(which).await;
        pod.collector.next([Answer::Garbage]);
        pod.serve(5).await;
        pod.collector.wait_for_attempts(1, SOON).await.unwrap();
        let before = pod.collector.spans().len();
        pod.serve(5).await;
        pod.collector.wait_for_spans(before + 5, SOON).await.unwrap();
        assert!(pod.envoy.admin().stats().await.unwrap().ledger().balances(), "{which:?}");
    }
}

#[tokio::test]
async fn a_full_queue_discards_and_says_so() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 1 });
            json["export"]["max_queue_size"] = 10.into();
            json["export"]["max_export_batch_size"] = 10.into();
        });
    })
    .await;
    pod.collector.stop_listening().await.unwrap();
    pod.serve(100).await;
    pod.collector.listen_again().await.unwrap();
    let settled = |stats: &Stats| Some(stats.ledger()).filter(|ledger| ledger.is_settled() && ledger.offered == 100);
    let ledger = pod.envoy.admin().wait_for_stats(SOON, settled).await.unwrap().expect("the books close");
    assert!(0 < ledger.discarded && 0 < ledger.exported, "{ledger}");
    assert_eq!(pod.collector.spans().len() as u64, ledger.exported);
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!(stats.tracelift("spans.discarded.queue_full"), ledger.discarded);
}

#[tokio::test]
async fn grpc_exports_are_compressed_when_asked() {
    let pod = Pod::sampled(Shipped::SidecarGrpcExport).await;
    pod.serve(1).await;
    pod.settle(1).await;
    let attempts = pod.collector.attempts();
    assert_eq!(attempts[0].path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(attempts[0].headers["grpc-encoding"], "gzip");
}
