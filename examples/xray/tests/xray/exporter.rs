//! The rules of the exporter, one by one, on spans of its own making: no Envoy, no collector.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tracelift_envoy::ReceivedSpan;
use tracelift_xray::ExporterSettings;
use tracelift_xray::translate::documents;

fn text(value: &str) -> Any {
    Any::StringValue(value.to_owned())
}

fn pairs(list: &[(&str, Any)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, Any)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(value.clone()) }),
        ..KeyValue::default()
    };
    list.iter().map(pair).collect()
}

fn span(kind: SpanKind, parent: bool, attributes: &[(&str, Any)]) -> ReceivedSpan {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        parent_span_id: if parent { vec![9; 8] } else { Vec::new() },
        name: "GET /x?".to_owned(),
        kind: kind.into(),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 5_000_000,
        attributes: pairs(attributes),
        ..Span::default()
    };
    let resource = Resource { attributes: pairs(&[("service.name", text("cart"))]), ..Resource::default() };
    ReceivedSpan { resource: Arc::new(resource), span: Arc::new(span) }
}

fn only(received: &ReceivedSpan, settings: &ExporterSettings) -> Value {
    let mut made = documents(received, settings).unwrap();
    assert_eq!(made.len(), 1);
    made.remove(0)
}

fn of(received: &ReceivedSpan) -> Value {
    only(received, &ExporterSettings::default())
}

#[test]
fn servers_and_roots_are_segments_and_other_spans_with_a_parent_are_subsegments() {
    use SpanKind::{Client, Internal, Server};
    for (kind, parent, subsegment, namespace) in [
        (Server, true, false, Value::Null),
        (Server, false, false, Value::Null),
        (Client, true, true, json!("remote")),
        (Client, false, false, json!("remote")),
        (Internal, true, true, Value::Null),
    ] {
        let document = of(&span(kind, parent, &[]));
        let expected = if subsegment { json!("subsegment") } else { Value::Null };
        assert_eq!((&document["type"], &document["namespace"]), (&expected, &namespace), "{kind:?} {parent}");
        let resource = &document["metadata"]["default"]["otel.resource.service.name"];
        assert_eq!(resource.is_null(), subsegment, "of segments only");
    }
}

#[test]
fn the_name_is_the_first_that_there_is() {
    use SpanKind::{Client, Server};
    let peer = || ("peer.service", text("payments"));
    let remote = || ("aws.remote.service", text("remote"));
    let local = || ("aws.local.service", text("local"));
    let host = || ("server.address", text("shop.example"));
    for (kind, attributes, expected) in [
        (Server, vec![local(), peer(), host()], "local"),
        (Server, vec![remote(), host()], "cart"),
        (Client, vec![remote(), local(), peer()], "remote"),
        (Client, vec![local(), peer(), host()], "payments"),
        (Client, vec![host()], "shop.example"),
        (Client, vec![], "GET /x"),
    ] {
        assert_eq!(of(&span(kind, true, &attributes))["name"], expected, "{kind:?} {attributes:?}");
    }
}

#[test]
fn a_status_as_text_is_not_seen_and_a_code_that_tells_nothing_leaves_it_to_the_spans_status() {
    let failed = |attributes: &[(&str, Any)]| {
        let mut received = span(SpanKind::Server, true, attributes);
        Arc::make_mut(&mut received.span).status =
            Some(Status { code: StatusCode::Error.into(), message: "UF refused".to_owned() });
        of(&received)
    };
    for (code, fault, error) in [
        (Any::IntValue(200), true, false),
        (Any::IntValue(404), false, true),
        (Any::IntValue(599), true, false),
        (Any::IntValue(600), true, false),
        (text("404"), true, false),
    ] {
        let document = failed(&[("http.response.status_code", code.clone())]);
        assert_eq!((&document["fault"], &document["error"]), (&fault.into(), &error.into()), "{code:?}");
        assert_eq!(document["cause"]["exceptions"][0]["message"], "UF refused");
    }
    assert_eq!(of(&span(SpanKind::Server, true, &[]))["fault"], false);
}

