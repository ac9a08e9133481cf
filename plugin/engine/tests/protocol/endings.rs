//! Every ending of a request, as Envoy has them, and what it is kept for.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::process::{MILLISECOND, Process, get, lines, status};

/// Response flags, by bit.
const UPSTREAM_RESET: i64 = 1 << 4;
const NO_CONNECTION: i64 = 1 << 5;
const TIMEOUT: i64 = 1 << 2;
const CONNECTION_ENDED: i64 = 1 << 6;
const CLIENT_LEFT: i64 = 1 << 14;
const IDLE: i64 = 1 << 16;
const CLIENT_RESET: i64 = 1 << 28;
const FAULT_INJECTED: i64 = 1 << 10;
const RATE_LIMITED: i64 = 1 << 11;

/// How a stream goes on after its head.
#[derive(Clone, Copy)]
pub enum Way {
    /// A head and nothing else.
    Alone(&'static str, &'static [(&'static str, &'static str)]),
    /// A head, then a body up to its end.
    Body(&'static str),
    /// A head, then trailers.
    Trailers(&'static str, &'static [(&'static str, &'static str)]),
    /// A head, and it breaks off.
    Broken(&'static str),
    /// A head with this content type, and some of what follows.
    Open(&'static str, &'static str),
    /// No answer at all.
    Nothing,
}

/// What, which method, how, which response flags, how many milliseconds, and what the access log shows in the end.
pub type Row = (&'static str, &'static str, Way, i64, u64, Option<&'static str>);

pub const ROWS: [Row; 37] = [
    ("whole in its head", "GET", Way::Alone("204", &[]), 0, 1, None),
    ("whole with a body", "GET", Way::Body("200"), 0, 1, None),
    ("whole with trailers", "GET", Way::Trailers("200", &[("x", "y")]), 0, 1, None),
    ("a client's fault", "GET", Way::Body("404"), 0, 1, None),
    ("a failure", "GET", Way::Body("500"), 0, 1, Some("upgraded.http_status")),
    ("a failure without a body", "GET", Way::Alone("503", &[]), 0, 1, Some("upgraded.http_status")),
    ("Envoy's own 503", "GET", Way::Body("503"), NO_CONNECTION, 1, Some("upgraded.response_flags")),
    ("Envoy's own 504", "GET", Way::Body("504"), TIMEOUT, 1, Some("upgraded.response_flags")),
    ("an injected fault", "GET", Way::Body("503"), FAULT_INJECTED, 1, Some("upgraded.http_status")),
    ("a rate limit", "GET", Way::Body("429"), RATE_LIMITED, 1, None),
    ("a flag that comes late", "GET", Way::Broken("200"), UPSTREAM_RESET, 1, Some("upgraded.response_flags")),
    ("an answer that breaks off", "GET", Way::Broken("200"), 0, 1, Some("upgraded.reset")),
    ("no answer", "GET", Way::Nothing, 0, 1, Some("upgraded.reset")),
    ("a client that leaves", "GET", Way::Nothing, CLIENT_LEFT, 1, Some("upgraded.response_flags")),
    ("a client that leaves late", "GET", Way::Broken("200"), CLIENT_LEFT, 1, Some("upgraded.response_flags")),
    ("a switched protocol", "GET", Way::Alone("101", &[]), 0, 1, None),
    ("a switched protocol, still open", "GET", Way::Broken("101"), 0, 1, None),
    ("a switched protocol, hung up by the upstream", "GET", Way::Broken("101"), CONNECTION_ENDED, 1, None),
    ("a tunnel that is hung up", "CONNECT", Way::Broken("200"), CLIENT_LEFT, 1, None),
    ("a tunnel that the client resets", "CONNECT", Way::Broken("200"), CLIENT_RESET, 1, None),
    ("a tunnel that the upstream resets", "CONNECT", Way::Broken("200"), UPSTREAM_RESET, 1, None),
    ("a tunnel that the upstream hangs up", "CONNECT", Way::Broken("204"), CONNECTION_ENDED, 1, None),
    ("a tunnel that Envoy ends", "CONNECT", Way::Broken("200"), IDLE, 1, Some("upgraded.response_flags")),
    ("a tunnel that never was", "CONNECT", Way::Nothing, CLIENT_LEFT, 1, Some("upgraded.response_flags")),
    ("a tunnel that is refused", "CONNECT", Way::Broken("503"), 0, 1, Some("upgraded.http_status")),
    (
        "a tunnel that is half refused",
        "CONNECT",
        Way::Broken("403"),
        UPSTREAM_RESET,
        1,
        Some("upgraded.response_flags"),
    ),
    ("events that the client closes", "GET", Way::Open("200", "text/event-stream"), CLIENT_LEFT, 1, None),
    (
        "events that the upstream closes",
        "GET",
        Way::Open("200", "Text/Event-Stream;charset=utf-8"),
        CONNECTION_ENDED,
        1,
        None,
    ),
    ("events that Envoy ends", "GET", Way::Open("200", "text/event-stream"), IDLE, 1, Some("upgraded.response_flags")),
    ("events that failed", "GET", Way::Open("500", "text/event-stream"), 0, 1, Some("upgraded.http_status")),
    ("no events", "GET", Way::Open("200", "text/event-streams"), CLIENT_LEFT, 1, Some("upgraded.response_flags")),
    ("HTTP/2 that the client resets", "GET", Way::Broken("200"), CLIENT_RESET, 1, Some("upgraded.response_flags")),
    ("gRPC that is fine", "POST", Way::Trailers("200", &[("grpc-status", "0")]), 0, 1, None),
    ("gRPC that fails", "POST", Way::Trailers("200", &[("grpc-status", "14")]), 0, 1, Some("upgraded.grpc_status")),
    ("gRPC without a body", "POST", Way::Alone("200", &[("grpc-status", "13")]), 0, 1, Some("upgraded.grpc_status")),
    ("gRPC NOT_FOUND", "POST", Way::Trailers("200", &[("grpc-status", "5")]), 0, 1, None),
    ("a slow one", "GET", Way::Body("200"), 0, 800, Some("upgraded.latency")),
];

pub fn run(process: &mut Process, root: u32, row: &Row, sampled: bool) -> Option<String> {
    let (_, method, way, flags, milliseconds, _) = *row;
    let stream = process.stream(0, root);
    let flag = if sampled { "03" } else { "02" };
    let caller = format!("00-{:032x}-b7ad6b7169203331-{flag}", stream.context);
    let mut head = get(&[("traceparent", &caller)]);
    head[0].1 = method.into();
    process.head(&stream, head);
    process.state.now.set(process.state.now.get() + milliseconds * MILLISECOND);
    stream.exchange.set_number(Attribute::ResponseFlags, flags);
    let code = |code: &str| code.parse().expect("a status");
    match way {
        Way::Alone(status_code, more) => process.answer(&stream, status(code(status_code), more), true),
        Way::Body(status_code) => {
            process.answer(&stream, status(code(status_code), &[]), false);
            process.body_end(&stream);
        }
        Way::Trailers(status_code, trailers) => {
            process.answer(&stream, status(code(status_code), &[]), false);
            process.trailers(&stream, lines(trailers));
        }
        Way::Broken(status_code) => process.answer(&stream, status(code(status_code), &[]), false),
        Way::Open(status_code, kind) => {
            process.answer(&stream, status(code(status_code), &[("content-type", kind)]), false);
        }
        Way::Nothing => {}
    }
    process.log(&stream);
    process.done(0, stream.context);
    stream.exchange.decision()
}

pub const CONFIGURATION: &str = r#"{"upgrade": {"latency_ms": 500, "traces_per_second": 1000}}"#;

#[test]
fn a_dropped_request_is_kept_for_what_went_wrong_and_for_nothing_else() {
    let (mut process, root) = Process::with(CONFIGURATION);
    for row in &ROWS {
        assert_eq!(run(&mut process, root, row, false).as_deref(), row.5, "{}", row.0);
    }
    let kept = ROWS.iter().filter(|row| row.5.is_some()).count();
    assert_eq!(process.export().len(), kept);
    for trigger in ["http_status", "grpc_status", "response_flags", "reset", "latency"] {
        let rows = ROWS.iter().filter(|row| row.5.is_some_and(|kept| kept.ends_with(trigger))).count();
        assert_eq!(process.metric(&format!("upgrades.{trigger}")), rows as i64, "{trigger}");
    }
}

#[test]
fn a_sampled_request_is_always_kept_and_its_span_names_what_went_wrong() {
    let (mut process, root) = Process::with(CONFIGURATION);
    for row in &ROWS {
        let expected = row.5.unwrap_or("sampled");
        assert_eq!(run(&mut process, root, row, true).as_deref(), Some(expected), "{}", row.0);
    }
    assert_eq!(process.export().len(), ROWS.len());
    assert_eq!(process.metric("decisions.sampled.parent"), ROWS.len() as i64);
    for (span, row) in process.exported.iter().zip(&ROWS) {
        let trigger = row.5.and_then(|kept| kept.strip_prefix("upgraded."));
        assert_eq!(attribute(span, "tracelift.upgrade.trigger").as_deref(), trigger, "{}", row.0);
    }
}

#[test]
fn without_flags_a_stream_that_breaks_off_is_nothing_to_be_kept_for() {
    let (mut process, root) = Process::with(r#"{"upgrade": {"response_flags": false}}"#);
    for row in &ROWS {
        let expected = match row.5 {
            Some("upgraded.response_flags") if matches!(row.2, Way::Body(_)) => Some("upgraded.http_status"),
            by_status @ Some("upgraded.http_status" | "upgraded.grpc_status") => by_status,
            _ => None,
        };
        assert_eq!(run(&mut process, root, row, false).as_deref(), expected, "{}", row.0);
    }
}

#[test]
fn a_request_that_its_codec_refused_is_begun_and_judged_at_its_end() {
    let (mut process, root) = Process::with("{}");
    let stream = process.stream(0, root);
    stream.exchange.came(Side::Request, get(&[]));
    stream.exchange.set_number(Attribute::ResponseCode, 400);
    process.log(&stream);
    assert_eq!(stream.exchange.decision().as_deref(), Some("upgraded.reset"));
    assert_eq!(stream.exchange.writes(), 0, "nothing is written to a request that has ended");
    let span = process.export()[0].clone();
    assert_eq!(attribute(&span, "http.response.status_code").as_deref(), Some("400"));
}
