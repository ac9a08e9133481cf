//! Spans as a reader sees them: what `build` makes of the facts of a stream.

use proptest::prelude::*;
use tracelift::http::{GrpcStatus, ResponseFlags};
use tracelift::span::{
    AttributeSettings, HttpFacts, Identity, Provenance, Span, SpanKind, Status, Value, bounds, build,
};
use tracelift::trace_context::{SpanId, TraceFlags, TraceId};
use tracelift::upgrade::{Calls, Trigger};

fn identity() -> Identity {
    Identity {
        trace_id: TraceId::from_u128(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).expect("not zero"),
        span_id: SpanId::from_u64(0xb7ad_6b71_6920_3331).expect("not zero"),
        parent_id: None,
        parent_remote: false,
        flags: TraceFlags::from_bits(0b10),
        tracestate: None,
        start_unix_nanos: 1_000,
        end_unix_nanos: 2_000,
    }
}

fn settings(query: bool) -> AttributeSettings {
    AttributeSettings { query, ..AttributeSettings::default() }
}

/// A call from the gateway to the cart, answered by it.
fn request() -> HttpFacts<'static> {
    HttpFacts {
        method: Some(b"GET"),
        path: Some(b"/cart/42?token=secret&sig=abc"),
        scheme: Some(b"http"),
        authority: Some(b"cart.shop:8080"),
        user_agent: Some(b"curl/8"),
        protocol: Some(b"HTTP/1.1"),
        status_code: Some(200),
        code_details: Some(b"via_upstream"),
        source_address: Some(b"10.0.0.7:51234"),
        destination_address: Some(b"10.0.0.8:8080"),
        upstream_address: Some(b"10.0.0.9:80"),
        route_name: Some(b"default"),
        cluster_name: Some(b"outbound|8080||cart.shop.svc.cluster.local"),
        ..HttpFacts::default()
    }
}

fn sampled() -> Provenance<'static> {
    Provenance {
        reason: "ratio",
        rule: None,
        xray_rule: None,
        force_key: None,
        trigger: None,
        adjusted_count: Some(20.0),
        calls: None,
        unrecorded_parent: None,
    }
}

fn span<'a>(kind: SpanKind, query: bool, facts: &HttpFacts<'a>) -> Span<'a> {
    build(&settings(query), kind, identity(), facts, &sampled())
}

fn text(value: &str) -> Option<Value<'_>> {
    Some(value.into())
}

fn list<'a>(span: &Span<'a>) -> Vec<(String, Value<'a>)> {
    span.attributes.iter().map(|(key, value)| (key.clone().into_owned(), value.clone())).collect()
}

fn array<'a>(values: &[&'a str]) -> Value<'a> {
    Value::TextArray(values.iter().map(|value| (*value).into()).collect())
}

#[test]
fn a_server_span_says_what_the_conventions_ask_and_nothing_private() {
    let span = span(SpanKind::Server, false, &request());
    let expected = [
        ("http.request.method", Value::from("GET")),
        ("url.path", "/cart/42".into()),
        ("user_agent.original", "curl/8".into()),
        ("url.scheme", "http".into()),
        ("server.address", "cart.shop".into()),
        ("server.port", Value::Int(8080)),
        ("client.address", "10.0.0.7".into()),
        ("network.peer.address", "10.0.0.7".into()),
        ("network.peer.port", Value::Int(51234)),
        ("network.protocol.version", "1.1".into()),
        ("http.response.status_code", Value::Int(200)),
        ("tracelift.upstream_cluster", "outbound|8080||cart.shop.svc.cluster.local".into()),
        ("tracelift.route_name", "default".into()),
        ("tracelift.sampling.reason", "ratio".into()),
        ("tracelift.sampling.adjusted_count", Value::Double(20.0)),
        (
            "aws.xray.annotations",
            array(&["tracelift.sampling.reason", "tracelift.upstream_cluster", "tracelift.route_name"]),
        ),
    ];
    assert_eq!(list(&span), expected.map(|(key, value)| (key.to_owned(), value)));
    assert_eq!((span.name.as_ref(), &span.status), ("GET", &Status::Unset));
    assert_eq!((span.flags.sampled(), span.flags.random()), (true, true), "an exported span is a sampled one");
}

