//! What an exported span says of the calls behind it.

use serde_json::{Value, json};
use tracelift_host::otlp::{ExportedSpan, SpanKind};
use tracelift_host::{Headers, LocalReply, Response};

use crate::mesh::{Mesh, TRACE, calls, recalling, recalling_with, service, unsampled};

fn sampled() -> Headers {
    Headers::from([("traceparent", &*format!("00-{TRACE}-00f067aa0ba902b7-03"))])
}

/// The ledgers of web's calls.
fn ledgers(spans: &[ExportedSpan]) -> Vec<[i64; 4]> {
    let calls_of_web = |span: &&ExportedSpan| service(span) == "web" && span.kind() == SpanKind::Client;
    spans.iter().filter(calls_of_web).map(calls).collect()
}

#[test]
fn a_call_that_was_recalled_or_told_by_itself_is_answered() {
    let mut mesh = Mesh::of(["web", "cart", "payment"], &recalling());
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("web", "cart", context, 200);
        mesh.simple_call("web", "payment", context, 500)
    });
    assert_eq!(ledgers(&mesh.spans()), [[1, 1, 0, 0]; 2]);
}

#[test]
fn of_a_sampled_call_the_answer_tells_whether_a_filter_is_there() {
    for (cart, ledger) in [(recalling(), [1, 1, 0, 0]), (Value::Null, [1, 0, 1, 0])] {
        let mut mesh = Mesh::new([("web", recalling()), ("cart", cart)]);
        mesh.serve("web", &sampled(), &mut |mesh, context| mesh.simple_call("web", "cart", context, 200));
        assert_eq!(ledgers(&mesh.spans()), [ledger]);
        assert_eq!(mesh.counter("upgrades.signal"), 0, "a context upgrades nothing");
        assert!(mesh.asked.is_empty());
    }
}

#[test]
fn a_context_in_an_answer_is_no_verdict_on_a_failure_of_ones_own() {
    // 404 is a failure to web and not to cart, and web's budget is spent: cart's context does not admit it.
    let mut strict = recalling();
    strict["upgrade"]["http_status"] = json!(["404"]);
    strict["upgrade"]["traces_per_second"] = 0.into();
    let mut mesh = Mesh::new([("web", strict), ("cart", recalling())]);
    mesh.serve("web", &sampled(), &mut |mesh, context| mesh.simple_call("web", "cart", context, 404));
    let spans = mesh.spans();
    assert_eq!(ledgers(&spans), [[1, 1, 0, 0]]);
    assert!(
        spans.iter().all(|span| !span.attribute("tracelift.upgrade.trigger").is_present()),
        "kept by the head alone"
    );
}

#[test]
fn only_a_caller_that_sampled_is_answered_with_a_context() {
    let mut mesh = Mesh::of(["cart"], &recalling());
    let told = mesh.serve("cart", &sampled(), &mut |_, _| 200);
    assert!(told.response_headers.get("traceresponse").is_some_and(|value| value.ends_with(b"-03")));
    assert_eq!(told.response_headers.text("x-tracelift-signal"), Some(&*format!("2;kept;{TRACE}")));
    assert_eq!(told.response_headers.get("server-timing"), None, "nothing was upgraded");
    let dropped = mesh.serve("cart", &unsampled(), &mut |_, _| 200);
    assert_eq!(dropped.response_headers.get("traceresponse"), None);

    let mut silent = recalling();
    silent["upgrade"]["signal"] = json!({"emit": false});
    let mut mesh = Mesh::of(["cart"], &silent);
    assert_eq!(mesh.serve("cart", &sampled(), &mut |_, _| 200).response_headers.get("traceresponse"), None);
}

#[test]
fn without_recall_a_dropped_call_that_said_nothing_is_lost_to_the_ledger() {
    let off = recalling_with(json!({"enabled": false}));
    let mut mesh = Mesh::new([("web", off), ("cart", Value::Null)]);
    mesh.serve("web", &unsampled(), &mut |mesh, context| mesh.simple_call("web", "cart", context, 503));
    assert_eq!(ledgers(&mesh.spans()), [[1, 0, 0, 1]]);
}

#[test]
fn a_call_that_reached_nobody_is_none() {
    for reply in [LocalReply::no_healthy_upstream(), LocalReply::connect_failure()] {
        let mut mesh = Mesh::of(["web", "cart"], &recalling());
        let call = mesh.calls("web", "cart", &unsampled());
        call.local_reply(mesh.envoy("web"), reply);
        assert_eq!(ledgers(&mesh.spans()), [[0; 4]]);
        assert!(mesh.asked.is_empty());
    }
}

#[test]
fn a_call_of_a_gateway_is_on_its_client_span() {
    let mut gateway = recalling();
    gateway["span_kind"] = "both".into();
    let mut mesh = Mesh::new([("gateway", gateway), ("web", recalling())]);
    let call = mesh.calls("gateway", "web", &unsampled());
    let told = format!("2;upgraded;{TRACE}");
    call.respond(mesh.envoy("gateway"), Response::status(200).header("x-tracelift-signal", told));
    let spans = mesh.spans();
    let [server, client] = [SpanKind::Server, SpanKind::Client]
        .map(|kind| spans.iter().find(|span| span.kind() == kind).expect("one of each"));
    assert_eq!(calls(client), [1, 1, 0, 0]);
    assert!(!server.attribute("tracelift.calls.made").is_present());
}
