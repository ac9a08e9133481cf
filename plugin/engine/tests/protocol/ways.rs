//! Envoy's own ways to end a request, which look like failures to a filter that does not know them.

use opentelemetry_proto::tonic::trace::v1::Span;
use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::process::{Process, Stream, get, lines, status};

const DROPPED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
const EXTERNAL_AUTHORISATION: i64 = 1 << 12;
const CONNECTION_ENDED: i64 = 1 << 6;

/// `span.status.code`.
const ERROR: i32 = 2;

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == ERROR)
}

/// A request that a filter in front of ours answers: its headers are there at its end only. Its body, if it has one, ends.
fn answered_in_front(process: &mut Process, root: u32, caller: &str, code: u16, has_body: bool) -> Stream {
    let stream = process.stream(0, root);
    process.answer(&stream, status(code, &[]), !has_body);
    if has_body {
        process.body_end(&stream);
    }
    stream.exchange.came(Side::Request, get(&[("traceparent", caller)]));
    process.log(&stream);
    process.done(0, stream.context);
    stream
}

#[test]
fn an_answer_of_a_filter_in_front_is_judged_by_its_status_and_spends_no_budget() {
    let (mut process, root) = Process::with(r#"{"upgrade": {"traces_per_second": 1}}"#);
    for code in [200, 204, 301, 401, 403, 404, 429] {
        for has_body in [false, true] {
            let stream = answered_in_front(&mut process, root, DROPPED, code, has_body);
            assert_eq!(stream.exchange.decision(), None, "{code}");
        }
    }
    assert!(process.export().is_empty());
    let stream = answered_in_front(&mut process, root, DROPPED, 503, true);
    assert_eq!(stream.exchange.decision().as_deref(), Some("upgraded.http_status"), "the budget is untouched");
    let span = process.export()[0].clone();
    assert_eq!((process.metric("upgrades.http_status"), process.metric("upgrades.shed")), (1, 0));
    assert_eq!(attribute(&span, "http.response.status_code").as_deref(), Some("503"));
}

#[test]
fn a_refusal_by_a_filter_in_front_is_no_error_of_the_server_and_a_sampled_one_is_exported() {
    let (mut process, root) = Process::with(r#"{"span_kind": "server"}"#);
    for code in [200, 401, 403, 429] {
        let stream = answered_in_front(&mut process, root, SAMPLED, code, true);
        assert_eq!(stream.exchange.decision().as_deref(), Some("sampled"), "{code}");
    }
    let spans = process.export();
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| !is_error(span) && attribute(span, "error.type").is_none()), "{spans:?}");
}

#[test]
fn an_answer_of_a_filter_in_front_is_read_at_the_end_where_no_callback_told_of_it() {
    const CLIENT_LEFT: i64 = 1 << 14;
    for (code, more, flags, kept) in [
        (200, None, 0, None),
        (401, None, 0, None),
        (403, None, EXTERNAL_AUTHORISATION, None),
        (200, Some(("grpc-status", "7")), EXTERNAL_AUTHORISATION, None),
        (200, Some(("grpc-status", "14")), 0, Some("upgraded.grpc_status")),
        (500, None, 0, Some("upgraded.http_status")),
        (403, None, CLIENT_LEFT, Some("upgraded.response_flags")),
    ] {
        let (mut process, root) = Process::with("{}");
        let stream = process.stream(0, root);
        stream.exchange.came(Side::Request, get(&[("traceparent", DROPPED)]));
        stream.exchange.came(Side::Response, status(code, more.as_slice()));
        stream.exchange.set_number(Attribute::ResponseFlags, flags);
        process.log(&stream);
        assert_eq!(stream.exchange.decision().as_deref(), kept, "{code} {more:?}");
        let spans = process.export();
        assert_eq!(spans.len(), usize::from(kept.is_some()));
    }
}

#[test]
fn an_answer_of_a_filter_in_front_that_breaks_off_is_a_reset() {
    let (mut process, root) = Process::with("{}");
    let stream = process.stream(0, root);
    process.answer(&stream, status(200, &[]), false);
    stream.exchange.came(Side::Request, get(&[]));
    process.log(&stream);
    assert_eq!(stream.exchange.decision().as_deref(), Some("upgraded.reset"));
}

#[test]
fn an_answer_of_a_filter_in_front_has_a_grpc_status_too() {
    for (code, kept) in [("0", None), ("7", None), ("14", Some("upgraded.grpc_status"))] {
        let (mut process, root) = Process::with("{}");
        let stream = process.stream(0, root);
        let head = status(200, &[("content-type", "application/grpc"), ("grpc-status", code)]);
        process.answer(&stream, head, true);
        stream.exchange.set_number(Attribute::ResponseFlags, EXTERNAL_AUTHORISATION);
        stream.exchange.came(Side::Request, get(&[("content-type", "application/grpc")]));
        process.log(&stream);
        assert_eq!(stream.exchange.decision().as_deref(), kept, "{code}");
    }
}

