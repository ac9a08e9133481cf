//! Every request is counted, whatever becomes of its trace.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use tracelift::door::{Attribute, Level, Side};

use crate::kit::collector::{COLLECTOR, attribute};
use crate::kit::host::Reply;
use crate::kit::points::{self, Point};
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, lines, status};

const DROPPED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
pub const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
const GET_200: &str =
    "http.server.request.duration{http.request.method=GET,http.response.status_code=200,url.scheme=http}";

pub fn configuration(metrics: &str) -> String {
    format!(
        r#"{{"span_kind": "server", "sampling": {{"ratio": 0}}, "metrics": {{"enabled": true, "interval_ms": 1000{metrics}}}}}"#
    )
}

/// A request with these headers and this answer, which took so long.
fn request(process: &mut Process, root: u32, more: &[(&str, &str)], code: u16, nanos: u64) -> Stream {
    let stream = process.stream(0, root);
    process.head(&stream, get(more));
    process.state.now.set(process.state.now.get() + nanos);
    process.answer(&stream, status(code, &[]), true);
    process.log(&stream);
    process.done(0, stream.context);
    stream
}

/// Seconds until whoever serves requests may export, and has.
pub fn measured(process: &mut Process) -> BTreeMap<String, Point> {
    for _ in 0..30 {
        process.advance(SECOND);
        process.collect();
    }
    points::of(process.measured.last().expect("an export"))
}

pub fn counts(points: &BTreeMap<String, Point>) -> Vec<(&str, u64)> {
    points.iter().map(|(series, point)| (series.as_str(), point.count)).collect()
}

#[test]
fn a_dropped_request_and_a_sampled_one_are_counted_alike() {
    let (mut process, root) = Process::with(&configuration(""));
    for caller in [DROPPED, SAMPLED, SAMPLED] {
        request(&mut process, root, &[("traceparent", caller)], 200, 250 * MILLISECOND);
    }
    let points = measured(&mut process);
    assert_eq!(counts(&points), [(GET_200, 3)]);
    assert!((points[GET_200].sum - 0.75).abs() < 1e-9);
    assert_eq!(process.exported.len(), 2);
}

#[test]
fn a_span_takes_as_long_as_the_metric_says() {
    let (mut process, root) = Process::with(&configuration(""));
    request(&mut process, root, &[("traceparent", SAMPLED)], 200, 123_456_789);
    let points = measured(&mut process);
    let span = &process.exported[0];
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 123_456_789);
    assert!((points[GET_200].sum - 0.123_456_789).abs() < 1e-12);
}

#[test]
fn an_error_is_called_as_on_its_span() {
    let (mut process, root) = Process::with(&configuration(""));
    for (code, flags, ends) in [
        (Some(503), 0, true),
        (Some(404), 0, true),
        (Some(200), 1 << 6, false),
        (None, 0x4, false),
        (None, 1 << 0, false),
        (Some(200), 0, false),
        (Some(500), 1 << 6, false),
    ] {
        let stream = process.stream(0, root);
        stream.exchange.set_number(Attribute::ResponseFlags, flags);
        process.head(&stream, get(&[("traceparent", SAMPLED)]));
        if let Some(code) = code {
            process.answer(&stream, status(code, &[]), ends);
        }
        process.log(&stream);
    }
    let points = measured(&mut process);
    let mut on_spans = BTreeMap::new();
    for span in &process.exported {
        let said = ["error.type", "http.response.status_code"].map(|name| attribute(span, name));
        *on_spans.entry(said).or_insert(0) += 1;
    }
    let mut on_points = BTreeMap::new();
    for (series, point) in points {
        let find = |key: &str| {
            let (_, rest) = series.split_once(&format!("{key}="))?;
            rest.split([',', '}']).next().map(str::to_owned)
        };
        *on_points.entry([find("error.type"), find("http.response.status_code")]).or_insert(0) += point.count;
    }
    assert_eq!(on_points, on_spans);
    assert_eq!(on_points.values().sum::<u64>(), 7);
}

