//! OTLP messages. A span is encoded once, when it is offered; a request is the envelope around such spans.

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as ProtoSpan, Status as ProtoStatus, span, status,
};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::queue::EncodedSpan;
use crate::span::{Resource, Span, SpanKind, Status, Value};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u32 = 2;
/// `ScopeSpans.spans`.
const SPANS: u32 = 2;
/// `SpanFlags`: the next bit says something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SpanFlags`: the parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// Encodes a span for the queue. Without `tracestate` the whole `trace_state` stays empty, and with it `th` and `rv`.
pub fn encode_span(span: &Span, tracestate: bool) -> EncodedSpan {
    let remote = if span.parent_remote { IS_REMOTE } else { 0 };
    let trace_state = match &span.tracestate {
        Some(members) if tracestate => members.clone(),
        _ => String::new(),
    };
    let message = ProtoSpan {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        trace_state,
        parent_span_id: span.parent_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        flags: u32::from(span.flags.bits()) | HAS_IS_REMOTE | remote,
        name: span.name.to_string(),
        kind: match span.kind {
            SpanKind::Server => span::SpanKind::Server.into(),
            SpanKind::Client => span::SpanKind::Client.into(),
        },
        start_time_unix_nano: span.start_unix_nanos,
        end_time_unix_nano: span.end_unix_nanos,
        attributes: attributes(span.attributes.iter().map(|(key, value)| (key, value))),
        status: match &span.status {
            Status::Unset => None,
            Status::Error { description } => {
                Some(ProtoStatus { message: description.clone(), code: status::StatusCode::Error.into() })
            }
        },
        ..ProtoSpan::default()
    };
    let len = message.encoded_len();
    let mut field = Vec::with_capacity(field_len(SPANS, len));
    encode_field_head(SPANS, len, &mut field);
    message.encode_raw(&mut field);
    EncodedSpan::from_field(field)
}

/// What surrounds the spans of a request: whose they are and who recorded them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The `resource` field of `ResourceSpans`.
    resource: Vec<u8>,
    /// The `scope` field of `ScopeSpans`.
    scope: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(resource: &Resource) -> Self {
        let resource = ResourceSpans {
            resource: Some(ProtoResource {
                attributes: attributes(resource.attributes().iter().map(|(key, value)| (key, value))),
                ..ProtoResource::default()
            }),
            ..ResourceSpans::default()
        };
        let scope = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        };
        Self { resource: resource.encode_to_vec(), scope: scope.encode_to_vec() }
    }

    /// The most that the envelope adds to the spans of a request, bytes.
    pub(super) fn overhead(&self) -> usize {
        const HEADS: usize = 2 * (1 + 5); // Two fields below 2^35 bytes.
        self.resource.len().saturating_add(self.scope.len()).saturating_add(HEADS)
    }

    /// Appends an `ExportTraceServiceRequest` with these spans, which are `bytes` long together.
    pub(super) fn wrap(&self, spans: &[EncodedSpan], bytes: usize, request: &mut Vec<u8>) {
        let scope_spans = self.scope.len().saturating_add(bytes);
        let resource_spans = self.resource.len().saturating_add(field_len(SCOPE_SPANS, scope_spans));
        request.reserve(field_len(RESOURCE_SPANS, resource_spans));
        encode_field_head(RESOURCE_SPANS, resource_spans, request);
        request.extend_from_slice(&self.resource);
        encode_field_head(SCOPE_SPANS, scope_spans, request);
        request.extend_from_slice(&self.scope);
        for span in spans {
            request.extend_from_slice(span.as_bytes());
        }
    }
}

fn encode_field_head(tag: u32, len: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn field_len(tag: u32, len: usize) -> usize {
    key_len(tag).saturating_add(encoded_len_varint(len as u64)).saturating_add(len)
}

fn attributes<'a, K>(attributes: impl Iterator<Item = (K, &'a Value)>) -> Vec<KeyValue>
where
    K: AsRef<str>,
{
    attributes
        .map(|(key, value)| KeyValue {
            key: key.as_ref().to_owned(),
            value: Some(any_value(value)),
            ..KeyValue::default()
        })
        .collect()
}

fn any_value(value: &Value) -> AnyValue {
    let text = |text: &String| ProtoValue::StringValue(text.clone());
    let value = match value {
        Value::Text(value) => text(value),
        Value::Int(value) => ProtoValue::IntValue(*value),
        Value::Bool(value) => ProtoValue::BoolValue(*value),
        Value::Double(value) => ProtoValue::DoubleValue(*value),
        Value::TextArray(values) => ProtoValue::ArrayValue(ArrayValue {
            values: values.iter().map(|value| AnyValue { value: Some(text(value)) }).collect(),
        }),
    };
    AnyValue { value: Some(value) }
}
