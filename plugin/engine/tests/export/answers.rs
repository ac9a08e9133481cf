//! Every answer of both protocols.

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use tracelift::export::{Answer, Counts, DiscardReason, Event, MAX_ANSWER, Problem};
use tracelift::otlp::Protocol;

use crate::kit::{Bench, LONGEST, START, lent, settings};

type Fields<'a> = &'a [(&'a str, &'a str)];
/// Protocol, HTTP status, headers, body, and what the log line must contain.
type Row = (Protocol, u16, Fields<'static>, &'static [u8], &'static [&'static str]);

/// What became of the four spans of a batch.
#[derive(Debug, PartialEq)]
enum Fate {
    Exported,
    Retried,
    Discarded(DiscardReason),
    Partly { rejected: u64 },
}

fn fate(counts: &Counts) -> Fate {
    let reason = DiscardReason::ALL.into_iter().find(|reason| counts.discarded(*reason) != 0);
    match (counts.exported, counts.queued, reason) {
        (4, 0, None) => Fate::Exported,
        (0, 4, None) => Fate::Retried,
        (exported, 0, Some(DiscardReason::Rejected)) => Fate::Partly { rejected: 4 - exported },
        (0, 0, Some(reason)) => Fate::Discarded(reason),
        _ => panic!("{counts:?}"),
    }
}

/// Sends a batch of four spans and has it answered.
fn answered(protocol: Protocol, status: Option<u16>, headers: Fields, trailers: Fields, body: &[u8]) -> Bench {
    let mut bench = Bench::new(settings(protocol));
    bench.offer(4);
    let id = bench.only_request(0).id;
    let (headers, trailers) = (lent(headers), lent(trailers));
    let answer = Answer { status, headers: &headers, trailers: &trailers, body };
    bench.exporter.answered(id, answer, START, LONGEST);
    assert_eq!(bench.counts().in_flight, 0);
    bench
}

#[test]
fn http_retries_429_502_503_and_504_and_no_other_status() {
    for status in 0..=999 {
        let bench = answered(Protocol::HttpProtobuf, Some(status), &[], &[], b"");
        let expected = match status {
            200..=299 => Fate::Exported,
            429 | 502 | 503 | 504 => Fate::Retried,
            413 => Fate::Discarded(DiscardReason::TooLarge),
            _ => Fate::Discarded(DiscardReason::NonRetryable),
        };
        assert_eq!(fate(bench.counts()), expected, "{status}");
    }
}

#[test]
fn grpc_retries_what_otlp_lists_wherever_the_status_stands() {
    let names = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
        "17, undefined",
        "18, undefined",
    ];
    let retried = ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"];
    for (code, name) in names.into_iter().enumerate() {
        let expected = match name {
            "OK" => Fate::Exported,
            name if retried.contains(&name) => Fate::Retried,
            _ => Fate::Discarded(DiscardReason::NonRetryable),
        };
        let code = code.to_string();
        let status = [("grpc-status", code.as_str())];
        let in_trailers = answered(Protocol::Grpc, Some(200), &[], &status, b"\0\0\0\0\0");
        assert_eq!(fate(in_trailers.counts()), expected, "{name} in trailers");
        let trailers_only = answered(Protocol::Grpc, Some(200), &status, &[], b"");
        assert_eq!(fate(trailers_only.counts()), expected, "{name} in headers");
    }
}

#[test]
fn a_grpc_answer_without_a_status_is_read_by_its_http_status() {
    for status in [100, 200, 204, 301, 400, 401, 403, 404, 405, 429, 500, 501, 502, 503, 504] {
        let bench = answered(Protocol::Grpc, Some(status), &[("content-type", "text/plain")], &[], b"upstream");
        let expected = match status {
            429 | 502 | 503 | 504 => Fate::Retried,
            _ => Fate::Discarded(DiscardReason::NonRetryable),
        };
        assert_eq!(fate(bench.counts()), expected, "{status}");
    }
}

#[test]
fn a_grpc_status_that_is_no_number_is_unknown() {
    for value in ["", "-1", "+0", "0x0", "14 14", "99999999999999999999"] {
        let bench = answered(Protocol::Grpc, Some(200), &[], &[("grpc-status", value)], b"");
        assert_eq!(fate(bench.counts()), Fate::Discarded(DiscardReason::NonRetryable), "{value:?}");
    }
}