#[test]
fn routes_are_templates_or_what_the_application_says() {
    let more = r#", "routes": ["/users/{id}", "/users/me"], "route_header": "x-route", "histogram": "explicit""#;
    let (mut process, root) = Process::with(&configuration(more));
    for (path, answer) in [
        ("/users/7", None),
        ("/users/8?a=b", None),
        ("/users/me", None),
        ("/else", None),
        ("/else", Some("/users/{id}")),
        ("/users/me", Some("/orders/{order}")),
        ("/users/me", Some("no route")),
    ] {
        let stream = process.stream(0, root);
        process.head(&stream, lines(&[(":method", "GET"), (":path", path), (":scheme", "http")]));
        let route = answer.map(|route| ("x-route", route));
        process.answer(&stream, status(200, route.as_slice()), true);
        process.log(&stream);
        assert_eq!(stream.exchange.values(Side::Response, "x-route").len(), route.as_slice().len());
    }
    let points = measured(&mut process);
    let mut by_route: Vec<(String, u64)> = points
        .iter()
        .map(|(series, point)| {
            let route = series.split_once("http.route=").map_or("", |(_, rest)| rest);
            let end =
                route.rfind("},").or(route.find(',')).map_or(0, |end| end + usize::from(route[end..].starts_with('}')));
            (route[..end].to_owned(), point.count)
        })
        .collect();
    by_route.sort();
    let expected = [("", 1), ("/orders/{order}", 1), ("/users/me", 2), ("/users/{id}", 3)];
    assert_eq!(by_route, expected.map(|(route, count)| (route.to_owned(), count)));
    assert!(points.values().all(|point| point.buckets.len() == 15 && point.buckets[0] == point.count));
}

