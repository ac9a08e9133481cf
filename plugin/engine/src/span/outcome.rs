//! How a stream ended, as the conventions tell it: span status, its description, `error.type`.
//!
//! OpenTelemetry semantic conventions, HTTP spans "Status" and gRPC. A caller that leaves on its own (DC, DR) is not an error of
//! either side: the status stays unset, and `error.type` says `client_disconnect`. A connection that Envoy closes is a `reset`.

use std::borrow::Cow;

use super::semconv::OTHER;
use super::{HttpFacts, SpanKind, Status, bounds};
use crate::http::{GrpcStatus, ResponseFlags};

/// Status and `error.type` of a span.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Span status.
    pub status: Status,
    /// Absent when nothing went wrong.
    pub error_type: Option<Cow<'static, str>>,
}

/// The downstream's doing.
const CALLER_LEFT: ResponseFlags = ResponseFlags::DOWNSTREAM_DISCONNECT.or(ResponseFlags::DOWNSTREAM_REMOTE_RESET);

const TIMEOUT: ResponseFlags = ResponseFlags::UPSTREAM_TIMEOUT
    .or(ResponseFlags::STREAM_IDLE_TIMEOUT)
    .or(ResponseFlags::MAX_STREAM_DURATION)
    .or(ResponseFlags::DURATION_TIMEOUT);
const OVERFLOW: ResponseFlags = ResponseFlags::UPSTREAM_OVERFLOW
    .or(ResponseFlags::OVERLOAD_MANAGER)
    .or(ResponseFlags::DROP_OVERLOAD)
    .or(ResponseFlags::UNCONDITIONAL_DROP_OVERLOAD);
const PROTOCOL_ERROR: ResponseFlags = ResponseFlags::INVALID_HEADERS
    .or(ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR)
    .or(ResponseFlags::UPSTREAM_PROTOCOL_ERROR);
const RESET: ResponseFlags =
    ResponseFlags::LOCAL_RESET.or(ResponseFlags::UPSTREAM_REMOTE_RESET).or(ResponseFlags::CONNECTION_TERMINATION);

/// Words for `error.type` where no code says it, the more telling flags first. `_OTHER` stands for any other flag.
const WORDS: [(ResponseFlags, &str); 9] = [
    (ResponseFlags::DNS_FAILURE, "dns_failure"),
    (ResponseFlags::CONNECTION_FAILURE, "connection_failure"),
    (TIMEOUT, "timeout"),
    (OVERFLOW, "overflow"),
    (ResponseFlags::NO_HEALTHY_UPSTREAM, "no_healthy_upstream"),
    (ResponseFlags::NO_ROUTE.or(ResponseFlags::NO_CLUSTER), "no_route"),
    (PROTOCOL_ERROR, "protocol_error"),
    (RESET, "reset"),
    (ResponseFlags::RETRIES_EXHAUSTED, "retries_exhausted"),
];

/// Every word that `error.type` can be; else it is an HTTP status or the name of a gRPC status.
pub const ERROR_WORDS: [&str; 12] = [
    "dns_failure",
    "connection_failure",
    "timeout",
    "overflow",
    "no_healthy_upstream",
    "no_route",
    "protocol_error",
    "reset",
    "retries_exhausted",
    CLIENT_DISCONNECT,
    OTHER,
    NO_GRPC_STATUS,
];

/// `error.type` of a caller that left.
const CLIENT_DISCONNECT: &str = "client_disconnect";

/// `error.type` of a gRPC call whose answer was whole, had no error of HTTP, and lacked `grpc-status`.
const NO_GRPC_STATUS: &str = "no_grpc_status";

/// Judges the stream for one side of it. The `grpc-status` counts for a gRPC call only. Such a call without one has failed for both
/// sides: what answered it was not a gRPC server.
pub fn judge(kind: SpanKind, facts: &HttpFacts<'_>, is_grpc: bool) -> Outcome {
    let grpc_status = facts.grpc_status.filter(|_| is_grpc);
    let lacks_status = is_grpc && grpc_status.is_none();
    let closed = if facts.lasting { ResponseFlags::CLOSED } else { ResponseFlags::default() };
    let flags = facts.response_flags.without(closed);
    let left = flags.intersects(CALLER_LEFT) && !is_closed_here(facts);
    let ours = flags.without(CALLER_LEFT);
    match (grpc_status, facts.status_code) {
        (Some(status), _) if status.code() == CANCELLED && left => gone(),
        (Some(status), _) if grpc_failed(kind, status) => error(Cow::Borrowed(status.name()), facts, Some(status)),
        (_, Some(code)) if 500 <= code => error(code_text(code), facts, None),
        _ if broke_off(facts, ours, left) => error(Cow::Borrowed(word(ours)), facts, None),
        (_, Some(code)) if 400 <= code && (lacks_status || kind == SpanKind::Client) => {
            error(code_text(code), facts, None)
        }
        _ if left => gone(),
        (_, Some(_)) if lacks_status && !facts.lasting => error(Cow::Borrowed(NO_GRPC_STATUS), facts, None),
        _ => Outcome { status: Status::Unset, error_type: None },
    }
}

