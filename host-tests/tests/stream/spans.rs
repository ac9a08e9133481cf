//! Spans as a collector gets them: kinds, names, status, attributes, links, time.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::otlp::{ExportedSpan, SpanKind, StatusCode};
use tracelift_host::{Headers, LocalReply, Response};

use crate::kit::{CALLER, DROPPED, SAMPLED, Story, TRACE, builder, get, grpc, inbound, keep_all, plain};

fn kept(more: Value) -> Value {
    let mut config = keep_all();
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config
}

#[test]
fn the_kind_follows_the_listener_unless_it_is_set() {
    for (setting, inbound, outbound, gateway) in [
        ("auto", SpanKind::Server, SpanKind::Client, SpanKind::Server),
        ("server", SpanKind::Server, SpanKind::Server, SpanKind::Server),
        ("client", SpanKind::Client, SpanKind::Client, SpanKind::Client),
    ] {
        let mut story = Story::new(kept(json!({ "span_kind": setting })));
        for (listener, kind) in [("inbound", inbound), ("outbound", outbound), ("gateway", gateway)] {
            story.hop(listener, plain("GET", "/"));
            assert_eq!(story.span().kind(), kind, "{setting} on {listener}");
        }
    }
}

#[test]
fn a_gateway_can_make_two_spans_of_which_the_clients_id_goes_upstream() {
    let mut story = Story::new(json!({"span_kind": "both", "sampling": {"ratio": 0}}));
    for (context, parent) in [(None, ""), (Some(DROPPED), CALLER)] {
        let request = story.request("gateway", get(context.map(|value| ("traceparent", value))));
        let sent = request.forwarded_headers(&story).traceparent();
        request.respond(&mut story, 503);
        let spans = story.spans();
        let of = |kind| spans.iter().find(|span| span.kind() == kind).expect("a span of each kind");
        let (server, client) = (of(SpanKind::Server), of(SpanKind::Client));
        assert_eq!(spans.len(), 2);
        assert_eq!((client.trace_id(), client.span_id()), (sent.trace_id.clone(), sent.parent_id.clone()));
        assert_eq!(client.parent_span_id(), server.span_id());
        assert_eq!((server.trace_id(), server.parent_span_id()), (sent.trace_id, parent.to_owned()));
        assert_ne!(server.span_id(), client.span_id());
        let remote = if parent.is_empty() { 0x100 } else { 0x300 };
        assert_eq!((server.span.flags & !0xff, client.span.flags & !0xff), (remote, 0x100), "the inner link is local");
        for span in [server, client] {
            assert_eq!(span.attribute("tracelift.upgrade.trigger"), "http_status");
            assert_eq!(span.span.trace_state, "ot=th:0");
        }
    }
}

#[test]
fn flags_say_what_the_traceparent_said_and_whether_the_parent_is_remote() {
    let mut story = Story::new(keep_all());
    for (context, flags) in [(None, 0x103), (Some("01"), 0x301), (Some("03"), 0x303), (Some("ff"), 0x303)] {
        let context = context.map(|flags| ("traceparent", format!("00-{TRACE}-{CALLER}-{flags}")));
        story.hop("inbound", get(context));
        assert_eq!(story.span().span.flags, flags);
    }
}

#[test]
fn a_span_is_named_by_method_and_template_and_never_by_path() {
    let mut story = Story::new(keep_all());
    for (method, route, name, known) in [
        ("GET", "default", "GET", "GET"),
        ("POST", "/orders/{id}", "POST /orders/{id}", "POST"),
        ("QUERY", "", "QUERY", "QUERY"),
        ("get", "/", "HTTP /", "_OTHER"),
        ("BREW", "default", "HTTP", "_OTHER"),
        ("PATCH", "no/template", "PATCH", "PATCH"),
        ("DELETE", "/a?b", "DELETE", "DELETE"),
    ] {
        let request = story.open(inbound(plain(method, "/orders/42")).property("xds.route_name", route));
        request.respond(&mut story, 200);
        let span = story.span();
        assert_eq!(span.name(), name);
        assert_eq!(span.attribute("http.request.method"), known);
        assert_eq!(span.attribute("http.request.method_original").is_present(), known == "_OTHER", "{method}");
        assert_eq!(span.attribute("http.route").is_present(), name.contains(' '), "{name}");
        assert_eq!(span.attribute("url.path"), "/orders/42");
    }
}

