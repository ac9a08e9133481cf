//! What a sidecar learns when no answer is left to carry a signal: the application asks for it.

use crate::application::{FASTAPI, FLASK};
use crate::mesh::{SOON, settle, start};
use crate::peer::WAITS;
use crate::scene::{CLIENT, Contract, Setup};
use crate::trace::{VISIT, WAY};
use axum::Router;
use axum::extract::Request as Served;
use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tracelift_envoy::{Client, ReceivedSpan, Request, Shipped, Stats, ports};

const RECALL_TOKEN: &str = "0123456789abcdef";
/// The last part of the way is that of the caller's pod, in place of the gateway's.
const UP_TO_FRONT: [&str; 2] = ["front CLIENT", "front SERVER"];

#[tokio::test]
async fn a_failure_after_a_call_that_went_well_brings_the_applications_spans_by_its_next_question() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let setup = || Setup::new(service, Contract::Whole).recall(RECALL_TOKEN);
        let scene = setup().start().await;
        let listener = ports::listen(ports::any_loopback()).unwrap();
        let mut front = setup().bootstrap(Shipped::Sidecar, "front", &scene.proxies);
        front.endpoints("application", &[listener.local_addr().unwrap()]).unwrap();
        front.add_outbound("reviews", scene.reviews.address("inbound").unwrap()).unwrap();
        let front = start(&front).await;
        let outbound = front.address("outbound").unwrap();
        let router = Router::new().fallback(move |request: Served| fail_after_call(outbound, request));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });

        let inbound = front.address("inbound").unwrap();
        let trace_id = scene.new_trace();
        let context = format!("00-{trace_id}-{CLIENT}-00");
        let reply = scene.send(Request::get(inbound, "/reviews/7").header("traceparent", &context)).await;
        assert_eq!(reply.status, 500);
        let trace = scene.whole(&trace_id, 5, &VISIT).await;
        let way = [&WAY[..6], &UP_TO_FRONT].concat();
        assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), way, "{name}");
        assert_eq!(trace.triggers(), BTreeSet::from(["sidecar"]), "{name}\n{trace}");
        assert_eq!(trace.proxy("reviews", SpanKind::Server).trigger(), Some("recall"), "{name}");

        // A thread that works on after the answer is of the trace, too.
        let trace_id = scene.new_trace();
        let context = format!("00-{trace_id}-{CLIENT}-00");
        let request = Request::post(inbound, "/reviews/7", "").header("traceparent", &context);
        assert_eq!(scene.send(request).await.status, 500);
        let trace = scene.whole(&trace_id, 3, &["SERVER", "index review"]).await;
        assert_eq!(trace.triggers(), BTreeSet::from(["sidecar"]), "{name}\n{trace}");

        settle(&[&front, &scene.reviews, &scene.ratings], &scene.proxies, 5 + 3, 0).await;
        let listed = |stats: &Stats| (2 <= stats.tracelift("applications.upgrades.listed")).then_some(());
        assert!(scene.reviews.admin().wait_for_stats(SOON, listed).await.unwrap().is_some());
        server.abort();
    }
}

#[tokio::test]
async fn a_client_that_hung_up_brings_the_applications_spans_though_no_answer_could_signal_it() {
    for service in [FLASK, FASTAPI] {
        let name = service.name;
        let scene = Setup::new(service, Contract::Whole).recall(RECALL_TOKEN).start().await;
        let trace_id = scene.new_trace();
        let request = scene.request(&trace_id, &format!("/reviews/{WAITS}"));
        let connection = Client::new().send_and_hold(request).await.unwrap();
        scene.wait_until("its call is at the callee", || scene.peer.calls(&trace_id) == 1).await;
        drop(connection);
        let has_left = |span: &ReceivedSpan| span.service_name() == "reviews" && span.kind() == SpanKind::Server;
        scene.wait_until("its sidecar has noticed", || scene.proxies.trace(&trace_id).iter().any(has_left)).await;
        scene.peer.answer_waiting();
        let trace = scene.whole(&trace_id, 5, &VISIT).await;
        assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), WAY, "{name}");
        assert!(!trace.triggers().is_empty(), "{name}: nothing was sampled\n{trace}");
        scene.settle(5).await;
    }
}

/// Calls `reviews`, which is well, and fails for a reason of its own.
async fn fail_after_call(outbound: SocketAddr, request: Served) -> StatusCode {
    let path = request.uri().path();
    let call =
        if request.method() == "POST" { Request::post(outbound, path, "") } else { Request::get(outbound, path) };
    let context = request.headers().get("traceparent").map(|value| value.as_bytes()).unwrap_or_default();
    let answer = Client::new().send(call.host("reviews").header("traceparent", context)).await;
    assert!(answer.is_ok_and(|reply| reply.status < 300), "the call goes well");
    StatusCode::INTERNAL_SERVER_ERROR
}
