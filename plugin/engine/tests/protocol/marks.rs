//! `upgrade.response_headers`: what the application marks in its answer is kept, as a failure is.

use tracelift::door::Side;

use crate::kit::process::{Process, get, lines, status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const DROPPED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const HEADERS: &str = r#""response_headers": {"X-Order-Value": {"regex": "[0-9]{5,}"}, "x-keep": {"present": true}}"#;

fn configuration(upgrade: &str) -> String {
    format!(r#"{{"sampling": {{"ratio": 0}}, "upgrade": {{{HEADERS}{upgrade}}}}}"#)
}

/// What a request with this answer is kept for, and what its caller hears.
fn kept(configuration: &str, caller: &str, code: u16, more: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
    let (mut process, root) = Process::with(configuration);
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", caller)]));
    process.answer(&stream, status(code, more), true);
    process.log(&stream);
    (stream.exchange.decision(), stream.exchange.values(Side::Response, "x-tracelift-signal"))
}

#[test]
fn any_mark_of_the_application_keeps_the_trace_and_its_caller_hears_so() {
    let upgraded = format!("2;upgraded;{TRACE}");
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Headers<'_>, u16, Option<&str>); 7] = [
        (&[("x-order-value", "12345")], 200, Some("upgraded.response_header")),
        (&[("x-order-value", "1234")], 200, None),
        (&[("x-order-value", "1234"), ("x-keep", "")], 200, Some("upgraded.response_header")),
        (&[("x-keep", "yes"), ("x-keep", "very")], 404, Some("upgraded.response_header")),
        (&[("x-order-value", "12345"), ("x-order-value", "9")], 200, None),
        (&[("x-keep", "yes")], 503, Some("upgraded.http_status")),
        (&[], 200, None),
    ];
    for (headers, code, reason) in rows {
        let (decision, heard) = kept(&configuration(""), DROPPED, code, headers);
        assert_eq!(decision.as_deref(), reason, "{headers:?}");
        assert_eq!(heard, if reason.is_some() { vec![upgraded.clone()] } else { Vec::new() }, "{headers:?}");
    }
}

#[test]
fn a_mark_is_charged_to_the_budget_and_shed_beyond_it() {
    let (decision, heard) = kept(&configuration(r#", "traces_per_second": 0"#), DROPPED, 200, &[("x-keep", "1")]);
    assert_eq!((decision, heard), (None, vec![format!("2;shed;{TRACE}")]));
}

#[test]
fn a_request_that_was_sampled_stands_for_itself_once_it_is_marked() {
    let (mut process, root) = Process::with(&configuration(""));
    for (number, mark) in [(1, ""), (2, "1")] {
        let stream = process.stream(0, root);
        let caller = format!("00-{number:032x}-b7ad6b7169203331-03");
        process.head(&stream, get(&[("traceparent", &caller), ("tracestate", "ot=th:0")]));
        let head = if mark.is_empty() { status(200, &[]) } else { status(200, &[("x-keep", mark)]) };
        process.answer(&stream, head, true);
        process.log(&stream);
        assert_eq!(
            stream.exchange.decision().as_deref(),
            Some(if mark.is_empty() { "sampled" } else { "upgraded.response_header" })
        );
    }
    process.tick_all();
    assert_eq!(process.metric("upgrades.response_header"), 0, "neither had been dropped");
    let (decision, _) = kept(&configuration(""), SAMPLED, 200, &[("x-keep", "1")]);
    assert_eq!(decision.as_deref(), Some("upgraded.response_header"));
}

#[test]
fn trailers_and_requests_mark_nothing() {
    let (mut process, root) = Process::with(&configuration(""));
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", DROPPED), ("x-keep", "1")]));
    process.answer(&stream, status(200, &[]), false);
    process.trailers(&stream, lines(&[("x-keep", "1")]));
    process.log(&stream);
    assert_eq!(stream.exchange.decision(), None);
}

#[test]
fn at_the_edge_marks_are_taken_off_and_not_believed() {
    let edge = configuration("").replacen('{', r#"{"edge": true, "#, 1);
    let (mut process, root) = Process::with(&edge);
    let stream = process.stream(0, root);
    process.head(&stream, get(&[]));
    process.answer(&stream, status(200, &[("x-keep", "1"), ("x-order-value", "7"), ("x-other", "1")]), true);
    process.log(&stream);
    assert_eq!(stream.exchange.decision(), None);
    for (name, left) in [("x-keep", 0), ("x-order-value", 0), ("x-other", 1)] {
        assert_eq!(stream.exchange.values(Side::Response, name).len(), left, "{name}");
    }
}

#[test]
fn a_shadow_has_marks_of_its_own() {
    for (live, shadow, mark, counts) in
        [("", HEADERS, "x-keep", (1, 1)), (HEADERS, "", "x-keep", (0, 0)), ("", HEADERS, "x-other", (0, 0))]
    {
        let configuration =
            format!(r#"{{"sampling": {{"ratio": 0}}, "upgrade": {{{live}}}, "shadow": {{"upgrade": {{{shadow}}}}}}}"#);
        let (mut process, root) = Process::with(&configuration);
        let stream = process.stream(0, root);
        process.head(&stream, get(&[("traceparent", DROPPED)]));
        process.answer(&stream, status(200, &[(mark, "1")]), true);
        process.log(&stream);
        process.tick_all();
        let found = (process.metric("shadow.upgrades"), process.metric("shadow.disagreements.kept"));
        assert_eq!(found, counts, "{live} {shadow} {mark}");
    }
}
