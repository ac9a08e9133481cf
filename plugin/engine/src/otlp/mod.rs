//! OTLP on the wire: spans and requests as bytes, and how they are framed and compressed.

mod exemplar;
mod framing;
mod gzip;
mod metrics;
mod protobuf;
mod response;
mod rpc_status;
mod settings;
mod span;

pub use exemplar::Exemplar;
pub use framing::{GRPC_PREFIX, body, headers, metrics_headers, path};
pub use metrics::{Buckets, HistogramPoint, Histograms};
pub use response::ExportResponse;
pub use rpc_status::{RpcStatus, retry_info_ms};
pub use settings::{Compression, Protocol, Settings};
pub use span::{EncodedSpan, Envelope, SpanEncoder, encode_span};
