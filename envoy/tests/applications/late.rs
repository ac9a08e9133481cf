//! Late parenting, which is the same whatever SDK it was.

use crate::scene::Scene;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// What the filter writes beside the parent that it found.
pub const UNRECORDED: &str = "tracelift.parent.unrecorded";

/// A call that fails in the mesh, of an application that answers 200 all the same: five spans of proxies, one line, and what the SDK
/// had sent as the call's parent beside it.
pub async fn hangs_below_the_request(scene: &Scene) {
    let (trace_id, reply) = scene.get("/reviews/503").await;
    assert_eq!(reply.status, 200);
    let trace = scene.whole(&trace_id, 5, &[]).await;
    let way = ["ratings SERVER", "reviews CLIENT", "reviews SERVER", "gateway CLIENT", "gateway SERVER"];
    assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), way, "{trace}");
    let sent = scene.peer.span_id_of_sdk(&trace_id);
    assert_eq!(trace.proxy("reviews", SpanKind::Client).text(UNRECORDED), Some(sent.as_str()), "{trace}");
    for (service, kind) in [
        ("ratings", SpanKind::Server),
        ("reviews", SpanKind::Server),
        ("gateway", SpanKind::Client),
        ("gateway", SpanKind::Server),
    ] {
        assert_eq!(trace.proxy(service, kind).text(UNRECORDED), None, "{service}: its parent is exported\n{trace}");
    }
}