/// Envoy closed the connection itself, as for all that is running when it ends: the flag is that of a caller that left, and the details
/// say whose doing it was.
fn is_closed_here(facts: &HttpFacts<'_>) -> bool {
    facts.code_details.is_some_and(|details| details.starts_with(b"downstream_local_disconnect"))
}

const CANCELLED: u8 = 1;

/// A client counts all but OK as failures, a server only what is its own: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
/// INTERNAL, UNAVAILABLE, DATA_LOSS.
fn grpc_failed(kind: SpanKind, status: GrpcStatus) -> bool {
    match kind {
        SpanKind::Client => status != GrpcStatus::OK,
        SpanKind::Server => matches!(status.code(), 2 | 4 | 12..=15),
    }
}

/// Whether the answer is missing or cut short, and not because the caller left. A 4xx that Envoy flags is its own whole
/// answer (no route, a malformed request), unless the details say that the upstream's broke.
fn broke_off(facts: &HttpFacts<'_>, ours: ResponseFlags, left: bool) -> bool {
    let cut = !facts.lasting
        && facts.code_details.is_some_and(|details| details.starts_with(b"upstream_reset_after_response_started"));
    cut || facts.status_code.is_none_or(|code| code < 400) && (ours.failed() || facts.reset && !left)
}

fn gone() -> Outcome {
    Outcome { status: Status::Unset, error_type: Some(Cow::Borrowed(CLIENT_DISCONNECT)) }
}

fn error(error_type: Cow<'static, str>, facts: &HttpFacts<'_>, grpc_status: Option<GrpcStatus>) -> Outcome {
    let description = description(facts, grpc_status);
    Outcome { status: Status::Error { description }, error_type: Some(error_type) }
}

/// What the code does not tell: why Envoy gave up, or the gRPC status, which X-Ray shows nowhere else.
fn description(facts: &HttpFacts<'_>, grpc_status: Option<GrpcStatus>) -> String {
    let mut text = flags_text(facts.response_flags);
    let mut append = |bytes: &[u8]| {
        if !bytes.is_empty() {
            if !text.is_empty() {
                bounds::push(&mut text, " ", bounds::DESCRIPTION);
            }
            bounds::push(&mut text, &bounds::text(bytes, bounds::DESCRIPTION), bounds::DESCRIPTION);
        }
    };
    match local_details(facts) {
        Some(details) => append(details),
        None => append(facts.transport_failure_reason.unwrap_or_default()), // The details would have named it.
    }
    if let Some(status) = grpc_status {
        append(b"gRPC status");
        append(status.name().as_bytes());
    }
    text
}

/// Envoy's response code details, unless all they say is that the upstream answered.
pub fn local_details<'a>(facts: &HttpFacts<'a>) -> Option<&'a [u8]> {
    facts.code_details.filter(|details| !details.is_empty() && *details != b"via_upstream")
}

/// Short names joined by commas.
pub fn flags_text(flags: ResponseFlags) -> String {
    let mut text = String::new();
    if flags.is_empty() {
        return text; // As of nearly every stream.
    }
    for name in flags.names() {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
    }
    text
}

fn word(flags: ResponseFlags) -> &'static str {
    let known = WORDS.iter().find(|(bits, _)| flags.intersects(*bits)).map(|(_, word)| *word);
    known.unwrap_or(if flags.failed() { OTHER } else { "reset" })
}

