//! What the module makes of a collector's answers.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;
use tracelift_host::{Answer, Envoy};

use crate::kit::{
    BATCH_DUE, books, closed_books, discarded, keep_all, process, seconds, serve, started, until_export, waiting,
    warnings,
};

/// Three spans are on their way to a collector of this protocol.
fn three_in_flight(protocol: &str) -> Envoy {
    let mut envoy = started(process(keep_all(json!({"protocol": protocol}))));
    serve(&mut envoy, 3, 200);
    envoy.advance(BATCH_DUE);
    envoy.only_callout();
    envoy
}

fn answered(protocol: &str, answer: &Answer) -> Envoy {
    let mut envoy = three_in_flight(protocol);
    let id = waiting(&envoy)[0];
    envoy.answer(id, answer.clone());
    envoy
}

fn accepting(protocol: &str) -> Answer {
    if protocol == "grpc" { Answer::framed_grpc(0, "") } else { Answer::status(200) }
}

/// How long after the answer the same spans came again.
fn wait_for_retry(envoy: &mut Envoy, most: Duration) -> Duration {
    let since = envoy.now();
    let id = until_export(envoy, most);
    let [.., before, again] = envoy.callouts() else { panic!("two attempts") };
    assert_eq!((again.id, &again.body), (id, &before.body), "the same bytes");
    again.sent_at - since
}

#[test]
fn failures_that_may_pass_are_tried_again_with_the_same_spans() {
    let http = [429, 502, 503, 504].map(|status| ("http/protobuf", Answer::status(status)));
    let grpc = [1, 4, 10, 11, 14, 15].map(|code| ("grpc", Answer::framed_grpc(code, "later")));
    let proxied = [429, 502, 503, 504].map(|status| ("grpc", Answer::status(status)));
    let synthetic = ["http/protobuf", "grpc"].map(|protocol| {
        [Answer::connection_failure(), Answer::timeout(), Answer::no_headers()].map(|it| (protocol, it))
    });
    for (protocol, answer) in http.into_iter().chain(grpc).chain(proxied).chain(synthetic.into_iter().flatten()) {
        let mut envoy = answered(protocol, &answer);
        let balance = books(&mut envoy);
        assert_eq!((balance.queued, balance.in_flight, balance.discarded_total()), (3, 0, 0), "{answer:?}");
        let wait = wait_for_retry(&mut envoy, seconds(3));
        assert!(Duration::from_millis(100) <= wait, "{answer:?}: {wait:?} is no pause");
        let id = waiting(&envoy)[0];
        envoy.answer(id, accepting(protocol));
        assert_eq!(closed_books(&mut envoy).exported, 3, "{answer:?}");
        assert_eq!(envoy.counter("tracelift.exports.retried"), 1);
        assert_eq!(envoy.counter("tracelift.exports.succeeded"), 1);
        assert_eq!(envoy.counter("tracelift.exports.failed"), 0);
    }
}

#[test]
fn failures_for_good_are_counted_and_never_tried_again() {
    let http = [301, 400, 401, 403, 404, 405, 408, 415, 500, 501, 505];
    let http = http.map(|status| ("http/protobuf", Answer::status(status), "non_retryable"));
    let grpc = [2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 99];
    let grpc = grpc.map(|code| ("grpc", Answer::framed_grpc(code, "never"), "non_retryable"));
    let special = [
        ("http/protobuf", Answer::status(413), "too_large"),
        ("grpc", Answer::status(404), "non_retryable"),
        ("grpc", Answer::status(200).trailer("grpc-status", "what?"), "non_retryable"),
        ("grpc", Answer::status(200), "non_retryable"),
    ];
    for (protocol, answer, reason) in http.into_iter().chain(grpc).chain(special) {
        let mut envoy = answered(protocol, &answer);
        envoy.advance(seconds(120));
        assert_eq!(envoy.callouts().len(), 1, "{answer:?}");
        closed_books(&mut envoy);
        assert_eq!((discarded(&envoy, reason), envoy.counter("tracelift.exports.failed")), (3, 1), "{answer:?}");
        assert_eq!(warnings(&envoy).len(), 1, "{:?}", warnings(&envoy));
    }
}

#[test]
fn retry_after_is_obeyed_in_seconds_and_as_a_date() {
    // The process begins on 1 January 2026, 00:00:00; the answer comes 2.1 s later.
    for (value, at_least) in [
        ("7", Duration::from_secs(7)),
        ("0", Duration::from_millis(100)),
        ("Thu, 01 Jan 2026 00:00:30 GMT", Duration::from_millis(27_900)),
        ("Thursday, 01-Jan-26 00:00:30 GMT", Duration::from_millis(27_900)),
        ("Thu Jan  1 00:00:30 2026", Duration::from_millis(27_900)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Duration::from_millis(100)),
    ] {
        for status in [429, 503] {
            let mut envoy = answered("http/protobuf", &Answer::status(status).header("retry-after", value));
            let wait = wait_for_retry(&mut envoy, at_least + seconds(3));
            assert!(at_least <= wait, "{value} on {status}: came again after {wait:?}");
            books(&mut envoy);
        }
    }
}

#[test]
fn a_retry_after_that_says_nothing_leaves_the_usual_backoff() {
    for value in ["soon", "", "-5", "1.5", "Thu, 99 Foo 2026 00:00:30 GMT"] {
        let mut envoy = answered("http/protobuf", &Answer::status(503).header("retry-after", value));
        wait_for_retry(&mut envoy, seconds(3));
        books(&mut envoy);
    }
}