#[test]
fn status_and_error_type_are_judged_by_side() {
    use StatusCode::{Error, Unset};
    let mut story = Story::new(keep_all());
    for (status, server, client) in [
        (200, Unset, Unset),
        (304, Unset, Unset),
        (404, Unset, Error),
        (429, Unset, Error),
        (500, Error, Error),
        (503, Error, Error),
    ] {
        for (listener, expected) in [("inbound", server), ("outbound", client)] {
            story.request(listener, plain("GET", "/")).respond(&mut story, status);
            let span = story.span();
            assert_eq!(span.status(), expected, "{status} on {listener}");
            assert_eq!(span.attribute("http.response.status_code"), i64::from(status));
            let error = span.attribute("error.type");
            assert!(
                if expected == Error { error == &status.to_string()[..] } else { !error.is_present() },
                "{error:?}"
            );
        }
    }
}

#[test]
fn grpc_spans_have_method_status_and_their_own_judgement() {
    use StatusCode::{Error, Unset};
    let mut story = Story::new(keep_all());
    for (status, text, server, client) in [
        (0, "OK", Unset, Unset),
        (1, "CANCELLED", Unset, Error),
        (5, "NOT_FOUND", Unset, Error),
        (14, "UNAVAILABLE", Error, Error),
        (16, "UNAUTHENTICATED", Unset, Error),
    ] {
        for (listener, expected) in [("inbound", server), ("outbound", client)] {
            story.request(listener, grpc()).respond(&mut story, Response::grpc(status));
            let span = story.span();
            assert_eq!(span.name(), "shop.Cart/Get");
            assert_eq!(span.attribute("rpc.system.name"), "grpc");
            assert_eq!(span.attribute("rpc.method"), "shop.Cart/Get");
            assert_eq!(span.attribute("rpc.status_code"), text);
            assert_eq!(span.status(), expected, "{text} on {listener}");
        }
    }
}

#[test]
fn why_envoy_gave_up_is_in_attributes_and_description() {
    let mut story = Story::new(keep_all());
    story.request("outbound", plain("GET", "/")).local_reply(&mut story, LocalReply::connect_failure());
    let span = story.span();
    assert_eq!(span.attribute("tracelift.response_flags"), "UF,URX");
    let details =
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";
    assert_eq!(span.attribute("tracelift.response_code_details"), details);
    let status = span.span.status.clone().expect("a status");
    assert_eq!((status.code(), status.message), (StatusCode::Error, format!("UF,URX {details}")));
}

