//! Bodies and headers of OTLP/HTTP and OTLP/gRPC requests.

use super::gzip;
use super::settings::{Compression, Protocol, Settings};
use super::span::{EncodedSpan, Envelope};
use crate::identity::USER_AGENT;

/// The one method of OTLP/gRPC for spans.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The one for metrics.
const GRPC_METRICS_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// A gRPC message starts with one byte, whether it is compressed, and four, its length, most significant first.
pub const GRPC_PREFIX: usize = 5;

/// The path that requests go to.
pub fn path(settings: &Settings) -> &str {
    match settings.protocol {
        Protocol::Grpc => GRPC_PATH,
        Protocol::HttpProtobuf if settings.path.is_empty() => "/",
        Protocol::HttpProtobuf => &settings.path,
    }
}

/// The headers of every request with spans. All names are lower case.
pub fn headers(settings: &Settings) -> Vec<(String, String)> {
    headers_to(settings, path(settings))
}

/// The headers of every request with metrics; `path` is that of OTLP over HTTP.
pub fn metrics_headers(settings: &Settings, path: &str) -> Vec<(String, String)> {
    let path = match settings.protocol {
        Protocol::Grpc => GRPC_METRICS_PATH,
        Protocol::HttpProtobuf => path,
    };
    headers_to(settings, path)
}

fn headers_to(settings: &Settings, path: &str) -> Vec<(String, String)> {
    let content_type = match settings.protocol {
        Protocol::HttpProtobuf => "application/x-protobuf",
        Protocol::Grpc => "application/grpc",
    };
    let own = [
        (":method", "POST"),
        (":path", path),
        (":authority", &settings.authority),
        ("content-type", content_type),
        ("user-agent", USER_AGENT),
    ];
    let grpc = (settings.protocol == Protocol::Grpc).then_some(("te", "trailers"));
    let encoding = match (settings.compression, settings.protocol) {
        (Compression::None, _) => None,
        (Compression::Gzip, Protocol::HttpProtobuf) => Some(("content-encoding", "gzip")),
        (Compression::Gzip, Protocol::Grpc) => Some(("grpc-encoding", "gzip")),
    };
    let configured = settings
        .headers
        .iter()
        .filter(|(name, _)| !Settings::reserves(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    own.into_iter()
        .chain(grpc)
        .chain(encoding)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(configured)
        .collect()
}

/// The body of one request with these spans, which are `bytes` long together.
pub fn body(settings: &Settings, envelope: &Envelope, spans: &[EncodedSpan], bytes: usize) -> Vec<u8> {
    let prefix = match settings.protocol {
        Protocol::HttpProtobuf => 0,
        Protocol::Grpc => GRPC_PREFIX,
    };
    let mut body = vec![0; prefix];
    match settings.compression {
        Compression::None => envelope.wrap(spans, bytes, &mut body),
        Compression::Gzip => {
            let mut message = Vec::new();
            envelope.wrap(spans, bytes, &mut message);
            gzip::append(&message, &mut body);
        }
    }
    let len = u32::try_from(body.len().saturating_sub(prefix)).unwrap_or(u32::MAX);
    if let Some([flag, size @ ..]) = body.first_chunk_mut::<GRPC_PREFIX>()
        && settings.protocol == Protocol::Grpc
    {
        *flag = u8::from(settings.compression == Compression::Gzip);
        *size = len.to_be_bytes();
    }
    body
}
