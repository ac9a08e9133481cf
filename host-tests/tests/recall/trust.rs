//! Who may recall, and what everybody else gets.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift::trace_context::TraceId;
use tracelift::upgrade::recall::wire;
use tracelift_host::{Answer, Envoy, Headers, RequestSpec, Response, testing};

use crate::mesh::{Mesh, TOKEN, TRACE, recalling, recalling_with, told, unsampled};

/// Where requests of these tests go.
const ADDRESS: &str = "10.0.0.1:8080";

/// A recall request for these traces as an instance sends it to [`ADDRESS`] now.
fn recall_of(mesh: &mut Mesh, token: &str, traces: &[TraceId]) -> Headers {
    let now = mesh.envoy("cart").now().as_nanos() as u64;
    let mut headers = Headers::new();
    for (name, value) in wire::request(ADDRESS, token, traces, now) {
        headers.add(name, value);
    }
    headers
}

fn recall(mesh: &mut Mesh, token: &str) -> Headers {
    recall_of(mesh, token, &[trace()])
}

fn trace() -> TraceId {
    TraceId::parse(TRACE.as_bytes()).expect("an id")
}

fn ask(envoy: &mut Envoy, request: RequestSpec) -> Answer {
    envoy.receive(request, Response::status(418).body("the application"))
}

fn status(answer: &Answer) -> &str {
    answer.headers.text(":status").expect("a status")
}

/// A pod that holds one span of the trace.
fn holding(configuration: Value) -> Mesh {
    let mut mesh = Mesh::new([("cart", configuration)]);
    mesh.serve("cart", &unsampled(), &mut |_, _| 200);
    mesh
}

#[test]
fn a_mac_that_is_right_is_answered_by_the_filter_alone() {
    let mut mesh = holding(recalling());
    let request = RequestSpec::new("inbound", recall(&mut mesh, TOKEN));
    let answer = ask(mesh.envoy("cart"), request);
    assert_eq!((status(&answer), answer.headers.text("x-tracelift-recall")), ("200", Some("2")));
    assert!(answer.body.is_empty());
    assert_eq!(told(&mesh.spans()), ["cart server recall"], "and the request itself is no span");
    let decisions = ["parent", "ratio"].map(|reason| mesh.counter(&format!("decisions.dropped.{reason}")));
    assert_eq!(decisions, [1, 0], "nor a decision");
    assert_eq!((mesh.counter("recall.requests.answered"), mesh.counter("context.restarted")), (1, 0));
}

#[test]
fn a_mac_that_is_wrong_or_missing_is_denied() {
    let long = format!("{TOKEN}x");
    for token in ["fedcba9876543210", &TOKEN[1..], &*long, ""] {
        let mut mesh = holding(recalling());
        let request = RequestSpec::new("inbound", recall(&mut mesh, token));
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "403", "{token:?}");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("recall.requests.denied"), 1);
    }
    // Whoever knows the secret and sends it, as version 1 did, is told of the version; whoever leaves the MAC out is denied.
    for (mark, expected) in [("ff-tracelift-recall-2", "403"), ("ff-tracelift-recall-1", "400")] {
        let mut mesh = holding(recalling());
        let mut headers = recall(&mut mesh, TOKEN);
        headers.remove("x-tracelift-mac");
        headers.replace("traceparent", mark);
        headers.add("x-tracelift-token", TOKEN);
        assert_eq!(status(&ask(mesh.envoy("cart"), RequestSpec::new("inbound", headers))), expected);
        assert_eq!(mesh.spans().len(), 0);
    }
}

#[test]
fn a_recall_that_was_overheard_is_good_for_nobody_else_and_not_for_long() {
    let mut mesh = holding(recalling());
    let overheard = recall(&mut mesh, TOKEN);
    let elsewhere = RequestSpec::new("inbound", overheard.clone()).property("destination.address", "10.0.0.2:8080");
    assert_eq!(status(&ask(mesh.envoy("cart"), elsewhere)), "403", "another instance");
    let mut others = overheard.clone();
    others.replace("x-tracelift-recall", format!("2;{}", "7".repeat(32)));
    assert_eq!(status(&ask(mesh.envoy("cart"), RequestSpec::new("inbound", others))), "403", "other traces");
    mesh.run(Duration::from_secs(61));
    assert_eq!(status(&ask(mesh.envoy("cart"), RequestSpec::new("inbound", overheard))), "403", "a minute later");
    mesh.run(Duration::from_secs(1));
    assert_eq!(mesh.counter("recall.requests.denied"), 3);
    let fresh = recall(&mut mesh, TOKEN);
    assert_eq!(status(&ask(mesh.envoy("cart"), RequestSpec::new("inbound", fresh))), "200", "the honest twin");
}