#[test]
fn a_client_span_names_its_upstream_for_the_trace_map() {
    let span = span(SpanKind::Client, false, &request());
    let expected = [
        ("http.request.method", Value::from("GET")),
        ("url.full", "http://cart.shop:8080/cart/42".into()),
        ("server.address", "cart.shop".into()),
        ("server.port", Value::Int(8080)),
        ("network.peer.address", "10.0.0.9".into()),
        ("network.peer.port", Value::Int(80)),
        ("peer.service", "cart".into()),
        ("http.response.status_code", Value::Int(200)),
    ];
    assert_eq!(list(&span)[..expected.len()], expected.map(|(key, value)| (key.to_owned(), value)));
}

#[test]
fn a_query_is_told_only_when_asked_for_and_never_its_signatures() {
    let server = span(SpanKind::Server, true, &request());
    assert_eq!(server.attribute("url.query").cloned(), text("token=secret&sig=REDACTED"));
    let client = span(SpanKind::Client, true, &request());
    assert_eq!(client.attribute("url.full").cloned(), text("http://cart.shop:8080/cart/42?token=secret&sig=REDACTED"));
}

#[test]
fn user_and_password_of_a_url_are_redacted() {
    for (authority, path, full) in [
        (&b"bob:pw@cart.shop"[..], &b"/"[..], "https://REDACTED:REDACTED@cart.shop/"),
        (b"cart.shop", b"/go/http://bob:pw@x/", "https://cart.shop/go/http://REDACTED:REDACTED@x/"),
        (b"[2001:db8::1]:8443", b"/x", "https://[2001:db8::1]:8443/x"),
        (b"cart.shop", b"*", "https://cart.shop"),
        (b"cart.shop", b"/x#token", "https://cart.shop/x"),
        (b"bob:pw@", b"/x", "https://10.0.0.9:80/x"),
    ] {
        let facts = HttpFacts { authority: Some(authority), path: Some(path), scheme: Some(b"https"), ..request() };
        let client = span(SpanKind::Client, true, &facts);
        assert_eq!(client.attribute("url.full").cloned(), text(full));
        let server = span(SpanKind::Server, true, &facts);
        for span in [client, server] {
            assert!(!format!("{span:?}").contains("pw"), "{span:?}");
        }
    }
}

#[test]
fn listed_headers_are_recorded_line_by_line_and_no_others() {
    let header = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let request_headers = [
        header(":path", b"/cart?token=secret"),
        header("x-tenant", b"gold"),
        header("x-other", b"private"),
        header("x-tenant", b"\xff"),
        header("authorization", b"Bearer secret"),
    ];
    let response_headers = [header("x-cache", b"hit")];
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let settings = AttributeSettings {
        request_headers: names(&["x-tenant", "x-missing", ":path", "", "authorization", "x-tenant"]),
        response_headers: names(&["x-cache"]),
        ..AttributeSettings::default()
    };
    let facts = HttpFacts { request_headers: &request_headers, response_headers: &response_headers, ..request() };
    let span = build(&settings, SpanKind::Server, identity(), &facts, &sampled());
    let headers: Vec<_> = list(&span).into_iter().filter(|(key, _)| key.contains("header")).collect();
    let expected = [
        ("http.request.header.x-tenant", array(&["gold", "\u{fffd}"])),
        ("http.request.header.authorization", array(&["REDACTED"])),
        ("http.response.header.x-cache", array(&["hit"])),
    ];
    assert_eq!(headers, expected.map(|(key, value)| (key.to_owned(), value)));
}

