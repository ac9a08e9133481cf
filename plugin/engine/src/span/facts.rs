//! What is known of a finished stream, as Envoy hands it over.

use crate::http::{GrpcStatus, ResponseFlags};
use crate::trace_context::{SpanId, TraceFlags, TraceId};
use crate::upgrade::{Calls, Trigger};

/// The facts of one request and its answer. Every text is raw bytes, any of which a client may have chosen; `None` is what
/// Envoy did not know or the filter did not read.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpFacts<'a> {
    /// `:method`.
    pub method: Option<&'a [u8]>,
    /// `:path`, with the query string.
    pub path: Option<&'a [u8]>,
    /// `:scheme`, or the property `request.scheme`.
    pub scheme: Option<&'a [u8]>,
    /// `:authority`, which Envoy makes of `Host` in HTTP/1.
    pub authority: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `request.protocol`: `HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
    pub protocol: Option<&'a [u8]>,
    /// `Forwarded` (RFC 7239).
    pub forwarded: Option<&'a [u8]>,
    /// `X-Forwarded-Proto`.
    pub forwarded_proto: Option<&'a [u8]>,
    /// `X-Forwarded-Host`.
    pub forwarded_host: Option<&'a [u8]>,
    /// Whether the three headers above are believed: on every listener but the mesh's outer one (`edge: true`), where any
    /// client may write them. They count for SERVER spans only.
    pub trust_forwarded: bool,
    /// The request's `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The answer's content type is that of gRPC. Read for gRPC calls only.
    pub grpc_answer: bool,
    /// An answer to an earlier call has shown that the server knows the method, or that is not kept account of.
    pub grpc_method_seen: bool,
    /// `grpc-status` from the response's headers or trailers. Not the property `response.grpc_status`, which Envoy derives
    /// from the HTTP status when there is none.
    pub grpc_status: Option<GrpcStatus>,
    /// `response.code`; absent when no answer was made.
    pub status_code: Option<u16>,
    /// `response.flags`.
    pub response_flags: ResponseFlags,
    /// The stream ended before its answer was whole.
    pub reset: bool,
    /// The answer is a switched protocol, a tunnel or a stream of server-sent events: whichever side closes it first ends it, and
    /// that is no error.
    pub lasting: bool,
    /// `response.code_details`; `via_upstream` when the upstream answered.
    pub code_details: Option<&'a [u8]>,
    /// `source.address`, "ip:port". Envoy has already applied `X-Forwarded-For` as its `use_remote_address` and
    /// `xff_num_trusted_hops` say; the port is 0 then.
    pub source_address: Option<&'a [u8]>,
    /// `destination.address`, "ip:port".
    pub destination_address: Option<&'a [u8]>,
    /// `upstream.address`, "ip:port"; set also when the connection failed.
    pub upstream_address: Option<&'a [u8]>,
    /// The template of the route, where request metrics know it; preferred to a route's name.
    pub template: Option<&'a [u8]>,
    /// `xds.route_name`. Taken for a path template when it starts with `/`, since it is then an operator's choice.
    pub route_name: Option<&'a [u8]>,
    /// `xds.cluster_name`.
    pub cluster_name: Option<&'a [u8]>,
    /// `upstream.transport_failure_reason`.
    pub transport_failure_reason: Option<&'a [u8]>,
    /// Request headers in wire order, names in lower case, duplicates apart; those that the settings list are enough.
    pub request_headers: &'a [(Vec<u8>, Vec<u8>)],
    /// Response headers, likewise.
    pub response_headers: &'a [(Vec<u8>, Vec<u8>)],
}

/// Who the span is and when it was.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The trace.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The caller's span; `None` for a root.
    pub parent_id: Option<SpanId>,
    /// The parent came over the wire.
    pub parent_remote: bool,
    /// W3C flags of the trace; the span itself is exported as sampled.
    pub flags: TraceFlags,
    /// The `tracestate` to export.
    pub tracestate: Option<Vec<u8>>,
    /// Nanoseconds since the epoch.
    pub start_unix_nanos: u64,
    /// Nanoseconds since the epoch.
    pub end_unix_nanos: u64,
}

/// Why the span exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provenance<'a> {
    /// The reason of the head decision, as its counter names it.
    pub reason: &'static str,
    /// The sampling rule that matched.
    pub rule: Option<&'a str>,
    /// The X-Ray rule by which the trace was decided.
    pub xray_rule: Option<&'a str>,
    /// The id of the key whose token had it recorded.
    pub force_key: Option<&'a str>,
    /// What upgraded the trace.
    pub trigger: Option<Trigger>,
    /// How many requests this one stands for, when that is known.
    pub adjusted_count: Option<f64>,
    /// What is known of the calls behind this span.
    pub calls: Option<Calls>,
    /// The parent-id that came over the wire, where its span is not exported and the span goes out below another.
    pub unrecorded_parent: Option<SpanId>,
}