#[test]
fn a_servers_url_is_put_together_and_a_clients_is_given_whole() {
    let server = |more: &[(&str, Any)]| {
        let mut all =
            vec![("server.address", text("shop.example")), ("url.scheme", text("https")), ("url.path", text("/cart"))];
        all.extend(more.iter().cloned());
        of(&span(SpanKind::Server, true, &all))["http"]["request"]["url"].clone()
    };
    assert_eq!(server(&[]), "https://shop.example/cart");
    assert_eq!(server(&[("server.port", Any::IntValue(443))]), "https://shop.example/cart");
    assert_eq!(server(&[("server.port", Any::IntValue(8443))]), "https://shop.example:8443/cart");
    assert_eq!(server(&[("url.query", text("a=b"))]), "https://shop.example/cart?a=b");
    let client =
        span(SpanKind::Client, true, &[("url.full", text("http://bank/pay")), ("network.peer.port", Any::IntValue(1))]);
    assert_eq!(of(&client)["http"]["request"]["url"], "http://bank/pay");
    assert!(of(&span(SpanKind::Server, true, &[("url.path", text("/cart"))]))["http"].is_null(), "no host, no URL");
}

#[test]
fn only_an_ip_address_is_a_client() {
    for (address, shown) in [("203.0.113.7", true), ("2001:db8::1", true), ("203.0.113.7:80", false), ("client", false)]
    {
        let document = of(&span(
            SpanKind::Server,
            true,
            &[("client.address", text(address)), ("http.request.method", text("GET"))],
        ));
        assert_eq!(document["http"]["request"]["client_ip"].is_string(), shown, "{address}");
        assert_eq!(document["http"]["request"]["x_forwarded_for"], true, "no peer is known");
    }
}

#[test]
fn annotations_are_what_the_settings_and_the_span_name_and_lists_are_never_one() {
    let names =
        ArrayValue { values: vec![AnyValue { value: Some(text("b.c")) }, AnyValue { value: Some(text("list")) }] };
    let list = ArrayValue { values: vec![AnyValue { value: Some(text("x")) }] };
    let received = span(
        SpanKind::Server,
        true,
        &[
            ("a-1", text("indexed")),
            ("b.c", Any::IntValue(3)),
            ("d", Any::BoolValue(true)),
            ("list", Any::ArrayValue(list)),
            ("http.request.method", text("GET")),
            ("aws.xray.annotations", Any::ArrayValue(names)),
        ],
    );
    let indexed = |names: &[&str]| ExporterSettings {
        indexed_attributes: names.iter().map(|name| (*name).to_owned()).collect(),
        ..ExporterSettings::default()
    };
    let document = only(&received, &indexed(&["a-1", "http.request.method", "otel.resource.service.name", "absent"]));
    assert_eq!(
        document["annotations"],
        json!({ "a_1": "indexed", "b.c": 3, "http.request.method": "GET", "otel.resource.service.name": "cart" })
    );
    assert_eq!(document["metadata"]["default"], json!({ "d": true, "list": ["x"] }));
    let all = ExporterSettings { index_all_attributes: true, ..ExporterSettings::default() };
    assert_eq!(only(&received, &all)["annotations"]["d"], true);
}

#[test]
fn a_clients_span_that_is_the_first_of_its_service_becomes_two_documents() {
    let first = [
        ("aws.span.kind", text("LOCAL_ROOT")),
        ("aws.local.service", text("cart")),
        ("peer.service", text("payments")),
        ("http.response.status_code", Any::IntValue(503)),
    ];
    let made = documents(&span(SpanKind::Client, false, &first), &ExporterSettings::default()).unwrap();
    let [service, call] = &made[..] else { panic!("{made:?}") };
    assert_eq!((&service["name"], &service["type"], &service["http"]), (&json!("cart"), &Value::Null, &Value::Null));
    assert_eq!(
        (&call["name"], &call["type"], &call["namespace"]),
        (&json!("payments"), &json!("subsegment"), &json!("remote"))
    );
    assert_eq!((&call["parent_id"], &service["fault"], &call["fault"]), (&service["id"], &json!(true), &json!(true)));
    assert_ne!(call["id"], service["id"]);
    assert_eq!(documents(&span(SpanKind::Server, false, &first), &ExporterSettings::default()).unwrap().len(), 1);
}