#[test]
fn a_call_that_begins_a_trace_names_its_service_so_that_xray_does_not_take_it_for_the_other() {
    let named = AttributeSettings { service_name: "cart".to_owned(), ..AttributeSettings::default() };
    let root = identity();
    let called = Identity { parent_id: SpanId::from_u64(7), ..identity() };
    for (settings, kind, identity, expected) in [
        (&named, SpanKind::Client, root.clone(), Some("cart")),
        (&named, SpanKind::Client, called, None),
        (&named, SpanKind::Server, root.clone(), None),
        (&settings(false), SpanKind::Client, root, None),
    ] {
        let span = build(settings, kind, identity, &request(), &sampled());
        let local_root = expected.map(|_| Value::from("LOCAL_ROOT"));
        assert_eq!(span.attribute("aws.span.kind"), local_root.as_ref());
        assert_eq!(span.attribute("aws.local.service"), expected.and_then(text).as_ref());
    }
}

#[test]
fn an_upgraded_failure_says_who_failed_and_why() {
    let facts = HttpFacts {
        status_code: Some(503),
        response_flags: ResponseFlags::from_bits(0x8020),
        code_details: Some(b"upstream_reset_before_response_started{remote_connection_failure}"),
        ..request()
    };
    let provenance = Provenance {
        reason: "ratio",
        rule: Some("payments"),
        xray_rule: Some("checkout"),
        force_key: None,
        trigger: Some(Trigger::ResponseFlags(facts.response_flags)),
        adjusted_count: Some(f64::NAN),
        calls: Some(Calls { made: 3, answered: 1, outside: 1, lost: 1 }),
        unrecorded_parent: SpanId::from_u64(0xb7ad_6b71_6920_3331),
    };
    let span = build(&settings(false), SpanKind::Server, identity(), &facts, &provenance);
    let description = "UF,URX upstream_reset_before_response_started{remote_connection_failure}".to_owned();
    assert_eq!(span.status, Status::Error { description });
    for (key, value) in [
        ("http.response.status_code", Some(Value::Int(503))),
        ("error.type", text("503")),
        ("tracelift.response_flags", text("UF,URX")),
        ("tracelift.response_code_details", text("upstream_reset_before_response_started{remote_connection_failure}")),
        ("tracelift.sampling.rule", text("payments")),
        ("tracelift.calls.made", Some(Value::Int(3))),
        ("tracelift.calls.answered", Some(Value::Int(1))),
        ("tracelift.calls.outside", Some(Value::Int(1))),
        ("tracelift.calls.lost", Some(Value::Int(1))),
        ("tracelift.parent.unrecorded", text("b7ad6b7169203331")),
        ("aws.xray.sampling_rule", text("checkout")),
        ("tracelift.upgrade.trigger", text("response_flags")),
        ("tracelift.sampling.adjusted_count", None),
        ("sampling.priority", Some(Value::Int(1))),
        (
            "aws.xray.annotations",
            Some(array(&[
                "tracelift.sampling.reason",
                "tracelift.upgrade.trigger",
                "tracelift.response_flags",
                "tracelift.upstream_cluster",
                "tracelift.route_name",
            ])),
        ),
    ] {
        assert_eq!(span.attribute(key).cloned(), value, "{key}");
    }
}

#[test]
fn a_grpc_call_is_named_by_its_method_once_that_has_answered() {
    let call = HttpFacts {
        method: Some(b"POST"),
        path: Some(b"/shop.v1.Cart/Add"),
        content_type: Some(b"application/grpc"),
        grpc_answer: true,
        grpc_status: GrpcStatus::from_code(13),
        ..request()
    };
    let answered = span(SpanKind::Server, false, &call);
    assert_eq!(answered.name, "shop.v1.Cart/Add");
    assert_eq!(answered.status, Status::Error { description: "gRPC status INTERNAL".to_owned() });
    for (key, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "shop.v1.Cart/Add"),
        ("rpc.status_code", "INTERNAL"),
        ("error.type", "INTERNAL"),
        ("http.request.method", "POST"),
    ] {
        assert_eq!(answered.attribute(key).cloned(), text(value), "{key}");
    }
    assert_eq!(answered.attribute("http.response.status_code"), Some(&Value::Int(200)));

    let invented = HttpFacts { path: Some(b"/no.Such/Method"), grpc_status: GrpcStatus::from_code(12), ..call };
    let invented = span(SpanKind::Server, false, &invented);
    assert_eq!(invented.name, "grpc");
    assert_eq!(invented.attribute("rpc.method").cloned(), text("_OTHER"));
    assert_eq!(invented.attribute("rpc.method_original").cloned(), text("no.Such/Method"));

    // What a proxy or a page says in `grpc-status` means nothing without the content type.
    let web = span(SpanKind::Server, false, &HttpFacts { content_type: Some(b"text/html"), ..call });
    assert_eq!((web.name.as_ref(), web.status.clone()), ("POST", Status::Unset));
    assert_eq!(web.attribute("rpc.system.name"), None);
}

