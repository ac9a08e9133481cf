//! What an answer means: accepted, try again, or never again. OTLP specification, "Failures", for both protocols.

use prost::Message;

use super::counts::DiscardReason;
use super::event::{Problem, printable};
use crate::http::{number, retry_after_ms};
use crate::otlp::GRPC_PREFIX;
use crate::otlp::{ExportResponse, Protocol};
use crate::otlp::{RpcStatus, retry_info_ms};

/// Most bytes of an answer that are read. OTLP, "Failures", allows a client at most 4 MiB; the messages it knows are a few bytes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// gRPC `UNKNOWN`, also the meaning of an answer without a status.
const GRPC_UNKNOWN: u32 = 2;
/// How Envoy's own answer begins where a request met a fault on its way; `reset reason: ` and the reason follow. Router filter, 1.40.
const FAULT: &[u8] = b"upstream connect error or disconnect/reset before headers. ";
/// The same where the time was over.
const TIMED_OUT: &[u8] = b"upstream request timeout";
/// Faults before anything of the request reached its destination. One that Envoy met on a second attempt is not among them.
const NOT_SENT: [&[u8]; 6] = [
    b"reset reason: local connection failure",
    b"reset reason: remote connection failure",
    b"reset reason: connection timeout",
    b"reset reason: overflow",
    b"reset reason: local refused stream",
    b"reset reason: remote refused stream", // HTTP/2 REFUSED_STREAM: nothing was processed.
];

/// What the host's callback hands over. Any bytes are legal.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `:status` as a number; `None` when there are no headers at all (older hosts report a failure so).
    pub status: Option<u16>,
    /// Headers as they came.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Trailers as they came.
    pub trailers: &'a [(&'a [u8], &'a [u8])],
    /// The body; one byte more than [`MAX_ANSWER`] is enough to tell that it is too large.
    pub body: &'a [u8],
}

/// What to do with the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The collector has it.
    Accepted {
        /// Spans that the collector refused; may be above what was sent.
        rejected: u64,
        /// Its words.
        detail: String,
        /// Whether the body could be read.
        readable: bool,
    },
    /// It may be sent again.
    Retry {
        /// What happened.
        problem: Problem,
        /// The collector's words.
        detail: String,
        /// The wait that the collector asks for.
        asked_ms: Option<u64>,
    },
    /// It must not be sent again.
    Discard {
        /// What happened.
        problem: Problem,
        /// The collector's words.
        detail: String,
        /// How the loss is counted.
        reason: DiscardReason,
    },
}

