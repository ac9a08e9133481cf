//! Who may recall, and what everybody else gets.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift_host::{Answer, Envoy, Headers, RequestSpec, Response, testing};

use crate::mesh::{Mesh, TOKEN, TRACE, recalling, recalling_with, told, unsampled};

/// A recall request as an instance sends it.
fn recall(value: &str, token: Option<&str>) -> Headers {
    let mut headers = Headers::from([
        (":method", "GET"),
        (":path", "/.well-known/tracelift/recall"),
        (":authority", "10.0.0.1:8080"),
        (":scheme", "http"),
        ("traceparent", "ff-tracelift-recall-1"),
        ("x-tracelift-recall", value),
    ]);
    if let Some(token) = token {
        headers.add("x-tracelift-token", token);
    }
    headers
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
fn a_token_that_is_right_is_answered_by_the_filter_alone() {
    let mut mesh = holding(recalling());
    let request = RequestSpec::new("inbound", recall(&format!("1;{TRACE}"), Some(TOKEN)));
    let answer = ask(mesh.envoy("cart"), request);
    assert_eq!((status(&answer), answer.headers.text("x-tracelift-recall")), ("200", Some("1")));
    assert!(answer.body.is_empty());
    assert_eq!(told(&mesh.spans()), ["cart server recall"], "and the request itself is no span");
    let decisions = ["parent", "ratio"].map(|reason| mesh.counter(&format!("decisions.dropped.{reason}")));
    assert_eq!(decisions, [1, 0], "nor a decision");
    assert_eq!((mesh.counter("recall.requests.answered"), mesh.counter("context.restarted")), (1, 0));
}

#[test]
fn a_token_that_is_wrong_or_missing_is_denied() {
    let long = format!("{TOKEN}x");
    for token in [None, Some(""), Some("fedcba9876543210"), Some(&TOKEN[1..]), Some(&*long)] {
        let mut mesh = holding(recalling());
        let request = RequestSpec::new("inbound", recall(&format!("1;{TRACE}"), token));
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "403", "{token:?}");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("recall.requests.denied"), 1);
    }
}

#[test]
fn peers_are_known_by_their_certificates() {
    let peers =
        json!({"token": "", "peers": ["spiffe://cluster.local/ns/shop/", "spiffe://cluster.local/ns/edge/sa/gateway"]});
    for (san, allowed) in [
        ("spiffe://cluster.local/ns/shop/sa/web", true),
        ("spiffe://cluster.local/ns/edge/sa/gateway", true),
        ("spiffe://cluster.local/ns/shopping/sa/web", false),
        ("spiffe://elsewhere/ns/shop/sa/web", false),
        ("", false),
    ] {
        let mut mesh = holding(recalling_with(peers.clone()));
        let request = RequestSpec::new("inbound", recall(&format!("1;{TRACE}"), None));
        let answer = ask(mesh.envoy("cart"), request.property("connection.uri_san_peer_certificate", san));
        assert_eq!(status(&answer) == "200", allowed, "{san}");
        assert_eq!(mesh.spans().len(), usize::from(allowed));
    }
}

#[test]
fn where_both_are_configured_both_must_hold() {
    let both = recalling_with(json!({"peers": ["spiffe://cluster.local/"]}));
    for (token, san, wanted) in [
        (Some(TOKEN), "spiffe://cluster.local/ns/a", "200"),
        (Some(TOKEN), "spiffe://other/", "403"),
        (None, "spiffe://cluster.local/ns/a", "403"),
    ] {
        let mut mesh = holding(both.clone());
        let request = RequestSpec::new("inbound", recall(&format!("1;{TRACE}"), token));
        let answer = ask(mesh.envoy("cart"), request.property("connection.uri_san_peer_certificate", san));
        assert_eq!(status(&answer), wanted);
    }
}

#[test]
fn another_version_or_form_is_refused_with_the_version_that_is_understood() {
    for value in ["2;deadbeef", "", "1;", "1;nonsense", &format!("1;{}", TRACE.to_uppercase()), &format!("1;{TRACE},")]
    {
        let mut mesh = holding(recalling());
        let answer = ask(mesh.envoy("cart"), RequestSpec::new("inbound", recall(value, Some(TOKEN))));
        assert_eq!((status(&answer), answer.headers.text("x-tracelift-recall")), ("400", Some("1")), "{value}");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("recall.requests.refused"), 1);
    }
}

#[test]
fn a_recall_from_outside_from_the_own_application_or_without_need_is_any_other_request() {
    let mut edge = recalling();
    edge["edge"] = true.into();
    let off = recalling_with(json!({"enabled": false}));
    for (configuration, listener) in [(edge, "inbound"), (off, "inbound"), (recalling(), "outbound")] {
        let mut mesh = holding(configuration);
        let request = RequestSpec::new(listener, recall(&format!("1;{TRACE}"), Some(TOKEN)));
        let open = mesh.envoy("cart").open(request.clone());
        let forwarded = open.forwarded_headers(mesh.envoy("cart"));
        assert_eq!(forwarded.traceparent().flags & 1, 0, "what goes on is a context, not the mark");
        open.respond(mesh.envoy("cart"), 404);
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "418");
        assert_eq!(mesh.spans().len(), 0);
        assert_eq!(mesh.counter("context.restarted"), 2);
    }
}

#[test]
fn asking_twice_changes_nothing() {
    let mut mesh = holding(recalling());
    for _ in 0..50 {
        let request = RequestSpec::new("inbound", recall(&format!("1;{TRACE},{TRACE}"), Some(TOKEN)));
        assert_eq!(status(&ask(mesh.envoy("cart"), request)), "200");
        mesh.run(Duration::from_millis(20));
    }
    let log = mesh.envoy("cart").shared_data().get("tracelift.upgrades.1").map(|(log, _)| log[..8].to_vec());
    assert_eq!(log, Some(1_u64.to_be_bytes().to_vec()), "logged once");
    assert_eq!(told(&mesh.spans()), ["cart server recall"]);
}

#[test]
fn a_trace_that_nobody_knows_costs_next_to_nothing() {
    let mut mesh = Mesh::new([("cart", recalling())]);
    let value: Vec<String> = (1..=64).map(|id| format!("{id:032x}")).collect();
    let request = RequestSpec::new("inbound", recall(&format!("1;{}", value.join(",")), Some(TOKEN)));
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
