//! An Envoy whose matcher sends ordinary answers past the filter: everything comes out as without it.

use tracelift::door::{Attribute, Level, Side};

use crate::endings::{ROWS, Row, Way, run};
use crate::kit::collector::attribute;
use crate::kit::process::{Matcher, Process, SECOND, Stream, get, lines, status};

const DROPPED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const NOTABLE: &str = r#"{"span_kind": "server", "envoy": {"answers": "notable"},
    "upgrade": {"latency_ms": 500, "traces_per_second": 1000}}"#;
const UPSTREAM_RESET: i64 = 1 << 4;

fn wrapped(configuration: &str) -> (Process, u32) {
    let (mut process, root) = Process::with(configuration);
    process.matcher = Matcher::Shipped;
    (process, root)
}

/// A request with an answer.
fn asked(process: &mut Process, root: u32, request: &[(&str, &str)], code: u16, answer: &[(&str, &str)]) -> Stream {
    let stream = process.stream(0, root);
    process.head(&stream, get(request));
    process.answer(&stream, status(code, answer), true);
    process.log(&stream);
    process.done(0, stream.context);
    stream
}

/// Envoy has a flag for each answer that breaks off, and for a client that left. gRPC names its content type, which these rows do not.
fn has_a_flag(row: &&Row) -> bool {
    let is_grpc =
        matches!(row.2, Way::Trailers(_, trailers) if trailers.iter().any(|(name, _)| *name == "grpc-status"));
    !is_grpc && (row.3 != 0 || !matches!(row.2, Way::Broken("200") | Way::Nothing) || row.1 == "CONNECT")
}

#[test]
fn grpc_tells_its_status_in_trailers_and_is_never_sent_past_the_filter() {
    let (mut process, root) = wrapped(NOTABLE);
    for kind in ["application/grpc", "Application/grpc+proto"] {
        let stream = process.stream(0, root);
        let caller = format!("00-{:032x}-b7ad6b7169203331-02", stream.context);
        process.head(&stream, get(&[("traceparent", &caller), ("content-type", kind)]));
        process.answer(&stream, status(200, &[("content-type", kind)]), false);
        process.trailers(&stream, lines(&[("grpc-status", "14")]));
        process.log(&stream);
        assert_eq!(stream.exchange.decision().as_deref(), Some("upgraded.grpc_status"));
    }
}

#[test]
fn every_ending_is_judged_as_without_a_matcher_and_once() {
    let (mut process, root) = wrapped(NOTABLE);
    let rows = || ROWS.iter().filter(has_a_flag);
    for row in rows() {
        assert_eq!(run(&mut process, root, row, false).as_deref(), row.5, "{}", row.0);
    }
    assert_eq!(process.export().len(), rows().filter(|row| row.5.is_some()).count());
    for trigger in ["http_status", "grpc_status", "response_flags", "reset", "latency"] {
        let kept = rows().filter(|row| row.5.is_some_and(|kept| kept.ends_with(trigger))).count();
        assert_eq!(process.metric(&format!("upgrades.{trigger}")), kept as i64, "{trigger}");
    }
    assert_eq!(process.metric("answers.unseen"), 0);
    process.check();
}

#[test]
fn a_sampled_request_has_the_span_that_it_had_whoever_sampled_it() {
    let (mut process, root) = wrapped(NOTABLE);
    let rows = || ROWS.iter().filter(has_a_flag);
    for row in rows() {
        let expected = row.5.unwrap_or("sampled");
        assert_eq!(run(&mut process, root, row, true).as_deref(), Some(expected), "{}", row.0);
    }
    let root_of_all = NOTABLE.replace("\"span_kind\"", "\"sampling\": {\"ratio\": 1}, \"span_kind\"");
    let (mut process, root) = wrapped(&root_of_all);
    for code in [200, 404, 503] {
        asked(&mut process, root, &[("user-agent", "test")], code, &[]);
    }
    let broken = process.stream(0, root);
    process.head(&broken, get(&[]));
    process.answer(&broken, status(200, &[]), false);
    broken.exchange.set_number(Attribute::ResponseFlags, UPSTREAM_RESET);
    process.log(&broken);
    let spans = process.export();
    let of = |name| spans.iter().map(|span| attribute(span, name).unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of("http.response.status_code"), ["200", "404", "503", "200"]);
    assert_eq!(of("tracelift.upgrade.trigger"), ["", "", "http_status", "response_flags"]);
    assert_eq!(of("user_agent.original"), ["test", "test", "test", ""]);
}