/// A request whose upstream answered with a redirect that Envoy follows: there is no answer, and the headers are the next
/// request's at the end.
fn redirected(process: &mut Process, root: u32, caller: &str) -> Stream {
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", caller)]));
    stream.exchange.set_text(Attribute::CodeDetails, b"internal_redirect");
    let context = stream.exchange.values(Side::Request, "traceparent");
    let next = [
        (":method", "GET"),
        (":path", "/next"),
        (":authority", "next.shop"),
        (":scheme", "http"),
        ("x-envoy-original-url", "http://cart.shop/cart"),
        ("traceparent", &context[0]),
    ];
    stream.exchange.came(Side::Request, lines(&next));
    process.log(&stream);
    process.done(0, stream.context);
    stream
}

#[test]
fn a_redirect_that_envoy_follows_is_no_failure_and_its_span_has_its_own_target() {
    for (kind, path) in [("server", ("url.path", "/cart")), ("client", ("url.full", "http://cart.shop/cart"))] {
        let (mut process, root) = Process::with(&format!(r#"{{"span_kind": "{kind}"}}"#));
        assert_eq!(redirected(&mut process, root, DROPPED).exchange.decision(), None);
        assert_eq!(redirected(&mut process, root, SAMPLED).exchange.decision().as_deref(), Some("sampled"));
        let spans = process.export();
        assert_eq!(spans.len(), 1, "{kind}");
        assert_eq!(attribute(&spans[0], path.0).as_deref(), Some(path.1));
        assert_eq!(attribute(&spans[0], "server.address").as_deref(), Some("cart.shop"), "{kind}");
        assert!(!is_error(&spans[0]), "{:?}", spans[0]);
    }
}

#[test]
fn a_switched_protocol_that_is_hung_up_is_no_error_on_its_span() {
    for (method, code, more) in
        [("GET", 101, None), ("CONNECT", 200, None), ("GET", 200, Some(("content-type", "text/event-stream")))]
    {
        let (mut process, root) = Process::with("{}");
        let stream = process.stream(0, root);
        let mut head = get(&[("traceparent", SAMPLED)]);
        head[0].1 = method.into();
        process.head(&stream, head);
        process.answer(&stream, status(code, more.as_slice()), false);
        stream.exchange.set_number(Attribute::ResponseFlags, CONNECTION_ENDED);
        stream
            .exchange
            .set_text(Attribute::CodeDetails, b"upstream_reset_after_response_started{connection_termination}");
        process.log(&stream);
        assert_eq!(stream.exchange.decision().as_deref(), Some("sampled"), "{method} {code}");
        let span = process.export()[0].clone();
        assert!(!is_error(&span) && attribute(&span, "error.type").is_none(), "{span:?}");
        assert_eq!(attribute(&span, "tracelift.response_flags").as_deref(), Some("UC"), "it is still said");
    }
}

/// A sampled request whose route rewrites it; `more` came with it.
fn rewritten(kind: &str, more: &[(&str, &str)], by_route: &[(&str, &str)]) -> Vec<Span> {
    let (mut process, root) = Process::with(&format!(r#"{{"span_kind": "{kind}"}}"#));
    let stream = process.stream(0, root);
    process.head(&stream, get(&[&[("traceparent", SAMPLED)], more].concat()));
    let mut head = stream.exchange.side(Side::Request);
    for (name, value) in by_route {
        head.retain(|(key, _)| key != name.as_bytes());
        head.push(((*name).into(), (*value).into()));
    }
    stream.exchange.came(Side::Request, head);
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.export().to_vec()
}

#[test]
fn what_a_route_rewrote_is_named_as_it_was_asked_for_on_the_side_that_was_asked() {
    let by_route = [
        (":path", "/internal/cart"),
        (":authority", "cart.internal"),
        ("x-envoy-original-path", "/cart"),
        ("x-envoy-original-host", "cart.shop"),
    ];
    let forged = [("x-envoy-original-path", "/fake"), ("x-envoy-original-host", "fake.shop")];
    for more in [&[][..], &forged] {
        let spans = rewritten("both", more, &by_route);
        assert_eq!(attribute(&spans[0], "url.path").as_deref(), Some("/cart"));
        assert_eq!(attribute(&spans[0], "server.address").as_deref(), Some("cart.shop"));
        assert_eq!(attribute(&spans[1], "url.full").as_deref(), Some("http://cart.internal/internal/cart"));
    }
}

#[test]
fn original_path_and_host_are_not_believed_from_a_client() {
    let forged = [
        ("x-envoy-original-path", "/fake"),
        ("x-envoy-original-host", "fake.shop"),
        ("x-envoy-original-url", "http://fake.shop/fake"),
    ];
    let spans = rewritten("both", &forged, &[]);
    assert_eq!(attribute(&spans[0], "url.path").as_deref(), Some("/cart"));
    assert_eq!(attribute(&spans[0], "server.address").as_deref(), Some("cart.shop"));
    assert_eq!(attribute(&spans[1], "url.full").as_deref(), Some("http://cart.shop/cart"));
}
