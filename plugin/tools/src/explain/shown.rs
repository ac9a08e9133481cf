//! A span and a header, for a person.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Serialize;

/// `ScopeSpans.spans`, in which a span goes out.
const SPANS: u32 = 2;

/// A header as it leaves; `None` for one that is taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// An exported span.
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

impl From<&Span> for SpanShown {
    fn from(span: &Span) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            kind: if span.kind() == SpanKind::Client { "CLIENT" } else { "SERVER" },
            name: span.name.clone(),
            span_id: hex(&span.span_id),
            parent_id: some(&hex(&span.parent_span_id)),
            tracestate: some(&span.trace_state),
            error: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
            attributes: span.attributes.iter().map(shown).collect(),
            bytes: prost::encoding::message::encoded_len(SPANS, span),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(attribute: &KeyValue) -> (String, String) {
    (attribute.key.clone(), attribute.value.as_ref().map(text).unwrap_or_default())
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => list.values.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}
