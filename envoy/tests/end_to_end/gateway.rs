//! The edge of the mesh.

use crate::mesh::{Pod, SOON, settings, traceparent};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracelift_envoy::{Request, Shipped};

#[tokio::test]
async fn a_gateway_records_both_sides_and_does_not_let_strangers_choose() {
    let pod =
        Pod::start(Shipped::Gateway, |bootstrap| settings(bootstrap, |json| json["sampling"]["ratio"] = 0.into()))
            .await;
    let ask = |number, path| Request::get(pod.entry(), path).header("traceparent", traceparent(number, true));

    assert_eq!(pod.send(ask(1, "/cart")).await.status, 200);
    let flags = pod.upstream.last().unwrap().text("traceparent").split_off(53);
    assert_eq!(flags, "02", "a stranger's sampled flag is not believed");

    assert_eq!(pod.send(ask(2, "/status/500")).await.status, 500);
    let spans = pod.collector.wait_for_spans(2, SOON).await.unwrap();
    let [client, server] =
        [SpanKind::Client, SpanKind::Server].map(|kind| spans.iter().find(|s| s.kind() == kind).unwrap());
    assert_eq!(client.trace_id(), &traceparent(2, true)[3..35]);
    assert_eq!(client.parent_span_id(), server.span_id());
    assert_eq!(server.parent_span_id(), "00f067aa0ba902b7");
    assert_eq!(&pod.upstream.last().unwrap().text("traceparent")[36..52], client.span_id());
    assert_eq!((client.trigger(), server.trigger()), (Some("http_status"), Some("http_status")));
    pod.settle(2).await;
}
