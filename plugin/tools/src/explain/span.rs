//! The span that a kept request becomes.

use serde::Serialize;

use super::{Answer, Request};
use tracelift::otlp::encode_span;
use tracelift::policy::Policy;
use tracelift::span::{
    self, AttributeSettings, HttpFacts, Identity, Kinds, ListenerDirection, NodeMetadata, Provenance, Span, SpanKind,
    Status, Value,
};
use tracelift::stream::Keep;
use tracelift::trace_context::{HeaderEdit, TraceState};

/// A span, for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanShown {
    /// `SERVER` or `CLIENT`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its id, hexadecimal.
    pub span_id: String,
    /// Its parent's id; `None` for the root.
    pub parent_id: Option<String>,
    /// Its `tracestate`.
    pub tracestate: Option<String>,
    /// Whether its status is an error.
    pub error: bool,
    /// Its attributes, as text.
    pub attributes: Vec<(String, String)>,
    /// Bytes that it adds to an export.
    pub bytes: usize,
}

/// What only Envoy knows of a request; nothing, where only the request is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// `source.address`.
    pub source: Option<&'a str>,
    /// `destination.address`.
    pub destination: Option<&'a str>,
    /// `upstream.address`.
    pub upstream: Option<&'a str>,
    /// `xds.route_name`.
    pub route: Option<&'a str>,
    /// `xds.cluster_name`.
    pub cluster: Option<&'a str>,
}

/// The one span, or the two, that this stream becomes, as in the filter.
pub fn spans(
    policy: &Policy,
    keep: &Keep,
    request: &Request,
    answer: &Answer,
    around: &Surroundings<'_>,
) -> Vec<SpanShown> {
    let started = 1_700_000_000_000_000_000_u64; // Any time at all: only the encoded size could depend on it, and does not.
    let ended = started.saturating_add(answer.duration_ms.saturating_mul(1_000_000));
    let header = |name: &str| request.header(name).map(str::as_bytes);
    let listed: Vec<(Vec<u8>, Vec<u8>)> = request
        .headers
        .iter()
        .filter(|(name, _)| policy.attributes.request_headers.contains(name))
        .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
        .collect();
    let facts = HttpFacts {
        method: Some(request.method.as_bytes()),
        path: Some(request.path.as_bytes()),
        scheme: Some(b"http"),
        authority: Some(request.host.as_bytes()),
        user_agent: header("user-agent"),
        protocol: Some(b"HTTP/1.1"),
        trust_forwarded: !policy.edge,
        content_type: header("content-type"),
        grpc_status: keep.grpc_status,
        status_code: keep.status,
        response_flags: answer.flags,
        reset: !answer.complete,
        source_address: around.source.map(str::as_bytes),
        destination_address: around.destination.map(str::as_bytes),
        upstream_address: around.upstream.map(str::as_bytes),
        route_name: around.route.map(str::as_bytes),
        cluster_name: around.cluster.map(str::as_bytes),
        request_headers: &listed,
        ..HttpFacts::default()
    };
    let rule = policy.sampling.rule(keep.rule).map(|rule| rule.name.as_str());
    let provenance = Provenance {
        reason: keep.reason.name(),
        rule,
        xray_rule: None,
        trigger: keep.trigger,
        adjusted_count: keep.adjusted_count,
        calls: None,
    };
    let identity = |span_id, parent_id, parent_remote| Identity {
        trace_id: keep.trace_id,
        span_id,
        parent_id,
        parent_remote,
        flags: keep.flags,
        tracestate: tracestate(request, keep),
        start_unix_nanos: started,
        end_unix_nanos: ended,
    };
    let service_name = policy.resource.merge(&NodeMetadata::default()).xray_service_name().to_owned();
    let settings = AttributeSettings { service_name, ..policy.attributes.clone() };
    let shown = |kind, identity| show(&span::build(&settings, kind, identity, &facts, &provenance), policy);
    let remote = keep.parent_id.is_some();
    match (policy.span_kind.kinds(ListenerDirection::Unspecified), keep.server_span_id) {
        (Kinds::ServerAndClient, Some(server)) => vec![
            shown(SpanKind::Server, identity(server, keep.parent_id, remote)),
            shown(SpanKind::Client, identity(keep.span_id, Some(server), false)),
        ],
        (Kinds::One(kind), _) => vec![shown(kind, identity(keep.span_id, keep.parent_id, remote))],
        (Kinds::ServerAndClient, None) => vec![shown(SpanKind::Server, identity(keep.span_id, keep.parent_id, remote))],
    }
}

/// The caller's `tracestate` with the probability that the exported span has.
fn tracestate(request: &Request, keep: &Keep) -> Option<Vec<u8>> {
    let caller = request.header("tracestate").filter(|_| keep.parent_id.is_some()).unwrap_or_default();
    let state = TraceState::parse(caller.as_bytes()).unwrap_or_else(|_| TraceState::empty());
    match state.edit(keep.th, None) {
        HeaderEdit::Replace(value) => Some(value),
        HeaderEdit::Remove => None,
        HeaderEdit::Keep => (!caller.is_empty()).then(|| caller.as_bytes().to_vec()),
    }
}

fn show(span: &Span<'_>, policy: &Policy) -> SpanShown {
    let hex = |id: [u8; 16]| String::from_utf8_lossy(&id).into_owned();
    SpanShown {
        kind: if span.kind == SpanKind::Server { "SERVER" } else { "CLIENT" },
        name: span.name.to_string(),
        span_id: hex(span.span_id.hex()),
        parent_id: span.parent_id.map(|id| hex(id.hex())),
        tracestate: span.tracestate.clone().filter(|_| policy.export.tracestate),
        error: matches!(span.status, Status::Error { .. }),
        attributes: span.attributes.iter().map(|(key, value)| (key.to_string(), text(value))).collect(),
        bytes: encode_span(span, policy.export.tracestate).len(),
    }
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Double(number) => number.to_string(),
        Value::TextArray(texts) => texts.join(", "),
    }
}
