//! Where and how spans are exported, already checked by `config`.

use crate::json::names;

names! {
    /// How OTLP travels.
    pub enum Protocol {
        /// OTLP over HTTP with binary protobuf.
        HttpProtobuf = "http/protobuf",
        /// OTLP over gRPC.
        Grpc = "grpc",
    }
}

names! {
    /// How bodies are compressed.
    pub enum Compression {
        /// Not at all.
        None = "none",
        /// gzip.
        Gzip = "gzip",
    }
}

/// What `export` in the configuration means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How requests travel.
    pub protocol: Protocol,
    /// The Envoy cluster of the collector.
    pub cluster: String,
    /// `:path` for [`Protocol::HttpProtobuf`]; an empty one becomes `/`. gRPC has a fixed path.
    pub path: String,
    /// `:authority`.
    pub authority: String,
    /// Sent with each request, credentials mostly. Names that [`Settings::reserves`] are not sent.
    pub headers: Vec<(String, String)>,
    /// Milliseconds for one attempt; 0 is read as 1, because Envoy reads 0 as "no timeout".
    pub timeout_ms: u32,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Spans that may wait, those waiting for a retry included; those in flight are bounded by their batches.
    pub max_queue_size: usize,
    /// Bytes of encoded spans that may be held at all: waiting or in flight.
    pub max_queue_bytes: usize,
    /// Spans in one request; 0 is read as 1.
    pub max_export_batch_size: usize,
    /// Longest wait before a partial batch is sent, in milliseconds.
    pub scheduled_delay_ms: u64,
    /// Whether spans carry their `tracestate`. Without it a collector sees neither `th` nor `rv`.
    pub tracestate: bool,
}

/// Header names that the exporter or the host sets. Lower case.
const RESERVED: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

impl Settings {
    /// Whether a header of this name cannot be configured: a pseudo-header, an empty name, or one that the exporter
    /// or the host sets. The case does not matter.
    pub fn reserves(name: &str) -> bool {
        name.is_empty() || name.starts_with(':') || RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_headers_cannot_be_configured_and_credentials_can() {
        for name in ["", ":path", "Content-Type", "te", "HOST", "user-agent"] {
            assert!(Settings::reserves(name), "{name}");
        }
        for name in ["authorization", "x-api-key", "api-key"] {
            assert!(!Settings::reserves(name), "{name}");
        }
    }
}
