//! What an operator should read in the log: once per episode, with what to do.

use std::fmt;

/// Why an export failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The host did not dispatch the request; the status is proxy-wasm's.
    NotDispatched {
        /// `WasmResult`: 2 is an unknown cluster, 10 a cluster without a host.
        status: u32,
    },
    /// The host says that there was no answer.
    NoAnswer,
    /// The host never came back, long after the timeout.
    NoCallback,
    /// An HTTP answer, possibly made by Envoy itself (503 unreachable, 504 timeout).
    Http {
        /// The status code.
        status: u16,
    },
    /// A gRPC answer, or an HTTP one read as gRPC's "HTTP to gRPC Status Code Mapping" does.
    Grpc {
        /// The status code; 2 also for an answer without one.
        code: u32,
    },
    /// A good status, and a body of more than [`super::MAX_ANSWER`] bytes.
    AnswerTooLarge,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first failure since exports last worked, or ever.
    Failing {
        /// Why.
        problem: Problem,
        /// What the answer says, made printable and short; may be empty.
        detail: String,
        /// Cluster, authority and path.
        endpoint: String,
        /// Whether the spans are kept for another attempt.
        retried: bool,
    },
    /// Exports work again.
    Recovered {
        /// Cluster, authority and path.
        endpoint: String,
        /// Spans discarded since the failure, for whatever reason.
        discarded: u64,
    },
    /// The collector took a batch only in part, or has a word to say about it. Told at most once in five minutes.
    PartialSuccess {
        /// Spans that it refused.
        rejected: u64,
        /// Its reason, made printable and short.
        detail: String,
        /// Cluster, authority and path.
        endpoint: String,
    },
    /// The status was good and the body is no OTLP answer. The spans count as exported; told at most once in five
    /// minutes, because it may well not be a collector.
    UnreadableAnswer {
        /// The body's beginning, made printable and short.
        detail: String,
        /// Cluster, authority and path.
        endpoint: String,
    },
}

impl Event {
    /// Whether this is a warning rather than good news.
    pub fn is_problem(&self) -> bool {
        !matches!(self, Self::Recovered { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing { problem, detail, endpoint, retried } => {
                write!(f, "export to {endpoint} failed: {problem}")?;
                if !detail.is_empty() {
                    write!(f, " \"{detail}\"")?;
                }
                f.write_str(if *retried {
                    "; spans are kept and sent again. "
                } else {
                    "; these spans are discarded. "
                })?;
                f.write_str(problem.advice())
            }
            Self::Recovered { endpoint, discarded } => {
                write!(f, "export to {endpoint} works again; {discarded} spans were discarded meanwhile")
            }
            Self::PartialSuccess { rejected, detail, endpoint } => write!(
                f,
                "export to {endpoint}: the collector rejected {rejected} spans of a batch \"{detail}\". Its own log says more."
            ),
            Self::UnreadableAnswer { detail, endpoint } => write!(
                f,
                "export to {endpoint}: a good status with a body that is no OTLP answer \"{detail}\". Check that \
                 export.cluster and export.path lead to an OTLP receiver."
            ),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDispatched { status } => write!(f, "Envoy did not send it, status {status}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::NoCallback => f.write_str("no answer long after export.timeout_ms"),
            Self::Http { status } => write!(f, "HTTP {status}"),
            Self::Grpc { code } => write!(f, "gRPC status {code}"),
            Self::AnswerTooLarge => f.write_str("an answer of more than 64 KiB"),
        }
    }
}

impl Problem {
    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NotDispatched { status: 2 } => {
                "Check that Envoy has a cluster of the name in export.cluster, and that export.authority is not empty."
            }
            Self::NotDispatched { status: 10 } => "The cluster has no host: check its endpoints, DNS or health.",
            Self::NotDispatched { .. } => "Envoy's own log says why.",
            Self::NoAnswer | Self::NoCallback => {
                "Check that the collector listens at the address of the cluster and speaks export.protocol."
            }
            Self::Http { status: 400 | 405 } => {
                "Check that export.path takes OTLP traces as protobuf (usually /v1/traces at port 4318)."
            }
            Self::Http { status: 401 | 403 } | Self::Grpc { code: 7 | 16 } => {
                "Check the credentials in export.headers."
            }
            Self::Http { status: 404 } => "Check export.path (usually /v1/traces) and the port (usually 4318).",
            Self::AnswerTooLarge => "Check that export.cluster and export.path lead to an OTLP receiver.",
            Self::Http { status: 413 } => "Lower export.max_export_batch_size, or raise the collector's limit.",
            Self::Http { status: 415 } => {
                "The receiver does not take protobuf: check export.protocol and the port (4318 HTTP, 4317 gRPC)."
            }
            Self::Http { status: 429 } | Self::Grpc { code: 8 } => {
                "The collector sheds load or the batch is too large for it: give it more room, or lower \
                 export.max_export_batch_size or sampling.ratio."
            }
            Self::Http { status: 502 | 503 } => {
                "Check that the collector listens at the address of the cluster, and its TLS settings."
            }
            Self::Http { status: 504 } | Self::Grpc { code: 4 } => {
                "The collector is too slow: check its load, or raise export.timeout_ms."
            }
            Self::Http { .. } => "Check that export.cluster and export.path lead to an OTLP receiver.",
            Self::Grpc { code: 12 } => {
                "Check that this port takes OTLP/gRPC (usually 4317) and that its traces pipeline is on."
            }
            Self::Grpc { code: 14 } => {
                "Check that the collector listens at the address of the cluster and that the cluster speaks HTTP/2."
            }
            Self::Grpc { .. } => "Check that export.cluster leads to an OTLP/gRPC receiver over HTTP/2.",
        }
    }
}

/// Bytes from the network for a log line: the first 200, control and broken characters replaced.
pub(super) fn printable(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let bytes = bytes.get(..MOST).unwrap_or(bytes).trim_ascii();
    String::from_utf8_lossy(bytes).chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
