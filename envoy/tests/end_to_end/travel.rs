//! The upgrade travels: from the hop that saw the failure to every hop above, past an application that swallowed it.

use crate::chain::{Chain, lineage};
use crate::mesh::{SOON, traceparent};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{self, Client as CLIENT, Server as SERVER};
use serde_json::json;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use tracelift_envoy::{Client, ReceivedSpan, Request, Stats};

/// What a request leaves at the collector that failed at the end of the chain, from the root down.
const WHOLE: [(&str, SpanKind, &str); 5] = [
    ("gateway", SERVER, "signal"),
    ("gateway", CLIENT, "signal"),
    ("cart", SERVER, "signal"),
    ("cart", CLIENT, "http_status"),
    ("payments", SERVER, "http_status"),
];

#[tokio::test]
async fn a_failure_that_the_application_swallowed_is_kept_at_every_hop_and_told_to_nobody_outside() {
    let chain = Chain::start(|_, _| {}).await;
    let reply = chain.enter(&Client::new(), "/status/500").await;
    assert_eq!(reply.status, 200);
    assert_eq!((reply.header("x-tracelift-signal"), reply.header("traceresponse")), (None, None));
    let timings: Vec<_> = reply.headers.get_all("server-timing").iter().collect();
    assert_eq!(timings, [r#"db;dur=53, cache;desc="hit, mostly""#], "the application's own entries stay");

    let spans = chain.collector.wait_for_spans(WHOLE.len(), SOON).await.unwrap();
    assert_eq!(lineage(&spans).unwrap(), WHOLE);
    let arrival = chain.upstream.last().unwrap();
    let leaf = spans.iter().find(|span| span.service_name() == "payments").unwrap();
    assert_eq!(arrival.text("traceparent"), format!("00-{}-{}-02", leaf.trace_id(), leaf.span_id()), "ratio 0");
    for span in &spans {
        // Why a hop saw no failure itself is unknown, and so is how many such requests its span stands for.
        let tracestate = if span.trigger() == Some("signal") { "" } else { "ot=th:0" };
        assert_eq!((span.int("sampling.priority"), span.span.trace_state.as_str()), (Some(1), tracestate));
    }
    let line = chain.gateway.wait_for_access_log("GET /status/500 ", SOON).await.unwrap();
    assert!(line.ends_with("decision=upgraded.signal"), "{line}");

    // Nothing failed here: of such a request nothing is kept, told or noted.
    assert_eq!(chain.enter(&Client::new(), "/cart").await.status, 200);
    chain.settle(WHOLE.len()).await;
}

#[tokio::test]
async fn inside_the_mesh_the_answer_names_the_hop_that_kept_its_span() {
    let chain = Chain::start(|_, _| {}).await;
    let sent = traceparent(1, false);
    let request = Request::get(chain.cart.address("inbound").unwrap(), "/status/500").header("traceparent", &sent);
    let reply = Client::new().send(request).await.unwrap();

    let spans = chain.collector.wait_for_spans(3, SOON).await.unwrap();
    let server = spans.iter().find(|span| span.service_name() == "cart" && span.kind() == SERVER).unwrap();
    let told = format!("00-{}-{}-03", server.trace_id(), server.span_id());
    assert_eq!((reply.status, reply.header("traceresponse")), (200, Some(told.as_str())));
    let mark = format!("2;upgraded;{}", server.trace_id());
    assert_eq!(reply.header("x-tracelift-signal"), Some(mark.as_str()));
    // With a slot for this header in the bootstrap, Envoy makes one line of several.
    let timings: Vec<_> = reply.headers.get_all("server-timing").iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(timings.join(","), format!(r#"db;dur=53, cache;desc="hit, mostly",trace;desc={told}"#));
    chain.settle(3).await;
}

#[tokio::test]
async fn listeners_that_leave_the_span_kind_to_envoy_find_their_kind_and_each_other() {
    // Both of cart's listeners now have one configuration, so that Envoy gives them one root context.
    let chain = Chain::start(|service, json| {
        if service == "cart" {
            json["span_kind"] = "auto".into();
        }
    })
    .await;
    assert_eq!(chain.enter(&Client::new(), "/status/500").await.status, 200);
    let spans = chain.collector.wait_for_spans(WHOLE.len(), SOON).await.unwrap();
    assert_eq!(lineage(&spans).unwrap(), WHOLE);
    chain.settle(WHOLE.len()).await;
}

#[tokio::test]
async fn of_a_hundred_failures_on_whatever_workers_every_one_is_whole() {
    // Above what the storm needs: here the budget must not be what decides.
    let chain = Chain::start(|_, json| json["upgrade"] = json!({ "traces_per_second": 1000 })).await;
    let edge = chain.gateway.address("edge").unwrap();
    let mut storm = JoinSet::new();
    for _ in 0..10 {
        storm.spawn(async move {
            let client = Client::new();
            for _ in 0..10 {
                assert_eq!(client.send(Request::get(edge, "/status/500")).await.unwrap().status, 200);
            }
        });
    }
    storm.join_all().await;

    chain.settle(100 * WHOLE.len()).await;
    let traces: BTreeSet<_> =
        chain.upstream.arrivals().iter().map(|arrival| arrival.text("traceparent")[3..35].to_owned()).collect();
    assert_eq!(traces.len(), 100);
    for trace in &traces {
        assert_eq!(lineage(&chain.collector.trace(trace)).unwrap(), WHOLE, "{trace}");
    }
    // The application connects anew for every call, so that the kernel chooses its worker apart from the request's.
    let stats = chain.cart.admin().stats().await.unwrap();
    for worker in ["worker_0", "worker_1"] {
        assert!(0 < stats.get(&format!("listener.outbound.{worker}.downstream_cx_total")), "{worker} had no call");
    }
}

#[tokio::test]
async fn what_the_budget_sheds_is_shed_at_every_hop() {
    let chain = Chain::start(|service, json| {
        let rate = if service == "payments" { 2 } else { 1000 };
        json["upgrade"] = json!({ "traces_per_second": rate });
    })
    .await;
    let client = Client::new();
    for _ in 0..60 {
        assert_eq!(chain.enter(&client, "/status/500").await.status, 200);
    }
    let counted = |stats: &Stats| {
        let (upgraded, shed) = (stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.shed"));
        (upgraded + shed == 60).then_some(upgraded)
    };
    let kept = chain.payments.admin().wait_for_stats(SOON, counted).await.unwrap().expect("all are counted");
    assert!(0 < kept && kept < 60, "{kept} kept");
    chain.settle(kept as usize * WHOLE.len()).await;
    for arrival in chain.upstream.arrivals() {
        let spans = chain.collector.trace(&arrival.text("traceparent")[3..35]);
        assert!(spans.is_empty() || lineage(&spans).unwrap() == WHOLE, "kept in pieces: {spans:?}");
    }
}

#[tokio::test]
async fn a_later_call_of_the_same_trace_leaves_sampled() {
    let chain = Chain::start(|_, _| {}).await;
    assert_eq!(chain.enter(&Client::new(), "/status/500?then=/compensate").await.status, 200);

    let later = chain.upstream.last().unwrap();
    assert_eq!(later.path, "/compensate");
    assert_eq!(&later.text("traceparent")[53..], "03");
    chain.settle(WHOLE.len() + 2).await;
    let spans = chain.collector.trace(&later.text("traceparent")[3..35]);
    assert_eq!(spans.len(), WHOLE.len() + 2);
    let of = |name| {
        let fine: Vec<_> =
            spans.iter().filter(|span| span.service_name() == name && span.trigger().is_none()).collect();
        assert_eq!(fine.len(), 1, "nothing failed in the later call through {name}");
        fine[0]
    };
    let (caller, callee) = (of("cart"), of("payments"));
    let reasons = [caller, callee].map(|span| span.text("tracelift.sampling.reason"));
    assert_eq!(reasons, [Some("upgraded"), Some("parent")]);
    assert_eq!(callee.parent_span_id(), caller.span_id());
    let stats = chain.cart.admin().stats().await.unwrap();
    assert_eq!(stats.tracelift("decisions.sampled.upgraded"), 1);
}

#[tokio::test]
async fn a_grpc_failure_is_told_where_its_status_stands() {
    // The caller is told by the signal alone: no status is a failure to it.
    let chain = Chain::start(|service, json| {
        if service == "cart" {
            json["upgrade"] = json!({ "grpc_status": [] });
        }
    })
    .await;
    let (to, client) = (chain.cart.address("outbound").unwrap(), Client::new());
    for (number, path) in (1..).zip(["/answer.Trailers/Status13", "/answer.TrailersOnly/Status13"]) {
        let sent = traceparent(number, false);
        let request = Request::grpc(to, path, b"").host("payments").header("traceparent", &sent);
        let reply = client.send(request).await.unwrap();
        assert_eq!((reply.status, reply.grpc_status()), (200, Some(13)), "{path}");

        let trace = &sent[3..35];
        let find = |spans: &[ReceivedSpan]| {
            let spans: Vec<_> = spans.iter().filter(|span| span.trace_id() == trace).cloned().collect();
            (spans.len() == 2).then_some(spans)
        };
        let spans = chain.collector.wait_for(SOON, find).await.unwrap();
        let [caller, callee] =
            [CLIENT, SERVER].map(|kind| spans.iter().find(|span| span.kind() == kind).expect("of each side"));
        assert_eq!((caller.trigger(), callee.trigger()), (Some("signal"), Some("grpc_status")), "{path}");
        assert_eq!(callee.parent_span_id(), caller.span_id(), "{path}");

        let in_trailers = path.contains("Trailers/");
        let (with, without) =
            if in_trailers { (&reply.trailers, &reply.headers) } else { (&reply.headers, &reply.trailers) };
        assert_eq!(with["x-tracelift-signal"], format!("2;upgraded;{trace}"), "{path}");
        assert_eq!(with["traceresponse"], format!("00-{trace}-{}-03", caller.span_id()), "{path}");
        let timings: Vec<_> = with.get_all("server-timing").iter().collect();
        assert_eq!(timings, [&format!("trace;desc=00-{trace}-{}-03", callee.span_id())], "{path}: told once");
        assert!(!without.contains_key("traceresponse") && !without.contains_key("server-timing"), "{path}");
    }
    chain.settle(4).await;
}