#[test]
fn names_stay_few_whatever_clients_send() {
    let routed = HttpFacts { route_name: Some(b"/cart/{id}"), ..request() };
    let server = span(SpanKind::Server, false, &routed);
    assert_eq!((server.name.as_ref(), server.attribute("http.route").cloned()), ("GET /cart/{id}", text("/cart/{id}")));
    let client = span(SpanKind::Client, false, &routed);
    assert_eq!(client.attribute("url.template").cloned(), text("/cart/{id}"));

    let odd = span(SpanKind::Server, false, &HttpFacts { method: Some(b"get\xff"), ..request() });
    assert_eq!(odd.name, "HTTP");
    assert_eq!(odd.attribute("http.request.method").cloned(), text("_OTHER"));
    assert_eq!(odd.attribute("http.request.method_original").cloned(), text("get\u{fffd}"));
}

#[test]
fn a_request_that_envoy_could_not_read_still_makes_a_span() {
    let facts = HttpFacts {
        status_code: Some(400),
        response_flags: ResponseFlags::from_bits(0x4_0000),
        code_details: Some(b"http1.codec_error"),
        reset: true,
        ..HttpFacts::default()
    };
    let span = span(SpanKind::Server, false, &facts);
    assert_eq!((span.name.as_ref(), &span.status), ("HTTP", &Status::Unset));
    assert_eq!(span.attribute("http.request.method").cloned(), text("_OTHER"));
    assert_eq!(span.attribute("tracelift.response_flags").cloned(), text("DPE"));
}

#[test]
fn an_address_out_of_a_header_is_the_client_but_not_the_peer() {
    let server = span(SpanKind::Server, false, &HttpFacts { source_address: Some(b"203.0.113.9:0"), ..request() });
    assert_eq!(server.attribute("client.address").cloned(), text("203.0.113.9"));
    assert_eq!(server.attribute("network.peer.address"), None);
    let pipe = span(SpanKind::Server, false, &HttpFacts { source_address: Some(b"/tmp/envoy.sock"), ..request() });
    assert_eq!(pipe.attribute("client.address"), None);
}

#[test]
fn the_forwarding_headers_of_a_trusted_peer_name_the_server() {
    let behind = HttpFacts {
        forwarded_host: Some(b"shop.example"),
        forwarded_proto: Some(b"https"),
        authority: Some(b"cart"),
        ..request()
    };
    for (trust_forwarded, address, scheme, port) in [(true, "shop.example", "https", 443), (false, "cart", "http", 80)]
    {
        let facts = HttpFacts { trust_forwarded, ..behind };
        let server = span(SpanKind::Server, false, &facts);
        assert_eq!(server.attribute("server.address").cloned(), text(address));
        assert_eq!(server.attribute("url.scheme").cloned(), text(scheme));
        assert_eq!(server.attribute("server.port"), Some(&Value::Int(port)));
        let client = span(SpanKind::Client, false, &facts);
        assert_eq!(client.attribute("url.full").cloned(), text("http://cart/cart/42"));
    }
}

#[test]
fn time_never_runs_backwards_and_a_bad_tracestate_stays_here() {
    for (tracestate, expected) in [
        (Some(b"ot=th:8".to_vec()), Some("ot=th:8")),
        (Some(b"ot=\xff".to_vec()), None),
        (Some("ot=é".as_bytes().to_vec()), None),
        (Some(vec![b'a'; bounds::TRACESTATE + 1]), None),
        (Some(Vec::new()), None),
        (None, None),
    ] {
        let identity = Identity { tracestate, end_unix_nanos: 5, ..identity() };
        let span = build(&settings(false), SpanKind::Server, identity, &request(), &sampled());
        assert_eq!(span.tracestate.as_deref(), expected);
        assert_eq!(span.end_unix_nanos, span.start_unix_nanos);
    }
}

