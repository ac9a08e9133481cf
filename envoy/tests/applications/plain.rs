//! Applications whose SDK knows nothing of the contract: `opentelemetry-instrument`, and no more.

use crate::application::{FASTAPI, FLASK};
use crate::late::{UNRECORDED, hangs_below_the_request};
use crate::peer::HANGS;
use crate::scene::{Contract, Setup};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

#[tokio::test]
async fn a_call_of_an_sdk_that_dropped_its_span_hangs_below_the_request_and_says_what_the_sdk_had_sent() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let scene = Setup::new(service, Contract::None).start().await;
        let (well, reply) = scene.get("/reviews/7").await;
        assert_eq!(reply.status, 200);
        hangs_below_the_request(&scene).await;

        // Outside of the mesh; the application answers 502.
        let (external, reply) = scene.get("/translations/500").await;
        assert_eq!(reply.status, 502, "{name}");
        let trace = scene.whole(&external, 4, &[]).await;
        let sent = scene.peer.span_id_of_sdk(&external);
        assert_eq!(trace.proxy("reviews", SpanKind::Client).text(UNRECORDED), Some(sent.as_str()), "{name}");

        scene.settle(9).await;
        assert_eq!(scene.proxies.trace(&well), []);
        assert_eq!(scene.sdk.spans(), [], "an SDK without the contract exports nothing of dropped traces");
    }
}

#[tokio::test]
async fn a_call_that_the_sdk_gave_up_hangs_below_the_request_too() {
    let scene = Setup::new(FLASK, Contract::None).start().await;
    // The application waits for two seconds and then fails, so the call ends before its request does.
    let (trace_id, reply) = scene.get(&format!("/reviews/{HANGS}")).await;
    assert_eq!(reply.status, 500);
    let trace = scene.whole(&trace_id, 5, &[]).await;
    let call = trace.proxy("reviews", SpanKind::Client);
    assert_eq!(call.text(UNRECORDED), Some(scene.peer.span_id_of_sdk(&trace_id).as_str()), "{trace}");
    scene.settle(5).await;
}

#[tokio::test]
async fn what_the_head_samples_has_the_sdks_spans_between_ours_once_and_is_left_as_it_came() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let scene = Setup::new(service, Contract::None).ratio(1.0).start().await;
        for path in ["/reviews/7", "/reviews/503"] {
            let (trace_id, reply) = scene.get(path).await;
            assert_eq!(reply.status, 200, "{name}");
            let trace = scene.whole(&trace_id, 5, &crate::trace::VISIT).await;
            assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), crate::trace::WAY, "{name}");
            assert_eq!(trace.proxy("reviews", SpanKind::Client).text(UNRECORDED), None, "{name}");
        }
        scene.settle(10).await;
    }
}
