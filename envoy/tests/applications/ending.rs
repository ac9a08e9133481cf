//! An application that is killed while it holds spans and serves a request.

use crate::application::FLASK;
use crate::peer::HANGS;
use crate::scene::{Contract, Setup};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

#[tokio::test]
async fn an_application_that_is_killed_takes_its_own_spans_along_and_nothing_else() {
    let mut scene = Setup::new(FLASK, Contract::Signals).start().await;
    for number in 0..5 {
        let (_, reply) = scene.get(&format!("/reviews/{number}")).await;
        assert_eq!(reply.status, 200);
    }
    let trace_id = scene.new_trace();
    let request = scene.request(&trace_id, &format!("/reviews/{HANGS}"));
    let client = tracelift_envoy::Client::new();
    let pending = tokio::spawn(async move { client.send(request).await });
    scene.wait_until("its call is at the callee", || scene.peer.calls(&trace_id) == 1).await;
    scene.application.kill().await;

    let reply = pending.await.unwrap().unwrap();
    assert_eq!(reply.status, 503, "the sidecar answers for it");
    let trace = scene.whole(&trace_id, 5, &[]).await;
    let call = trace.proxy("reviews", SpanKind::Client);
    let flags = call.text("tracelift.response_flags").unwrap_or_default();
    assert!(flags.contains("DC"), "its caller has gone: {flags:?}\n{trace}");
    assert_eq!(scene.sdk.spans(), [], "what it held is gone with it");

    let (refused, reply) = scene.get("/reviews/7").await;
    assert_eq!(reply.status, 503);
    scene.whole(&refused, 3, &[]).await;
    scene.restart_application().await;
    let (_, reply) = scene.get("/reviews/7").await;
    assert_eq!(reply.status, 200, "as before");
    let (failed, reply) = scene.get_with("error", "/reviews/7").await;
    assert_eq!(reply.status, 500);
    scene.whole(&failed, 3, &["SERVER", "load reviews", "read cache"]).await;
    scene.settle(5 + 3 + 3).await;
}