/// Bytes of any sort, of text that clients like to send, and far too many of them.
fn hostile() -> impl Strategy<Value = Option<Vec<u8>>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "(https?:)?/{0,2}[a-z@:%?&#=/.\\[\\]0-9-]{0,40}".prop_map(String::into_bytes),
        ("\\PC{1,3}", 1000_usize..3000).prop_map(|(text, times)| text.repeat(times).into_bytes()),
        Just(b"application/grpc".to_vec()),
        Just(b"/shop.Cart/Add".to_vec()),
        Just(b"via_upstream".to_vec()),
    ];
    proptest::option::of(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_bytes_make_a_span_within_its_bounds(
        texts in proptest::collection::vec(hostile(), 20),
        code in proptest::option::of(any::<u16>()), flags: u64, grpc in proptest::option::of(0_u8..17),
        client: bool, query: bool, reset: bool, trust_forwarded: bool,
    ) {
        let at = |index: usize| texts[index].as_deref();
        let lines: Vec<_> = (0..40).map(|index| (b"x-a".to_vec(), texts[index % 20].clone().unwrap_or_default())).collect();
        let settings = AttributeSettings {
            request_headers: vec!["x-a".to_owned(); 100], response_headers: vec!["x-a".to_owned()], query,
            service_name: String::from_utf8_lossy(at(15).unwrap_or_default()).into_owned(),
        };
        let facts = HttpFacts {
            method: at(0), path: at(1), scheme: at(2), authority: at(3), user_agent: at(4), protocol: at(5),
            forwarded: at(6), forwarded_proto: at(7), forwarded_host: at(8), trust_forwarded, content_type: at(9),
            grpc_answer: client, grpc_method_seen: query, grpc_status: grpc.and_then(GrpcStatus::from_code), status_code: code,
            response_flags: ResponseFlags::from_bits(flags), reset, lasting: query, code_details: at(10), source_address: at(11),
            destination_address: at(12), upstream_address: at(13), template: at(19), route_name: at(14), cluster_name: at(15),
            transport_failure_reason: at(16), request_headers: &lines, response_headers: &lines,
        };
        let rule = at(17).map(String::from_utf8_lossy);
        let provenance = Provenance { reason: "rule", rule: rule.as_deref(), xray_rule: None, force_key: None, trigger: Some(Trigger::Reset), adjusted_count: Some(1.0), calls: None, unrecorded_parent: None };
        let identity = Identity { tracestate: texts[18].clone(), ..identity() };
        let kind = if client { SpanKind::Client } else { SpanKind::Server };
        let span = build(&settings, kind, identity, &facts, &provenance);

        prop_assert!(!span.name.is_empty() && span.name.len() <= bounds::CONFIGURED + 8);
        if let Status::Error { description } = &span.status {
            prop_assert!(description.len() <= bounds::DESCRIPTION);
        }
        let mut keys: Vec<_> = span.attributes.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), all);
        let mut bytes = span.tracestate.as_ref().map_or(0, String::len);
        for (key, value) in &span.attributes {
            bytes += key.len();
            match value {
                Value::Text(text) => {
                    prop_assert!(text.len() <= bounds::URL, "{} has {}", key, text.len());
                    bytes += text.len();
                }
                Value::TextArray(texts) => {
                    prop_assert!(texts.iter().all(|text| text.len() <= bounds::TEXT));
                    bytes += texts.iter().map(|text| text.len()).sum::<usize>();
                }
                Value::Int(_) | Value::Bool(_) | Value::Double(_) => bytes += 8,
            }
        }
        prop_assert!(bytes < 32 * 1024, "{} bytes", bytes);
        if !query {
            prop_assert_eq!(span.attribute("url.query"), None);
            if let Some(Value::Text(url)) = span.attribute("url.full") {
                prop_assert!(!url.contains('?'));
            }
        }
    }
}