fn code_text(code: u16) -> Cow<'static, str> {
    match code {
        500 => Cow::Borrowed("500"),
        503 => Cow::Borrowed("503"),
        504 => Cow::Borrowed("504"),
        _ => Cow::Owned(code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: &[u8] =
        b"upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";

    fn told(kind: SpanKind, facts: &HttpFacts<'_>) -> (Option<String>, String) {
        let outcome = judge(kind, facts, facts.grpc_status.is_some());
        let description = match outcome.status {
            Status::Unset => None,
            Status::Error { description } => Some(description),
        };
        (description, outcome.error_type.unwrap_or_default().into_owned())
    }

    #[test]
    fn every_word_is_in_the_list() {
        for bit in 0..64 {
            let word = word(ResponseFlags::from_bits(1 << bit));
            assert!(ERROR_WORDS.contains(&word), "{word}");
        }
    }

    #[test]
    fn http_codes_are_judged_by_side() {
        let upstream = HttpFacts { code_details: Some(b"via_upstream"), ..HttpFacts::default() };
        let fine = || (None, String::new());
        let failed = |error_type: &str| (Some(String::new()), error_type.to_owned());
        for (code, server, client) in [
            (101, fine(), fine()),
            (200, fine(), fine()),
            (302, fine(), fine()),
            (404, fine(), failed("404")),
            (429, fine(), failed("429")),
            (499, fine(), failed("499")),
            (500, failed("500"), failed("500")),
            (503, failed("503"), failed("503")),
            (599, failed("599"), failed("599")),
            (999, failed("999"), failed("999")),
        ] {
            let facts = HttpFacts { status_code: Some(code), ..upstream };
            assert_eq!(told(SpanKind::Server, &facts), server, "{code} on a server");
            assert_eq!(told(SpanKind::Client, &facts), client, "{code} on a client");
        }
    }

    #[test]
    fn grpc_statuses_are_judged_by_side() {
        for code in 0..=16 {
            let grpc_status = GrpcStatus::from_code(code);
            let facts = HttpFacts { status_code: Some(200), grpc_status, ..HttpFacts::default() };
            let name = grpc_status.map_or("", GrpcStatus::name);
            let failed = (Some(format!("gRPC status {name}")), name.to_owned());
            let server = matches!(
                name,
                "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
            );
            let fine = (None, String::new());
            assert_eq!(told(SpanKind::Server, &facts), if server { failed.clone() } else { fine.clone() }, "{name}");
            assert_eq!(told(SpanKind::Client, &facts), if code == 0 { fine } else { failed }, "{name}");
        }
    }

    #[test]
    fn a_grpc_call_that_was_answered_without_a_grpc_status_has_failed_for_both_sides() {
        let error = |kind, facts: &HttpFacts<'_>| judge(kind, facts, true).error_type.unwrap_or_default().into_owned();
        for kind in [SpanKind::Server, SpanKind::Client] {
            for (code, expected) in
                [(200, "no_grpc_status"), (302, "no_grpc_status"), (401, "401"), (404, "404"), (503, "503")]
            {
                let facts = HttpFacts { status_code: Some(code), ..HttpFacts::default() };
                assert_eq!(error(kind, &facts), expected, "{code}");
                assert_ne!(judge(kind, &facts, true).status, Status::Unset, "{code}");
            }
            let begun = HttpFacts { status_code: Some(200), reset: true, ..HttpFacts::default() };
            assert_eq!(error(kind, &begun), "reset");
            let left = HttpFacts { response_flags: ResponseFlags::DOWNSTREAM_DISCONNECT, ..begun };
            assert_eq!(error(kind, &left), "client_disconnect");
            let tunnel = HttpFacts { status_code: Some(200), lasting: true, ..HttpFacts::default() };
            assert_eq!(error(kind, &tunnel), "");
        }
        let denied =
            HttpFacts { status_code: Some(403), grpc_status: GrpcStatus::from_code(7), ..HttpFacts::default() };
        assert_eq!(error(SpanKind::Server, &denied), "", "its own status says that the caller is to blame");
    }

    #[test]
    fn what_envoy_did_is_in_the_description() {
        let facts = |code: u16, flags, details| HttpFacts {
            status_code: (code != 0).then_some(code),
            response_flags: ResponseFlags::from_bits(flags),
            code_details: Some(details),
            ..HttpFacts::default()
        };
        let reset = b"upstream_reset_after_response_started{protocol_error}";
        for (given, description, error_type) in [
            (facts(503, 0x8020, CONNECT), Some(format!("UF,URX {}", String::from_utf8_lossy(CONNECT))), "503"),
            (facts(503, 0x2, b"no_healthy_upstream"), Some("UH no_healthy_upstream".to_owned()), "503"),
            (facts(504, 0x4, b"response_timeout"), Some("UT response_timeout".to_owned()), "504"),
            (facts(503, 0, b"cluster_not_found"), Some("cluster_not_found".to_owned()), "503"),
            (facts(200, 0x80_0000, reset), Some(format!("UPE {}", String::from_utf8_lossy(reset))), "protocol_error"),
            (facts(404, 0x80_0000, reset), Some(format!("UPE {}", String::from_utf8_lossy(reset))), "protocol_error"),
            (facts(0, 0x40, b""), Some("UC".to_owned()), "reset"),
            (facts(0, 1 << 40, b""), Some(String::new()), "_OTHER"),
            (facts(404, 0x100, b"route_not_found"), None, ""),
            (facts(400, 0x4_0000, b"http1.codec_error"), None, ""),
            (facts(418, 0, b"direct_response"), None, ""),
            (facts(429, 0x800, b"request_rate_limited"), None, ""),
        ] {
            assert_eq!(told(SpanKind::Server, &given), (description, error_type.to_owned()), "{given:?}");
        }
        let unnamed =
            HttpFacts { status_code: Some(503), transport_failure_reason: Some(b"TLS_error"), ..HttpFacts::default() };
        assert_eq!(told(SpanKind::Client, &unnamed).0.as_deref(), Some("TLS_error"));
    }

    #[test]
    fn a_caller_that_leaves_is_no_error_but_is_told() {
        let left = HttpFacts {
            response_flags: ResponseFlags::DOWNSTREAM_DISCONNECT,
            code_details: Some(b"downstream_remote_disconnect"),
            reset: true,
            ..HttpFacts::default()
        };
        let gone = (None, "client_disconnect".to_owned());
        for kind in [SpanKind::Server, SpanKind::Client] {
            assert_eq!(told(kind, &left), gone);
            assert_eq!(told(kind, &HttpFacts { status_code: Some(200), ..left }), gone);
            assert_eq!(told(kind, &HttpFacts { grpc_status: GrpcStatus::from_code(1), ..left }), gone);
            assert_eq!(told(kind, &HttpFacts { response_flags: ResponseFlags::DOWNSTREAM_REMOTE_RESET, ..left }), gone);
            // What had gone wrong before counts all the same.
            assert_eq!(told(kind, &HttpFacts { status_code: Some(500), ..left }).1, "500");
            let slow = HttpFacts { response_flags: ResponseFlags::from_bits(0x4004), ..left };
            assert_eq!(told(kind, &slow).1, "timeout");
        }
    }

    #[test]
    fn a_connection_that_envoy_closes_has_the_flag_of_a_caller_that_left_and_is_a_reset() {
        let closed = HttpFacts {
            response_flags: ResponseFlags::DOWNSTREAM_DISCONNECT,
            code_details: Some(b"downstream_local_disconnect(filter_chain_is_being_removed)"),
            reset: true,
            ..HttpFacts::default()
        };
        for kind in [SpanKind::Server, SpanKind::Client] {
            assert_eq!(told(kind, &closed).1, "reset");
            assert_eq!(told(kind, &HttpFacts { status_code: Some(200), ..closed }).1, "reset");
            assert_eq!(told(kind, &HttpFacts { status_code: Some(200), lasting: true, reset: false, ..closed }).1, "");
        }
    }

    #[test]
    fn whoever_closes_a_tunnel_or_a_stream_of_events_ends_it_and_what_envoy_cuts_is_cut() {
        let cut = b"upstream_reset_after_response_started{remote_reset}";
        let open = HttpFacts { status_code: Some(200), code_details: Some(cut), lasting: true, ..HttpFacts::default() };
        for kind in [SpanKind::Server, SpanKind::Client] {
            for (flags, error_type) in [
                (ResponseFlags::default(), ""),
                (ResponseFlags::DOWNSTREAM_DISCONNECT, ""),
                (ResponseFlags::DOWNSTREAM_REMOTE_RESET, ""),
                (ResponseFlags::UPSTREAM_REMOTE_RESET, ""),
                (ResponseFlags::CONNECTION_TERMINATION, ""),
                (ResponseFlags::STREAM_IDLE_TIMEOUT, "timeout"),
                (ResponseFlags::MAX_STREAM_DURATION, "timeout"),
                (ResponseFlags::UPSTREAM_PROTOCOL_ERROR, ""),
                (ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR, "protocol_error"),
            ] {
                let outcome = told(kind, &HttpFacts { response_flags: flags, ..open });
                assert_eq!(outcome.1, error_type, "{flags:?}");
                assert_eq!(outcome.0.is_some(), !error_type.is_empty(), "{flags:?}");
            }
        }
        let answered = HttpFacts { response_flags: ResponseFlags::UPSTREAM_REMOTE_RESET, lasting: false, ..open };
        assert_eq!(told(SpanKind::Server, &answered).1, "reset", "any other answer was cut short");
    }

    #[test]
    fn an_answer_without_its_end_is_a_reset() {
        for status_code in [None, Some(200)] {
            let facts = HttpFacts { status_code, reset: true, ..HttpFacts::default() };
            assert_eq!(told(SpanKind::Server, &facts), (Some(String::new()), "reset".to_owned()));
        }
        assert_eq!(told(SpanKind::Server, &HttpFacts::default()), (None, String::new()));
    }
}
