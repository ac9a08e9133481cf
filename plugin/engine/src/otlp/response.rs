//! What a collector answers to an export. OTLP 1.x, `opentelemetry/proto/collector/trace/v1/trace_service.proto`.
//!
//! Two messages, written out: the crate that has them brings a whole SDK along.

use prost::Message;

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// Absent where all was taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// Spans that the collector refused.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why, or a warning where none was refused.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};

    use super::*;

    #[test]
    fn it_reads_what_the_published_messages_write() {
        for (rejected_spans, error_message) in [(0, ""), (3, "too many"), (-1, "odd"), (i64::MAX, "\u{e9}")] {
            let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.to_owned() };
            let written = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
            let read =
                ExportResponse::decode(written.as_slice()).expect("a response").partial_success.expect("partial");
            assert_eq!((read.rejected_spans, read.error_message.as_str()), (rejected_spans, error_message));
        }
        assert_eq!(ExportResponse::decode(&b""[..]), Ok(ExportResponse { partial_success: None }));
    }
}