#[test]
fn where_peers_are_listed_certificate_and_secret_must_hold() {
    let peers = json!({"peers": ["spiffe://cluster.local/ns/shop/", "spiffe://cluster.local/ns/edge/sa/router"]});
    for (token, san, wanted) in [
        (TOKEN, "spiffe://cluster.local/ns/shop/sa/web", "200"),
        (TOKEN, "spiffe://cluster.local/ns/edge/sa/router", "200"),
        (TOKEN, "spiffe://cluster.local/ns/edge/sa/gateway", "403"),
        (TOKEN, "spiffe://cluster.local/ns/shopping/sa/web", "403"),
        (TOKEN, "spiffe://elsewhere/ns/shop/sa/web", "403"),
        (TOKEN, "", "403"),
        ("a-guess-of-somebody", "spiffe://cluster.local/ns/shop/sa/web", "403"),
    ] {
        let mut mesh = holding(recalling_with(peers.clone()));
        let request = RequestSpec::new("inbound", recall(&mut mesh, token));
        let answer = ask(mesh.envoy("cart"), request.property("connection.uri_san_peer_certificate", san));
        assert_eq!(status(&answer), wanted, "{san}");
        assert_eq!(mesh.spans().len(), usize::from(wanted == "200"));
    }
}

#[test]
fn another_version_or_form_is_refused_with_the_version_that_is_understood() {
    for mark in ["ff-tracelift-recall-1", "ff-tracelift-recall-3", "ff-tracelift-recall-9", "ff-tracelift-recall-22"] {
        let mut mesh = holding(recalling());
        let mut headers = recall(&mut mesh, TOKEN);
        headers.replace("traceparent", mark);
        let answer = ask(mesh.envoy("cart"), RequestSpec::new("inbound", headers));
        assert_eq!((status(&answer), answer.headers.text("x-tracelift-recall")), ("400", Some("2")), "{mark}");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("recall.requests.refused"), 1);
    }
    let mut mesh = holding(recalling());
    let nothing = recall_of(&mut mesh, TOKEN, &[]);
    assert_eq!(status(&ask(mesh.envoy("cart"), RequestSpec::new("inbound", nothing))), "400");
}

#[test]
fn a_recall_from_outside_from_the_own_application_or_without_need_is_any_other_request() {
    let mut edge = recalling();
    edge["edge"] = true.into();
    let off = recalling_with(json!({"enabled": false}));
    for (configuration, listener, outside) in [
        (edge, "inbound", None),
        (off, "inbound", None),
        (recalling(), "outbound", None),
        (recalling(), "inbound", Some("x-forwarded-for")),
        (recalling(), "inbound", Some("x-envoy-external-address")),
    ] {
        let mut mesh = holding(configuration);
        let mut headers = recall(&mut mesh, TOKEN);
        headers.add("x-tracelift-token", "from-an-instance-of-the-version-before");
        if let Some(name) = outside {
            headers.add(name, "203.0.113.9");
        }
        let request = RequestSpec::new(listener, headers);
        let open = mesh.envoy("cart").open(request.clone());
        let forwarded = open.forwarded_headers(mesh.envoy("cart"));
        assert_eq!(forwarded.traceparent().flags & 1, 0, "what goes on is a context, not the mark");
        assert!(forwarded.iter().all(|(name, _)| !name.starts_with(b"x-tracelift-")), "{forwarded:?}");
        open.respond(mesh.envoy("cart"), 404);
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "418");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("context.restarted"), 2);
        assert_eq!(mesh.counter("recall.requests.outside"), 2 * u64::from(outside.is_some()));
    }
}

#[test]
fn asking_twice_changes_nothing() {
    let mut mesh = holding(recalling());
    for _ in 0..50 {
        let headers = recall_of(&mut mesh, TOKEN, &[trace(), trace()]);
        let request = RequestSpec::new("inbound", headers);
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "200");
        mesh.run(Duration::from_millis(20));
    }
    let log = mesh.envoy("cart").shared_data().get("tracelift.upgrades.2").map(|(log, _)| log[8..16].to_vec());
    assert_eq!(log, Some(1_u64.to_be_bytes().to_vec()), "logged once");
    assert_eq!(told(&mesh.spans()), ["cart server recall"]);
}

#[test]
fn a_trace_that_nobody_knows_costs_next_to_nothing() {
    let mut mesh = Mesh::new([("cart", recalling())]);
    let traces: Vec<_> = (1..=64).filter_map(TraceId::from_u128).collect();
    let request = RequestSpec::new("inbound", recall_of(&mut mesh, TOKEN, &traces));
    let open = mesh.envoy("cart").open(request);
    let finished = open.respond(mesh.envoy("cart"), 200);
    let each = finished.cost.hostcall_count() / 64;
    // Two of them are the bound that all workers and listeners of the process share.
    assert!(each <= 9, "{each} hostcalls a trace-id: {:?}", finished.cost);
    assert_eq!(mesh.spans().len(), 0);
}

#[test]
fn recalls_are_believed_within_bounds_and_asked_again_until_all_is_done() {
    let mut poor = recalling();
    poor["upgrade"]["traces_per_second"] = 1.into();
    let mut mesh = Mesh::new([("web", recalling()), ("cart", poor)]);
    for number in 1..=30_u32 {
        let context = testing::unsampled(&format!("{number:032x}"));
        mesh.serve("web", &context, &mut |mesh, context| {
            mesh.simple_call("web", "cart", context, 200);
            500
        });
    }
    mesh.spans();
    assert_eq!(mesh.counter("upgrades.http_status"), 30);
    let brought_back = mesh.envoy("cart").counter("tracelift.upgrades.recall");
    assert!(
        (20..=30).contains(&brought_back),
        "10 at once, then 10 a second for as long as they are held: {brought_back}"
    );
    assert!(0 < mesh.counter("recall.requests.busy"));
    assert_eq!(mesh.counter("recall.calls.answered") + mesh.counter("recall.calls.lost"), 30);
}
