//! Applications with `tracelift-otel`: a failed trace is whole down to their spans, and a failure that only they saw is kept up to the
//! gateway.

use crate::application::{FASTAPI, FLASK};
use crate::late::UNRECORDED;
use crate::peer::SWALLOWS;
use crate::scene::{Contract, Scene, Setup};
use crate::trace::{VISIT, WAY};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;

#[tokio::test]
async fn failed_traces_are_whole_down_to_the_applications_spans() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let scene = Setup::new(service, Contract::Whole).start().await;
        let (well, reply) = scene.get("/reviews/7").await;
        assert_eq!(reply.status, 200);
        a_callee_fails(&scene).await;
        a_callee_has_swallowed_a_failure(&scene).await;
        an_external_call_fails(&scene).await;
        the_application_raises(&scene).await;
        the_application_swallows_an_exception(&scene).await;
        scene.settle(5 + 5 + 4 + 3 + 5).await;
        assert_eq!(scene.proxies.trace(&well), []);
        assert_eq!(scene.sdk.trace(&well), [], "{name}: what goes well stays dropped");
    }
}

async fn a_callee_fails(scene: &Scene) {
    let (trace_id, reply) = scene.get("/reviews/503").await;
    assert_eq!(reply.status, 200, "the application shows a page without the rating");
    let trace = scene.whole(&trace_id, 5, &VISIT).await;
    assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), WAY);
    assert_eq!(trace.triggers(), BTreeSet::from(["signal"]), "its sidecar signalled it on the answer");
    let call = trace.proxy("reviews", SpanKind::Client);
    assert_eq!(call.text(UNRECORDED), None, "the application polls, so its spans are waited for");
    assert_eq!(call.parent_span_id(), scene.peer.span_id_of_sdk(&trace_id));
}

async fn a_callee_has_swallowed_a_failure(scene: &Scene) {
    let (trace_id, reply) = scene.get(&format!("/reviews/{SWALLOWS}")).await;
    assert_eq!(reply.status, 200);
    let trace = scene.whole(&trace_id, 5, &VISIT).await;
    assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), WAY);
    assert_eq!(trace.triggers(), BTreeSet::from(["signal"]));
    assert_eq!(trace.triggers_of_proxies(), BTreeSet::from(["signal"]), "no status says that anything was wrong");
}

async fn an_external_call_fails(scene: &Scene) {
    let (trace_id, reply) = scene.get("/translations/500").await;
    assert_eq!(reply.status, 502);
    let trace = scene.whole(&trace_id, 4, &["SERVER", "GET"]).await;
    let way = ["reviews CLIENT", "GET", "SERVER", "reviews SERVER", "gateway CLIENT", "gateway SERVER"];
    assert_eq!(trace.way_up(trace.proxy("reviews", SpanKind::Client)), way);
}

async fn the_application_raises(scene: &Scene) {
    let (trace_id, reply) = scene.get_with("error", "/reviews/7").await;
    assert_eq!(reply.status, 500);
    let trace = scene.whole(&trace_id, 3, &["SERVER", "load reviews", "read cache"]).await;
    assert_eq!(trace.triggers(), BTreeSet::from(["error"]));
    assert_eq!(scene.peer.calls(&trace_id), 0, "it failed before its call");
}

/// Nothing but its own span of the exception shows it: every hop up to the gateway is kept on its word.
async fn the_application_swallows_an_exception(scene: &Scene) {
    let (trace_id, reply) = scene.get_with("swallowed", "/reviews/7").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-tracelift-signal"), None, "not for strangers");
    let trace = scene.whole(&trace_id, 5, &VISIT).await;
    assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), WAY);
    assert_eq!(trace.triggers(), BTreeSet::from(["error"]));
    let hops = [("reviews", SpanKind::Server), ("gateway", SpanKind::Client), ("gateway", SpanKind::Server)];
    for (service, kind) in hops {
        assert_eq!(trace.proxy(service, kind).trigger(), Some("signal"), "{service}\n{trace}");
    }
    let called = scene.peer.contexts(&trace_id, "traceparent");
    assert!(
        called.iter().all(|context| context.ends_with("-01") || context.ends_with("-03")),
        "{called:?}: a later call"
    );
}

#[tokio::test]
async fn what_the_head_samples_has_the_applications_spans_between_ours_once() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let scene = Setup::new(service, Contract::Whole).ratio(1.0).start().await;
        for (path, fault) in [("/reviews/7", ""), ("/reviews/503", ""), ("/reviews/7", "swallowed")] {
            let (trace_id, reply) = scene.get_with(fault, path).await;
            assert_eq!(reply.status, 200, "{name}");
            let trace = scene.whole(&trace_id, 5, &VISIT).await;
            assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), WAY, "{name} {path} {fault}");
            assert_eq!(trace.triggers(), BTreeSet::new(), "{name}: the head asked for them\n{trace}");
        }
        scene.settle(15).await;
    }
}