#[test]
fn a_caller_that_sampled_the_trace_hears_of_it_and_nobody_else_is_answered() {
    let (mut process, root) = wrapped(NOTABLE);
    let sampled = asked(&mut process, root, &[("traceparent", SAMPLED)], 200, &[]);
    assert_eq!(sampled.exchange.values(Side::Response, "traceresponse").len(), 1);
    let dropped = asked(&mut process, root, &[("traceparent", DROPPED)], 200, &[]);
    assert_eq!(dropped.exchange.values(Side::Response, "traceresponse").len(), 0);
    assert_eq!(dropped.exchange.writes(), 1, "its traceparent");
}

#[test]
fn behind_an_application_every_answer_is_asked_for_since_it_may_have_swallowed_a_failure() {
    let (mut process, inbound) = wrapped(NOTABLE);
    let outbound = process.listener(0, "outbound", r#"{"span_kind": "client", "envoy": {"answers": "notable"}}"#);
    let came = process.stream(0, inbound);
    process.head(&came, get(&[("traceparent", DROPPED)]));
    let sent = came.exchange.values(Side::Request, "traceparent").remove(0);
    asked(&mut process, outbound, &[("traceparent", &sent)], 503, &[]);
    process.answer(&came, status(200, &[]), true);
    assert_eq!(came.exchange.values(Side::Response, "traceresponse").len(), 1, "the caller hears of it");
    process.log(&came);
    assert_eq!(process.export().len(), 2);
}

#[test]
fn settings_that_look_at_more_of_an_answer_have_every_answer_shown() {
    for more in [
        r#""shadow": {"sampling": {"ratio": 1}}"#,
        r#""metrics": {"enabled": true}"#,
        r#""upgrade": {"http_status": ["4xx", "5xx"]}"#,
        r#""upgrade": {"coverage": {"enabled": true}}"#,
        r#""upgrade": {"recall": {"enabled": true, "token": "sixteen-characters"}}"#,
        r#""upgrade": {"response_headers": {"x-keep": {"present": true}}}"#,
        r#""upgrade": {"signal": {"accept_previous": true}}"#,
    ] {
        let configuration = format!(r#"{{"span_kind": "server", "envoy": {{"answers": "notable"}}, {more}}}"#);
        let (mut process, root) = wrapped(&configuration);
        assert!(process.logged(Level::Warn, "envoy.answers: \"notable\" saves nothing"), "{more}");
        let stream = asked(&mut process, root, &[("traceparent", DROPPED)], 200, &[]);
        assert!(stream.exchange.noted("tracelift.answer"), "{more}");
        process.export();
        assert_eq!(process.metric("answers.unseen"), 0, "{more}");
    }
}

#[test]
fn a_module_that_was_told_of_no_matcher_keeps_what_failed_and_nothing_else_and_says_so_once() {
    let (mut process, root) = wrapped(r#"{"span_kind": "server"}"#);
    for code in [200, 404, 503, 200] {
        asked(&mut process, root, &[("traceparent", DROPPED)], code, &[]);
    }
    assert_eq!(process.export().len(), 1);
    assert_eq!(process.metric("answers.unseen"), 3);
    let logs = process.state.logs.borrow();
    assert_eq!(logs.iter().filter(|(_, _, text)| text.contains("past the filter that it was to see")).count(), 1);
}

#[test]
fn a_matcher_that_skips_everything_loses_signals_and_no_failure_of_this_hop() {
    let (mut process, root) = Process::with(NOTABLE);
    process.matcher = Matcher::Wrong;
    for (code, request) in [(200, DROPPED), (503, DROPPED), (500, DROPPED), (200, SAMPLED)] {
        asked(&mut process, root, &[("traceparent", request)], code, &[]);
    }
    let spans = process.export();
    let codes: Vec<_> = spans.iter().filter_map(|span| attribute(span, "http.response.status_code")).collect();
    assert_eq!(codes, ["503", "500", "200"]);
    assert_eq!(process.metric("answers.unseen"), 3, "two that failed, one that was asked for");
    assert!(process.logged(Level::Warn, "past the filter that it was to see"));
}

#[test]
fn a_log_of_another_request_or_of_none_changes_nothing() {
    let (mut process, root) = wrapped(NOTABLE);
    asked(&mut process, root, &[("traceparent", DROPPED)], 200, &[]);
    let other = process.stream(0, root);
    other.exchange.came(Side::Request, get(&[("traceparent", DROPPED)]));
    other.exchange.set_number(Attribute::ResponseFlags, UPSTREAM_RESET);
    process.workers[0].engine.log(&other.exchange, root);
    assert_eq!(process.export().len(), 0);
    process.check();
}

#[test]
fn of_a_request_that_is_dropped_one_header_is_enough() {
    let configuration = r#"{"span_kind": "server", "sampling": {"ratio": 0},
        "envoy": {"answers": "notable", "inline_headers": true}}"#;
    let (mut process, root) = wrapped(configuration);
    let state = [("traceparent", DROPPED), ("tracestate", "vendor=1")];
    let dropped = asked(&mut process, root, &state, 503, &[]);
    assert_eq!(dropped.exchange.values(Side::Request, "tracestate"), ["vendor=1"]);
    let stray = asked(&mut process, root, &[("tracestate", "vendor=1")], 200, &[]);
    assert_eq!(stray.exchange.values(Side::Request, "tracestate").len(), 0, "it is of no trace");
    let invalid = asked(&mut process, root, &[("traceparent", "00-?"), ("tracestate", "vendor=1")], 200, &[]);
    assert_eq!(invalid.exchange.values(Side::Request, "tracestate").len(), 0);
    let sampled = asked(&mut process, root, &[("traceparent", SAMPLED), ("tracestate", "vendor=1")], 200, &[]);
    assert_eq!(sampled.exchange.values(Side::Request, "tracestate"), ["vendor=1"]);
    let spans = process.export();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.trace_state.contains("vendor=1")), "{spans:?}");
}

#[test]
fn a_boost_knows_of_the_answers_that_went_past_the_filter() {
    let boosted =
        NOTABLE.replace("\"envoy\"", "\"sampling\": {\"ratio\": 0.01, \"boost\": {\"max_ratio\": 0.2}}, \"envoy\"");
    let (mut process, root) = wrapped(&boosted);
    let seconds = |process: &mut Process, count: u32, failing: usize| {
        for _ in 0..count {
            for number in 0..100 {
                // Every other one has a caller that dropped it.
                let caller = format!("00-{:032x}-b7ad6b7169203331-02", process.state.now.get() + number);
                let request = [("traceparent", &caller[..])];
                let request = if number % 2 == 0 { &request[..] } else { &[] };
                asked(process, root, request, if number < failing as u64 { 503 } else { 200 }, &[]);
            }
            process.advance(SECOND);
            process.collect();
        }
    };
    seconds(&mut process, 70, 2);
    assert_eq!(process.metric("adaptive.changes.boost"), 0);
    seconds(&mut process, 16, 20);
    assert_eq!(process.metric("adaptive.changes.boost"), 1);
    assert!(process.logged(Level::Info, "Failures: 20 % (usually 2"), "{:?}", process.state.logs.borrow().last());
}
