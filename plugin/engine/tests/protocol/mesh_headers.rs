//! Response headers for the mesh alone, marks and the name of a route, leave it by no way: whatever is counted, covered or kept.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::process::{Process, get, lines, status};

const DROPPED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
/// What an answer has of the mesh, and one header of its own.
const ANSWER: [(&str, &str); 4] = [("x-route", "/cart"), ("x-keep", "1"), ("x-keep", "2"), ("x-own", "1")];

fn configuration(edge: bool, metrics: &str, coverage: bool, rule: &str) -> String {
    format!(
        r#"{{"edge": {edge}, "metrics": {{{metrics}"route_header": "X-Route"}}, "sampling": {{"ratio": 0, "rules": [{{{rule}}}]}},
            "upgrade": {{"response_headers": {{"x-keep": {{"present": true}}}}, "coverage": {{"enabled": {coverage}}}}}}}"#
    )
}

#[test]
fn at_the_edge_they_are_taken_off_whether_or_not_anything_looks_at_the_request() {
    for edge in [true, false] {
        for metrics in ["", r#""enabled": true, "#] {
            for coverage in [true, false] {
                for rule in ["", r#""metrics": false"#, r#""ratio": 1"#, r#""upgrade": false"#] {
                    let configuration = configuration(edge, metrics, coverage, rule);
                    let (mut process, root) = Process::with(&configuration);
                    let stream = process.stream(0, root);
                    process.head(&stream, get(&[("traceparent", DROPPED)]));
                    process.answer(&stream, status(200, &ANSWER), false);
                    process.trailers(&stream, lines(&ANSWER));
                    process.log(&stream);
                    for side in [Side::Response, Side::Trailers] {
                        let left = ["x-route", "x-keep", "x-own"].map(|name| stream.exchange.values(side, name).len());
                        assert_eq!(left, if edge { [0, 0, 1] } else { [1, 2, 1] }, "{side:?} {configuration}");
                    }
                }
            }
        }
    }
}

#[test]
fn they_are_taken_off_an_answer_before_any_request_as_well() {
    let (mut process, root) = Process::with(&configuration(true, "", false, ""));
    let stream = process.stream(0, root);
    process.answer(&stream, status(503, &ANSWER), true);
    process.log(&stream);
    assert_eq!(
        ["x-route", "x-keep", "x-own"].map(|name| stream.exchange.values(Side::Response, name).len()),
        [0, 0, 1]
    );
}

#[test]
fn the_trailer_header_does_not_name_trailers_that_are_taken_off() {
    for (said, edge, left) in [
        (&["x-route"][..], true, &[][..]),
        (&["X-Keep, x-own", "x-tracelift-signal,traceresponse"], true, &["x-own"]),
        (&["x-own,server-timing", "expires"], true, &["x-own,server-timing", "expires"]),
        (&["x-own , x-route,server-timing"], true, &["x-own, server-timing"]),
        (&["x-route"], false, &["x-route"]),
    ] {
        let (mut process, root) = Process::with(&configuration(edge, "", false, ""));
        let stream = process.stream(0, root);
        process.head(&stream, get(&[]));
        let said: Vec<_> = said.iter().map(|line| ("trailer", *line)).collect();
        process.answer(&stream, status(200, &said), false);
        process.trailers(&stream, lines(&[("x-route", "/cart"), ("x-own", "1")]));
        process.log(&stream);
        assert_eq!(stream.exchange.values(Side::Response, "trailer"), left, "{said:?}");
    }
}

#[test]
fn one_that_the_host_does_not_take_off_is_counted() {
    let (mut process, root) = Process::with(&configuration(true, "", false, ""));
    let stream = process.stream(0, root);
    process.head(&stream, get(&[]));
    process.state.faults.set(Operation::Remove, 1);
    process.answer(&stream, status(200, &ANSWER), true);
    process.log(&stream);
    process.tick_all();
    assert_eq!(process.metric("errors.hostcall"), 2);
}

#[test]
fn a_request_that_coverage_keeps_has_its_route_on_its_span_and_a_shadow_shows_none() {
    for (shadow, code, named, route) in [
        (false, 200, None, Some("/users/{id}")),
        (false, 200, Some("/named"), Some("/named")),
        (false, 404, Some("no route"), Some("/users/{id}")),
        (true, 503, None, None),
        (true, 503, Some("/named"), None),
    ] {
        let coverage = r#""coverage": {"enabled": true}"#;
        let (live, shadow) = if shadow { ("", coverage) } else { (coverage, "") };
        let configuration = format!(
            r#"{{"sampling": {{"ratio": 0}}, "upgrade": {{{live}}}, "shadow": {{"upgrade": {{{shadow}}}}},
                "metrics": {{"routes": ["/users/{{id}}"], "route_header": "x-route"}}}}"#
        );
        let (mut process, root) = Process::with(&configuration);
        let stream = process.stream(0, root);
        stream.exchange.set_text(Attribute::RouteName, b"an operator's name");
        process.head(&stream, lines(&[(":method", "GET"), (":path", "/users/7"), (":scheme", "http")]));
        let named: Vec<_> = named.into_iter().map(|named| ("x-route", named)).collect();
        process.answer(&stream, status(code, &named), true);
        process.log(&stream);
        let spans = process.export();
        assert_eq!(attribute(&spans[0], "http.route").as_deref(), route, "{configuration}");
    }
}