impl Answer<'_> {
    /// What to do now; `unix_nanos` is the time.
    pub fn verdict(&self, protocol: Protocol, unix_nanos: u64) -> Verdict {
        let Some(status) = self.status else {
            return Verdict::Retry { problem: Problem::NoAnswer, detail: String::new(), asked_ms: None };
        };
        match protocol {
            Protocol::HttpProtobuf => self.http(status, unix_nanos),
            Protocol::Grpc => self.grpc(status),
        }
    }

    /// Whether the collector may have stored what it did not acknowledge: the answer, if there is one, is a proxy's own, and does not
    /// say that nothing was sent.
    pub fn may_have_arrived(&self) -> bool {
        let text = self.grpc_field("grpc-message").unwrap_or(self.body);
        match (self.status, text.strip_prefix(FAULT)) {
            (None | Some(502 | 504), _) => true,
            (_, Some(reason)) => !NOT_SENT.iter().any(|known| reason.starts_with(known)),
            // CANCELLED and DEADLINE_EXCEEDED.
            _ => text.starts_with(TIMED_OUT) || matches!(self.grpc_field("grpc-status"), Some(b"1" | b"4")),
        }
    }

    fn http(&self, status: u16, unix_nanos: u64) -> Verdict {
        let problem = Problem::Http { status };
        match status {
            200..=299 if MAX_ANSWER < self.body.len() => too_large(),
            200..=299 if self.is_json() => accepted(&[]), // Lawful only for a JSON request, but a good status.
            200..=299 => accepted(self.body),
            429 | 502 | 503 | 504 => {
                Verdict::Retry { problem, detail: self.http_detail(), asked_ms: self.retry_after_ms(unix_nanos) }
            }
            _ => Verdict::Discard {
                problem,
                detail: self.http_detail(),
                reason: match status {
                    413 => DiscardReason::TooLarge,
                    _ => DiscardReason::NonRetryable,
                },
            },
        }
    }

    /// The longest wait of all lines: a proxy may have added one of its own.
    fn retry_after_ms(&self, unix_nanos: u64) -> Option<u64> {
        let lines = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(b"retry-after"));
        lines.filter_map(|(_, value)| retry_after_ms(value, unix_nanos)).max()
    }

    fn grpc(&self, status: u16) -> Verdict {
        let code = match self.grpc_field("grpc-status") {
            Some(code) => grpc_code(code),
            // gRPC, "HTTP to gRPC Status Code Mapping": for answers of proxies.
            None => match status {
                400 => 13,
                401 => 16,
                403 => 7,
                404 => 12,
                429 | 502 | 503 | 504 => 14,
                _ => GRPC_UNKNOWN,
            },
        };
        if code == 0 && MAX_ANSWER < self.body.len() {
            return too_large();
        }
        if code == 0 {
            return match self.body.split_at_checked(GRPC_PREFIX) {
                None => accepted(self.body), // Nothing, or not a message.
                Some((_, message)) => accepted(message),
            };
        }
        let problem = Problem::Grpc { code };
        let detail = printable(self.grpc_field("grpc-message").unwrap_or(self.body));
        let asked_ms = self.grpc_field("grpc-status-details-bin").and_then(retry_info_ms);
        match code {
            // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
            1 | 4 | 10 | 11 | 14 | 15 => Verdict::Retry { problem, detail, asked_ms },
            // RESOURCE_EXHAUSTED is worth a retry only when the collector says that it will recover.
            8 if asked_ms.is_some() => Verdict::Retry { problem, detail, asked_ms },
            _ => Verdict::Discard { problem, detail, reason: DiscardReason::NonRetryable },
        }
    }

    /// An answer without a body carries its status in the headers ("Trailers-Only").
    fn grpc_field(&self, name: &str) -> Option<&[u8]> {
        find(self.trailers, name).or_else(|| find(self.headers, name))
    }

    fn is_json(&self) -> bool {
        find(self.headers, "content-type").is_some_and(|value| value.starts_with(b"application/json"))
    }

    /// The words of an error: of a `google.rpc.Status`, or of Envoy's or a proxy's text.
    fn http_detail(&self) -> String {
        let protobuf =
            find(self.headers, "content-type").is_some_and(|value| value.starts_with(b"application/x-protobuf"));
        match RpcStatus::decode(self.body) {
            Ok(status) if protobuf => printable(&status.message),
            _ => printable(self.body),
        }
    }
}

/// OTLP asks to treat it as a failure for good, whatever it would say.
fn too_large() -> Verdict {
    Verdict::Discard { problem: Problem::AnswerTooLarge, detail: String::new(), reason: DiscardReason::NonRetryable }
}

fn accepted(body: &[u8]) -> Verdict {
    match ExportResponse::decode(body) {
        Ok(response) => {
            let partial = response.partial_success.unwrap_or_default();
            Verdict::Accepted {
                rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
                detail: printable(partial.error_message.as_bytes()),
                readable: true,
            }
        }
        Err(_) => Verdict::Accepted { rejected: 0, detail: printable(body), readable: false },
    }
}

/// A status that is not a number is UNKNOWN.
fn grpc_code(value: &[u8]) -> u32 {
    number(value.trim_ascii()).and_then(|code| u32::try_from(code).ok()).unwrap_or(GRPC_UNKNOWN)
}

fn find<'a>(headers: &'a [(&'a [u8], &'a [u8])], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
}