#[test]
fn resource_exhausted_is_retried_only_with_retry_info_and_after_the_time_it_names() {
    // google.rpc.Status of code 8 with a google.rpc.RetryInfo of 7 s.
    let details = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBw==";
    let trailers = [("grpc-status", "8"), ("grpc-status-details-bin", details)];
    let mut bench = answered(Protocol::Grpc, Some(200), &[], &trailers, b"");
    assert_eq!(fate(bench.counts()), Fate::Retried);
    assert!(bench.tick(6_999_000_000).is_empty());
    assert_eq!(bench.tick(1_001_000_000).len(), 1, "7 s and at most one of spread");
}

#[test]
fn no_headers_at_all_is_a_failure_to_retry() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let mut bench = answered(protocol, None, &[], &[], b"");
        assert_eq!(fate(bench.counts()), Fate::Retried);
        assert!(matches!(&bench.events()[..], [Event::Failing { problem: Problem::NoAnswer, retried: true, .. }]));
    }
}

#[test]
fn answers_that_envoy_makes_itself_are_retried() {
    let unreachable = b"upstream connect error or disconnect/reset before headers. reset reason: connection refused";
    let synthetic: [(u16, &[u8]); 3] =
        [(503, unreachable), (503, b"no healthy upstream"), (504, b"upstream request timeout")];
    for (status, text) in synthetic {
        for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
            let mut bench = answered(protocol, Some(status), &[("content-type", "text/plain")], &[], text);
            assert_eq!(fate(bench.counts()), Fate::Retried);
            let line = bench.events()[0].to_string();
            assert!(line.contains(std::str::from_utf8(text).unwrap()), "{line}");
        }
    }
}

fn partial(rejected_spans: i64, message: &str) -> Vec<u8> {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: message.to_owned() });
    ExportTraceServiceResponse { partial_success }.encode_to_vec()
}

#[test]
fn partial_success_counts_the_rejected_spans_and_is_never_retried() {
    // (what the collector says, what is believed)
    for (said, rejected) in [(1, 1), (4, 4), (5, 4), (i64::MAX, 4), (0, 0), (-3, 0), (i64::MIN, 0)] {
        let expected = if rejected == 0 { Fate::Exported } else { Fate::Partly { rejected } };
        let message = partial(said, "bad span id");
        let http = answered(Protocol::HttpProtobuf, Some(200), &[], &[], &message);
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(&message);
        let grpc = answered(Protocol::Grpc, Some(200), &[], &[("grpc-status", "0")], &framed);
        for mut bench in [http, grpc] {
            assert_eq!(fate(bench.counts()), expected, "{said}");
            assert_eq!(bench.counts().exports_succeeded, 1);
            assert!(matches!(&bench.events()[..],
                [Event::PartialSuccess { rejected: told, detail, .. }] if *told == rejected && detail == "bad span id"));
        }
    }
}

#[test]
fn a_good_status_with_an_unreadable_body_is_believed_and_remarked_once() {
    let bodies: [&[u8]; 3] = [b"<html>welcome</html>", b"OK", &[0xff; 64]];
    for body in bodies {
        let mut bench = answered(Protocol::HttpProtobuf, Some(200), &[("content-type", "text/html")], &[], body);
        assert_eq!(fate(bench.counts()), Fate::Exported);
        assert!(matches!(&bench.events()[..], [Event::UnreadableAnswer { .. }]));
        bench.offer(4);
        let id = bench.only_request(0).id;
        bench.answer(id, 200, &[], body);
        assert!(bench.events().is_empty(), "not a line for each export");
    }
}

#[test]
fn a_json_answer_is_as_good_as_an_empty_one() {
    let mut bench = answered(Protocol::HttpProtobuf, Some(200), &[("Content-Type", "application/json")], &[], b"{}");
    assert_eq!(fate(bench.counts()), Fate::Exported);
    assert!(bench.events().is_empty());
}

#[test]
fn a_good_answer_above_the_bound_is_a_failure_for_good_and_a_bad_one_means_what_its_status_says() {
    let body = vec![0; MAX_ANSWER + 1];
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let mut bench = answered(protocol, Some(200), &[], &[("grpc-status", "0")], &body);
        assert_eq!(fate(bench.counts()), Fate::Discarded(DiscardReason::NonRetryable));
        assert!(bench.events()[0].to_string().contains("more than 64 KiB"));
        assert_eq!(fate(answered(protocol, Some(503), &[], &[], &body).counts()), Fate::Retried);
        let most = answered(protocol, Some(200), &[], &[("grpc-status", "0")], &body[..MAX_ANSWER]);
        assert_eq!(fate(most.counts()), Fate::Exported);
    }
}