#[test]
fn a_collector_that_asks_for_a_day_costs_a_batch_and_no_more_than_five_minutes() {
    for value in ["86400", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let mut envoy = answered("http/protobuf", &Answer::status(503).header("retry-after", value));
        serve(&mut envoy, 2, 200);
        envoy.advance(seconds(240));
        assert!(waiting(&envoy).is_empty());
        let id = until_export(&mut envoy, seconds(70));
        envoy.answer(id, 200);
        assert_eq!(closed_books(&mut envoy).exported, 2);
        assert_eq!(discarded(&envoy, "retries_exhausted"), 3);
    }
}

/// `google.rpc.Status` with a `google.rpc.RetryInfo`, as `grpc-status-details-bin` carries it.
fn retry_info(code: i32, seconds: i64) -> String {
    #[derive(Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    #[derive(Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<prost_types::Duration>,
    }
    let info = RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos: 500_000_000 }) };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: info.encode_to_vec(),
    };
    base64(&Status { code, message: "busy".to_owned(), details: vec![any] }.encode_to_vec())
}

/// RFC 4648 without padding, as gRPC writes binary metadata.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|group| {
        let bits = group.iter().zip([16, 8, 0]).fold(0_u32, |bits, (byte, shift)| bits | u32::from(*byte) << shift);
        [18, 12, 6, 0].into_iter().take(group.len() + 1).map(move |shift| DIGITS[(bits >> shift) as usize & 63] as char)
    });
    groups.collect()
}

#[test]
fn retry_info_of_a_grpc_collector_is_obeyed_also_where_it_alone_allows_a_retry() {
    for code in [14, 8] {
        let details = retry_info(code, 12);
        let in_trailers = Answer::framed_grpc(code as u32, "busy").trailer("grpc-status-details-bin", &details);
        let in_headers = Answer::status(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", code.to_string())
            .header("grpc-status-details-bin", &details);
        for answer in [in_trailers, in_headers] {
            let mut envoy = answered("grpc", &answer);
            let wait = wait_for_retry(&mut envoy, seconds(15));
            assert!(Duration::from_millis(12_500) <= wait, "status {code}: came again after {wait:?}");
            assert_eq!(books(&mut envoy).discarded_total(), 0);
        }
    }
}

#[test]
fn a_partial_success_is_exported_in_part_and_told_once() {
    let partial = |rejected_spans, message: &str| {
        let partial_success = ExportTracePartialSuccess { rejected_spans, error_message: message.to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partial_success) }.encode_to_vec()
    };
    for (rejected, message, lost, lines) in
        [(2, "no room", 2, 1), (0, "be careful", 0, 1), (0, "", 0, 0), (99, "all of it", 3, 1), (-1, "", 0, 0)]
    {
        let body = partial(rejected, message);
        let frame = [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat();
        for (protocol, answer) in [
            ("http/protobuf", Answer::status(200).header("content-type", "application/x-protobuf").body(&body)),
            ("grpc", Answer::status(200).body(frame).trailer("grpc-status", "0")),
        ] {
            let mut envoy = answered(protocol, &answer);
            serve(&mut envoy, 3, 200);
            let id = until_export(&mut envoy, seconds(3));
            envoy.answer(id, answer);
            assert_eq!(closed_books(&mut envoy).exported, 2 * (3 - lost), "{protocol} {rejected} {message}");
            assert_eq!(discarded(&envoy, "rejected"), 2 * lost);
            let warnings = warnings(&envoy);
            assert_eq!(warnings.len(), lines, "{warnings:?}");
            assert!(warnings.iter().all(|line| line.contains(message)));
        }
    }
}

#[test]
fn a_good_status_with_nonsense_counts_as_exported_and_is_told_once() {
    for body in [&b"<html>welcome to nginx</html>"[..], &[0xff; 60_000], b"\x0a\xff\xff\xff\xff\xff"] {
        let mut envoy = answered("http/protobuf", &Answer::status(200).body(body));
        serve(&mut envoy, 1, 200);
        let id = until_export(&mut envoy, seconds(3));
        envoy.answer(id, Answer::status(200).body(body));
        assert_eq!(closed_books(&mut envoy).exported, 4);
        let warnings = warnings(&envoy);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("export.cluster") && warnings[0].len() < 1000, "{}", warnings[0]);
    }
}

#[test]
fn a_request_that_nobody_ever_answers_is_given_up_and_sent_again() {
    let mut envoy = three_in_flight("http/protobuf");
    let id = waiting(&envoy)[0];
    envoy.lose(id);
    envoy.advance(seconds(10));
    assert_eq!(books(&mut envoy).in_flight, 3, "its timeout is Envoy's business for a while");
    let wait = wait_for_retry(&mut envoy, seconds(10));
    assert!(wait <= seconds(8), "{wait:?}");
    let id = waiting(&envoy)[0];
    envoy.answer(id, 200);
    assert_eq!(closed_books(&mut envoy).exported, 3);
}

#[test]
fn a_timeout_is_envoys_504_and_tried_again() {
    let mut envoy = three_in_flight("http/protobuf");
    envoy.advance(seconds(13)); // The timeout is 10 s, the first pause below 1 s.
    assert_eq!(envoy.callouts().len(), 2);
    let id = waiting(&envoy)[0];
    envoy.answer(id, 200);
    assert_eq!(closed_books(&mut envoy).exported, 3);
    let warnings = warnings(&envoy);
    assert!(warnings.len() == 1 && warnings[0].contains("export.timeout_ms"), "{warnings:?}");
}
