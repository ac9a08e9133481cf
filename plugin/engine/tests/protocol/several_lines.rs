//! Headers in several lines (RFC 9110, section 5.3): lists are joined; what may be there once is never read in part.

use tracelift::door::Side;

use crate::kit::collector::attribute;
use crate::kit::process::{Process, get, lines, status};

const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
const TWO: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const XRAY_ONE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const XRAY_TWO: &str = "Root=1-5759e988-aaaaaaaafe1be46a99427279;Parent=53995c3f42cd8ad8;Sampled=1";
const B3_ONE: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
const B3_TWO: &str = "0af7651916cd43dd8448eb211c80319c-e457b5a2e4d86bd1-1";

#[test]
fn a_context_that_came_twice_is_none() {
    for (propagator, request, ids) in [
        ("tracecontext", &[("traceparent", ONE), ("traceparent", TWO)][..], [&ONE[3..35], &TWO[3..35]]),
        ("tracecontext", &[("traceparent", ONE), ("traceparent", ONE)], [&ONE[3..35]; 2]),
        (
            "xray",
            &[("x-amzn-trace-id", XRAY_ONE), ("x-amzn-trace-id", XRAY_TWO)],
            ["bd862e3fe1be46a994272793", "aaaaaaaafe1be46a99427279"],
        ),
        ("b3", &[("b3", B3_ONE), ("b3", B3_TWO)], [&B3_ONE[..32], &B3_TWO[..32]]),
        (
            "b3multi",
            &[("x-b3-traceid", &B3_ONE[..32]), ("x-b3-traceid", &B3_TWO[..32]), ("x-b3-spanid", &B3_ONE[33..49])],
            [&B3_ONE[..32], &B3_TWO[..32]],
        ),
    ] {
        let (mut process, root) =
            Process::with(&format!(r#"{{"propagators": ["{propagator}"], "sampling": {{"ratio": 1}}}}"#));
        let stream = process.stream(0, root);
        process.head(&stream, get(request));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
        process.export();
        assert_eq!(process.metric("context.restarted"), 1, "{request:?}");
        let sent = stream.exchange.side(Side::Request);
        let sent: Vec<_> = sent.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        for id in ids {
            assert!(!sent.iter().any(|(_, value)| value.contains(id)), "{id} in {sent:?}");
        }
    }
}

#[test]
fn the_lines_of_a_tracestate_are_one_list() {
    let (mut process, root) = Process::with("{}");
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", ONE), ("tracestate", "a=1"), ("tracestate", "b=2")]));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    assert_eq!(process.export()[0].trace_state, "a=1,b=2");
}

#[test]
fn lines_of_a_grpc_status_that_disagree_are_an_unknown_status() {
    for (said, kept) in [
        (&["0"][..], None),
        (&["0", "0"], None),
        (&["0", "14"], Some("UNKNOWN")),
        (&["14", "14"], Some("UNAVAILABLE")),
        (&["5", "0"], Some("UNKNOWN")),
    ] {
        for trailers_only in [false, true] {
            let (mut process, root) = Process::with(r#"{"sampling": {"ratio": 0}}"#);
            let stream = process.stream(0, root);
            process.head(&stream, get(&[("content-type", "application/grpc")]));
            let said: Vec<_> = said.iter().map(|code| ("grpc-status", *code)).collect();
            if trailers_only {
                process.answer(&stream, status(200, &said), true);
            } else {
                process.answer(&stream, status(200, &[]), false);
                process.trailers(&stream, lines(&said));
            }
            process.log(&stream);
            let spans = process.export();
            let found = spans.first().and_then(|span| attribute(span, "rpc.status_code"));
            assert_eq!(found.as_deref(), kept, "{said:?}");
        }
    }
}

#[test]
fn of_forwarding_headers_the_first_element_counts_and_of_content_types_none_if_they_disagree() {
    let (mut process, root) = Process::with(r#"{"span_kind": "server", "sampling": {"ratio": 1}}"#);
    for (more, host, system) in [
        (&[("forwarded", "host=first.shop"), ("forwarded", "host=second.shop")][..], "first.shop", None),
        (&[("x-forwarded-host", "first.shop"), ("x-forwarded-host", "second.shop")], "first.shop", None),
        (&[("content-type", "application/grpc")], "cart.shop", Some("grpc")),
        (&[("content-type", "application/grpc"), ("content-type", "application/grpc")], "cart.shop", Some("grpc")),
        (&[("content-type", "application/grpc"), ("content-type", "text/html")], "cart.shop", None),
        (
            &[("content-type", "application/grpc"), ("content-type", "a/b"), ("content-type", "application/grpc")],
            "cart.shop",
            None,
        ),
    ] {
        let stream = process.stream(0, root);
        process.head(&stream, get(more));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
        process.export();
        let span = process.exported.last().expect("a span");
        assert_eq!(attribute(span, "server.address").as_deref(), Some(host), "{more:?}");
        assert_eq!(attribute(span, "rpc.system.name").as_deref(), system, "{more:?}");
    }
}