#[test]
fn a_name_that_no_series_can_have_is_no_route_and_no_overflow() {
    let (mut process, root) = Process::with(&configuration(r#", "route_header": "x-route""#));
    let long = format!("/{}", "a".repeat(256));
    for route in [&*long, "/caf\u{e9}", "/a b", "cart"] {
        let stream = process.stream(0, root);
        process.head(&stream, get(&[("traceparent", SAMPLED)]));
        process.answer(&stream, status(200, &[("x-route", route)]), true);
        process.log(&stream);
    }
    let points = measured(&mut process);
    assert_eq!(counts(&points), [(GET_200, 4)]);
    assert_eq!(process.metric("metrics.overflowed"), 0);
    assert!(process.exported.iter().all(|span| attribute(span, "http.route").is_none()), "as on the spans");
}

#[test]
fn a_scheme_is_that_of_the_span() {
    for (kind, more, scheme) in [
        ("server", &[("x-forwarded-proto", "https")][..], "https"),
        ("server", &[("x-forwarded-proto", "HTTPS, http")], "https"),
        ("server", &[("x-forwarded-proto", "ftp")], "http"),
        ("server", &[("forwarded", "for=1.2.3.4;proto=https"), ("x-forwarded-proto", "http")], "https"),
        ("auto", &[("x-forwarded-proto", "https")], "https"),
        ("client", &[("x-forwarded-proto", "https")], "http"),
    ] {
        let configuration = configuration("").replace("server", kind);
        let (mut process, root) = Process::with(&configuration);
        request(&mut process, root, &[&[("traceparent", SAMPLED)], more].concat(), 200, MILLISECOND);
        let points = measured(&mut process);
        let series = points.keys().next().expect("a series");
        assert!(series.contains(&format!("url.scheme={scheme}")), "{kind} {more:?}: {series}");
        let span = &process.exported[0];
        let said = attribute(span, "url.scheme").or_else(|| {
            attribute(span, "url.full").and_then(|url| url.split_once(':').map(|(scheme, _)| scheme.to_owned()))
        });
        assert_eq!(said.as_deref(), Some(scheme), "{kind} {more:?}");
    }
}

#[test]
fn the_gauge_counts_the_series_of_all_streams() {
    let mut process = Process::new(1);
    let more = r#", "namespace": "proxy""#;
    for (plugin, more, codes) in [("inbound", "", 200..202), ("outbound", more, 200..203)] {
        let root = process.listener(0, plugin, &configuration(more));
        codes.for_each(|code| drop(request(&mut process, root, &[], code, MILLISECOND)));
    }
    measured(&mut process);
    assert_eq!(process.metric("metrics.series"), 5);
}

#[test]
fn a_request_without_its_head_and_a_clock_that_was_set_back_are_counted() {
    let (mut process, root) = Process::with(&configuration(""));
    let late = process.stream(0, root);
    late.exchange.came(Side::Request, get(&[]));
    late.exchange.came(Side::Response, status(400, &[]));
    process.state.now.set(process.state.now.get() + SECOND);
    process.log(&late);
    let stream = process.stream(0, root);
    process.head(&stream, get(&[]));
    process.state.now.set(process.state.now.get() - SECOND);
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    let points = measured(&mut process);
    assert_eq!(points.values().map(|point| point.count).sum::<u64>(), 2);
    assert_eq!((points[GET_200].count, points[GET_200].buckets[0]), (1, 1), "it took no time");
    assert_eq!(process.metric("metrics.clock_back"), 1);
    assert!(points.values().any(|point| (point.sum - 1.0).abs() < 1e-9), "{points:?}");
}

#[test]
fn an_attack_by_routes_costs_the_route_and_no_request() {
    let more = r#", "max_series": 40, "route_header": "x-route""#;
    let (mut process, root) = Process::with(&configuration(more));
    let mut sent = BTreeMap::<u16, u64>::new();
    for number in 0..6_000_u32 {
        let stream = process.stream(0, root);
        process.head(&stream, get(&[]));
        let code = [200, 404, 503][number as usize % 3];
        process.answer(&stream, status(code, &[("x-route", &format!("/{number}"))]), true);
        process.log(&stream);
        *sent.entry(code).or_default() += 1;
        if number.is_multiple_of(500) {
            process.advance(100 * MILLISECOND);
        }
    }
    let points = measured(&mut process);
    assert!(points.len() <= 40, "{}", points.len());
    for (code, count) in sent {
        let of_code = points.iter().filter(|(series, _)| series.contains(&format!("status_code={code}")));
        assert_eq!(of_code.map(|(_, point)| point.count).sum::<u64>(), count, "{code}");
    }
    let named: u64 =
        points.iter().filter(|(series, _)| series.contains("http.route=")).map(|(_, point)| point.count).sum();
    assert_eq!(process.metric("metrics.overflowed"), 6_000 - named as i64, "each once");
    assert_eq!(process.metric("metrics.series"), points.len() as i64);
}

#[test]
fn a_collector_without_a_pipeline_for_metrics_is_logged_once_and_spans_go_on() {
    let (mut process, root) = Process::with(&configuration(""));
    for _ in 0..20 {
        request(&mut process, root, &[("traceparent", SAMPLED)], 200, MILLISECOND);
        process.advance(SECOND);
        while let Some(call) = process.call_to(COLLECTOR) {
            let is_metrics = call.header(":path") == Some("/v1/metrics");
            process.reply(&call, Reply::status(if is_metrics { 404 } else { 200 }));
        }
    }
    let logs = process.state.logs.borrow();
    let problems: Vec<_> = logs.iter().filter(|(_, level, _)| *level == Level::Warn).collect();
    assert!(matches!(&problems[..], [(_, _, text)] if text.contains("no pipeline for metrics")), "{problems:?}");
    assert!(10 < process.metric("metrics.exports.failed"));
    assert!(17 < process.exported.len());
}

/// An answer that takes all but so many points.
fn rejecting(rejected_data_points: i64) -> Reply {
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: "too old".to_owned() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    Reply::status(200).body(body)
}

#[test]
fn each_kind_of_problem_is_logged_once_until_exports_succeed() {
    const REFUSED: &str =
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    let (mut process, root) = Process::with(&configuration(""));
    let refused = || Reply::status(503).body(REFUSED);
    let episode = [
        (refused(), Some("remote connection failure")),
        (refused(), None),
        (Reply::status(404), Some("no pipeline for metrics")),
        (Reply::default(), Some("no answer")),
        (Reply::status(401), Some("export.headers")),
        (rejecting(1), Some("rejected 1 points: too old")),
        (Reply::status(500), Some("HTTP 500")),
        (Reply::status(404), None),
        (rejecting(1), None),
        (Reply::status(504), None),
        (Reply::status(200), Some("succeed again")),
        (Reply::status(200), None),
    ];
    for (reply, expected) in episode.clone().into_iter().chain(episode) {
        request(&mut process, root, &[("traceparent", DROPPED)], 200, MILLISECOND);
        let call = (0..20).find_map(|_| {
            process.advance(SECOND);
            process.call_to(COLLECTOR)
        });
        process.state.logs.borrow_mut().clear();
        process.reply(&call.expect("an export"), reply);
        let logs = process.state.logs.borrow();
        assert_eq!(logs.len(), usize::from(expected.is_some()), "{expected:?} {logs:?}");
        for (_, level, text) in logs.iter() {
            assert!(text.contains(expected.unwrap_or_default()), "{expected:?} {text}");
            let says_where = text.contains("cluster \"otel_collector\", /v1/metrics: ");
            assert_eq!(says_where, *level == Level::Warn, "{text}");
        }
    }
}

#[test]
fn a_rule_may_leave_its_requests_out() {
    let configuration = r#"{"span_kind": "server", "sampling": {"ratio": 1, "rules": [
        {"match": {"path": {"exact": "/healthz"}}, "metrics": false}, {"match": {"path": {"prefix": "/pay"}}}]},
        "metrics": {"enabled": true, "interval_ms": 1000}}"#;
    let (mut process, root) = Process::with(configuration);
    for path in ["/healthz", "/pay/1", "/cart", "/healthz"] {
        let stream = process.stream(0, root);
        process.head(&stream, lines(&[(":method", "GET"), (":path", path), (":scheme", "http")]));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
    }
    assert_eq!(counts(&measured(&mut process)), [(GET_200, 2)]);
    assert_eq!(process.exported.len(), 4, "their spans are another matter");
}