/// Attributes as they are when nothing special happens, but for `tracelift.` and `aws.`.
fn conventional(span: &ExportedSpan) -> Vec<&str> {
    let own = |key: &str| key.starts_with("tracelift.") || key.starts_with("aws.");
    let mut keys: Vec<_> = span.attribute_keys().into_iter().filter(|key| !own(key)).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_server_span_has_the_attributes_of_the_conventions() {
    let mut story = Story::new(keep_all());
    story.hop("inbound", get([("user-agent", "curl/8"), ("host", "other")]));
    let span = story.span();
    let keys = [
        "client.address",
        "http.request.method",
        "http.response.status_code",
        "network.peer.address",
        "network.peer.port",
        "network.protocol.version",
        "server.address",
        "server.port",
        "url.path",
        "url.scheme",
        "user_agent.original",
    ];
    assert_eq!(conventional(&span), keys);
    assert_eq!(span.attribute("client.address"), "10.0.0.9");
    assert_eq!(span.attribute("network.peer.port"), 41234);
    assert_eq!(span.attribute("server.address"), "cart.example");
    assert_eq!(span.attribute("server.port"), 80);
    assert_eq!(span.attribute("network.protocol.version"), "1.1");
    assert_eq!(span.attribute("user_agent.original"), "curl/8");
    assert_eq!(span.scope, "tracelift");
}

#[test]
fn a_client_span_has_the_attributes_of_the_conventions() {
    let mut story = Story::new(keep_all());
    let headers = [(":method", "GET"), (":path", "/items?q=1"), (":authority", "stock:8080"), (":scheme", "http")];
    let request = story.request("outbound", headers);
    request.set_property(&mut story, "xds.cluster_name", "outbound|8080||stock.shop.svc.cluster.local");
    request.respond(&mut story, 200);
    let span = story.span();
    let keys = [
        "http.request.method",
        "http.response.status_code",
        "network.peer.address",
        "network.peer.port",
        "peer.service",
        "server.address",
        "server.port",
        "url.full",
    ];
    assert_eq!(conventional(&span), keys);
    assert_eq!(span.attribute("url.full"), "http://stock:8080/items");
    assert_eq!(span.attribute("server.port"), 8080);
    assert_eq!(span.attribute("peer.service"), "stock");
    assert_eq!(span.attribute("network.peer.address"), "10.0.0.2");
    assert_eq!(span.attribute("tracelift.upstream_cluster"), "outbound|8080||stock.shop.svc.cluster.local");
}

#[test]
fn forwarding_headers_are_believed_inside_the_mesh_and_not_at_its_edge() {
    let forwarded = [("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https")];
    for (edge, address, scheme, port) in [(false, "shop.example", "https", 443), (true, "cart.example", "http", 80)] {
        let mut story = Story::new(kept(json!({ "edge": edge })));
        story.hop("gateway", get(forwarded));
        let span = story.span();
        assert_eq!(span.attribute("server.address"), address);
        assert_eq!(span.attribute("url.scheme"), scheme);
        assert_eq!(span.attribute("server.port"), port);
    }
}

#[test]
fn time_runs_from_the_requests_arrival_to_the_streams_end() {
    let mut story = Story::new(keep_all());
    story.advance(Duration::from_millis(1_234));
    let start = story.now();
    let request = story.request("inbound", plain("GET", "/"));
    story.advance(Duration::from_millis(250));
    request.response_headers(&mut story, [(":status", "200")], false);
    story.advance(Duration::from_millis(750));
    request.response_body(&mut story, "", true);
    request.end(&mut story);
    let span = story.span().span;
    assert_eq!(u128::from(span.start_time_unix_nano), start.as_nanos());
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000_000);
}

#[test]
fn the_tracestate_is_on_the_span_unless_the_collector_could_not_bear_a_th() {
    for (exported, state) in [(true, "ot=rv:ffffffffffffff;th:0,foo=1"), (false, "")] {
        let mut story = Story::new(json!({
            "sampling": {"mode": "independent", "ratio": 1},
            "export": {"tracestate": exported},
        }));
        let sent = story.hop("inbound", get([("traceparent", SAMPLED), ("tracestate", "foo=1,ot=rv:ffffffffffffff")]));
        assert_eq!(sent.text("tracestate"), Some("ot=rv:ffffffffffffff;th:0,foo=1"), "what goes upstream is the same");
        assert_eq!(story.span().span.trace_state, state);
    }
}

#[test]
fn the_response_of_an_older_envoy_without_its_newer_properties_still_makes_a_span() {
    let text = keep_all().to_string();
    let mut story = Story::start(builder().outbound(&text).inbound(&text));
    let mut spec = inbound(plain("GET", "/items"));
    for path in [
        "xds.listener_direction",
        "xds.route_name",
        "xds.cluster_name",
        "request.time",
        "request.protocol",
        "response.code",
        "response.flags",
        "source.address",
        "destination.address",
        "upstream.address",
    ] {
        spec = spec.property(path, tracelift_host::Property::ABSENT);
    }
    story.open(spec).respond(&mut story, 200);
    let span = story.span();
    assert_eq!((span.name(), span.kind()), ("GET", SpanKind::Server));
    assert_eq!(span.attribute("http.response.status_code"), 200);
    assert_eq!(span.span.start_time_unix_nano, span.span.end_time_unix_nano);
}

#[test]
fn each_of_many_spans_arrives_exactly_once() {
    let mut story = Story::new(keep_all());
    let sent: Vec<_> = (0..1_500).map(|_| story.hop("inbound", Headers::new()).traceparent().parent_id).collect();
    let mut arrived = Vec::new();
    for _ in 0..5 {
        arrived.extend(story.spans().iter().map(ExportedSpan::span_id));
    }
    let mut sent = sent;
    sent.sort();
    arrived.sort();
    assert_eq!(arrived, sent);
}