#[test]
fn the_log_line_names_problem_place_and_remedy() {
    let status_body = b"\x08\x03\x12\x0cno such path"; // google.rpc.Status { 3, "no such path" }
    const PROTOBUF: Fields = &[("content-type", "application/x-protobuf")];
    let table: [Row; 8] = [
        (
            Protocol::HttpProtobuf,
            404,
            PROTOBUF,
            status_body,
            &["HTTP 404 \"no such path\"", "export.path", "discarded"],
        ),
        (Protocol::HttpProtobuf, 401, &[], b"", &["HTTP 401;", "export.headers"]),
        (Protocol::HttpProtobuf, 403, &[], b"", &["export.headers"]),
        (Protocol::HttpProtobuf, 415, &[], b"", &["export.protocol"]),
        (Protocol::HttpProtobuf, 400, &[], b"a\r\nb\x1b[31m\xff", &["\"a  b [31m\u{fffd}\"", "export.path"]),
        (Protocol::HttpProtobuf, 504, &[], b"", &["kept", "export.timeout_ms"]),
        (Protocol::Grpc, 404, &[], b"", &["gRPC status 12", "4317"]),
        (
            Protocol::Grpc,
            200,
            &[("grpc-status", "16"), ("grpc-message", "who?")],
            b"",
            &["16 \"who?\"", "export.headers"],
        ),
    ];
    for (protocol, status, headers, body, parts) in table {
        let mut bench = answered(protocol, Some(status), headers, &[], body);
        let events = bench.events();
        assert_eq!(events.len(), 1);
        let line = events[0].to_string();
        assert!(events[0].is_problem());
        assert!(line.contains("cluster \"otel_collector\", otel-collector/"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{line:?} lacks {part:?}");
        }
    }
}

/// What Envoy says where a request met this fault.
fn fault(reason: &str) -> String {
    format!("upstream connect error or disconnect/reset before headers. {reason}")
}

#[test]
fn an_answer_says_whether_the_collector_may_have_what_it_did_not_acknowledge() {
    let faults = [
        ("reset reason: local connection failure", false),
        (
            "reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused",
            false,
        ),
        ("reset reason: connection timeout", false),
        ("reset reason: overflow", false),
        ("reset reason: local refused stream reset", false),
        ("reset reason: remote refused stream reset", false),
        ("reset reason: connection termination", true),
        ("reset reason: remote reset", true),
        ("reset reason: local reset", true),
        ("reset reason: protocol error", true),
        ("reset reason: one that later versions have", true),
        ("retried and the latest reset reason: remote connection failure", true),
    ];
    for (reason, expected) in faults {
        let text = fault(reason);
        let http = Answer { status: Some(503), headers: &[], trailers: &[], body: text.as_bytes() };
        assert_eq!(http.may_have_arrived(), expected, "{reason}");
        let headers = [(&b"grpc-status"[..], &b"14"[..]), (b"grpc-message", text.as_bytes())];
        let grpc = Answer { status: Some(200), headers: &headers, trailers: &[], body: b"" };
        assert_eq!(grpc.may_have_arrived(), expected, "gRPC {reason}");
    }
    let others: [(Option<u16>, Fields, &[u8], bool); 12] = [
        (None, &[], b"", true),
        (Some(502), &[], b"Bad Gateway", true),
        (Some(504), &[], b"upstream request timeout", true),
        (Some(503), &[], b"no healthy upstream", false),
        (Some(503), &[("retry-after", "5")], b"", false),
        (Some(429), &[], b"", false),
        (Some(404), &[], b"404 page not found", false),
        (Some(500), &[], b"", false),
        (Some(200), &[("grpc-status", "14"), ("grpc-message", "upstream request timeout")], b"", true),
        (Some(200), &[("grpc-status", "4")], b"", true),
        (Some(200), &[("grpc-status", "14"), ("grpc-message", "the queue is full")], b"", false),
        (Some(200), &[("grpc-status", "12")], b"", false),
    ];
    for (status, headers, body, expected) in others {
        let lines = lent(headers);
        let answer = Answer { status, headers: &lines, trailers: &[], body };
        assert_eq!(answer.may_have_arrived(), expected, "{status:?} {headers:?}");
    }
}
