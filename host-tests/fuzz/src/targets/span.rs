//! Spans: whatever a client or an upstream wrote, what is exported is valid OTLP within its bounds and holds no secret.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Export;
use prost::Message;
use tracelift::http::{GrpcStatus, ResponseFlags};
use tracelift::otlp::encode_span;
use tracelift::span::{AttributeSettings, HttpFacts, Identity, Provenance, SpanKind, Value, build};
use tracelift::trace_context::{SpanId, TraceFlags, TraceId};

use super::exporter::{START, exporter, settings};
use crate::Input;

/// What no span may hold, wherever in the listed headers of secrets and signed queries it stood.
const SECRET: &[u8] = b"hunter2-hunter2";
/// Listed on purpose: an operator may ask for these headers, and gets to know only that they were there.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "x-api-key"];

pub(super) fn span(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut request_headers = input.pairs(5);
    request_headers.extend(SECRET_HEADERS.map(|name| (name.as_bytes().to_vec(), SECRET.to_vec())));
    let response_headers = input.pairs(5);
    let mut listed: Vec<String> =
        request_headers.iter().map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    listed.truncate(8);
    let listed = AttributeSettings {
        response_headers: listed.clone(),
        request_headers: listed,
        query: input.any(),
        ..AttributeSettings::default()
    };
    let facts = HttpFacts {
        method: input.maybe_bytes(),
        path: input.maybe_bytes(),
        scheme: input.maybe_bytes(),
        authority: input.maybe_bytes(),
        user_agent: input.maybe_bytes(),
        protocol: input.maybe_bytes(),
        forwarded: input.maybe_bytes(),
        forwarded_proto: input.maybe_bytes(),
        forwarded_host: input.maybe_bytes(),
        trust_forwarded: input.any(),
        content_type: input.any::<bool>().then_some(b"application/grpc"),
        grpc_answer: input.any(),
        grpc_method_seen: input.any(),
        grpc_status: input.maybe_bytes().map(GrpcStatus::from_header),
        status_code: input.any(),
        response_flags: ResponseFlags::from_bits(input.any()),
        reset: input.any(),
        lasting: input.any(),
        code_details: input.maybe_bytes(),
        source_address: input.maybe_bytes(),
        destination_address: input.maybe_bytes(),
        upstream_address: input.maybe_bytes(),
        route_name: input.maybe_bytes(),
        cluster_name: input.maybe_bytes(),
        transport_failure_reason: input.maybe_bytes(),
        request_headers: &request_headers,
        response_headers: &response_headers,
        template: input.maybe_bytes(),
    };
    let identity = Identity {
        trace_id: TraceId::from_u128(input.any::<u128>().max(1)).expect("not zero"),
        span_id: SpanId::from_u64(input.any::<u64>().max(1)).expect("not zero"),
        parent_id: SpanId::from_u64(input.any()),
        parent_remote: input.any(),
        flags: TraceFlags::from_bits(input.any()),
        tracestate: input.maybe_bytes().map(<[u8]>::to_vec),
        start_unix_nanos: input.any(),
        end_unix_nanos: input.any(),
    };
    let kind = input.one_of(&[SpanKind::Server, SpanKind::Client]);
    let span = build(&listed, kind, identity, &facts, &Provenance { reason: "ratio", ..Provenance::default() });
    assert!(span.start_unix_nanos <= span.end_unix_nanos);
    assert!(!span.name.is_empty() && span.name.len() <= 1_024, "{:?}", span.name);
    let mut keys: Vec<_> = span.attributes.iter().map(|(key, _)| key).collect();
    keys.sort();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key comes twice: {keys:?}");
    if !bytes.windows(SECRET.len()).any(|window| window == SECRET) {
        assert!(!span.attributes.iter().any(|(_, value)| holds_secret(value)), "{:?}", span.attributes);
    }
    let mut exporter = exporter(settings());
    if exporter.offer(encode_span(&span, input.any())).is_ok() {
        let request = exporter.poll(START, 0, true).expect("one span waits");
        let decoded = Export::decode(&request.body[..]).expect("valid OTLP");
        let decoded = &decoded.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(decoded.span_id, span.span_id.to_bytes());
        assert_eq!(decoded.attributes.len(), span.attributes.len());
    }
}

fn holds_secret(value: &Value) -> bool {
    let holds = |text: &str| text.as_bytes().windows(SECRET.len()).any(|window| window == SECRET);
    match value {
        Value::Text(text) => holds(text),
        Value::TextArray(texts) => texts.iter().any(|text| holds(text)),
        Value::Int(_) | Value::Bool(_) | Value::Double(_) => false,
    }
}
