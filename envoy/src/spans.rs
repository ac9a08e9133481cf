//! Spans as the collector stores them, with the look-ups that tests and the demo want.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One span and the resource it came with.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedSpan {
    /// Shared by all spans of the same batch.
    pub resource: Arc<Resource>,
    /// As it came.
    pub span: Arc<Span>,
}

impl ReceivedSpan {
    /// All spans of an export, in wire order.
    pub(crate) fn from_export(export: ExportTraceServiceRequest) -> Vec<Self> {
        let mut received = Vec::new();
        for group in export.resource_spans {
            let resource = Arc::new(group.resource.unwrap_or_default());
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                received.push(Self { resource: resource.clone(), span: Arc::new(span) });
            }
        }
        received
    }

    /// How many of these there are, each counted once: what is on its way when a configuration of a dynamic module ends is sent again.
    pub fn distinct(spans: &[Self]) -> usize {
        spans.iter().map(Self::span_id).collect::<BTreeSet<_>>().len()
    }

    /// 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// 16 lower-case hexadecimal digits.
    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// 16 lower-case hexadecimal digits; empty for a root.
    pub fn parent_span_id(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The span's name.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// SERVER or CLIENT, from this filter.
    pub fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    /// Whether its status is ERROR.
    pub fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
    }

    /// End minus start; zero when the clock went back.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.span.end_time_unix_nano.saturating_sub(self.span.start_time_unix_nano))
    }

    /// `service.name` of the resource; empty when it is missing.
    pub fn service_name(&self) -> &str {
        self.resource_text("service.name").unwrap_or_default()
    }

    /// A string attribute of the resource, such as `telemetry.sdk.name`.
    pub fn resource_text(&self, key: &str) -> Option<&str> {
        find(&self.resource.attributes, key).and_then(text_of)
    }

    /// An attribute as it came.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        find(&self.span.attributes, key)
    }

    /// A string attribute.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.attribute(key).and_then(text_of)
    }

    /// An integer attribute.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.attribute(key) {
            Some(Value::IntValue(value)) => Some(*value),
            _ => None,
        }
    }

    /// All attributes as text, by their keys.
    pub fn attributes(&self) -> Vec<(String, String)> {
        let shown = |attribute: &KeyValue| {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            (attribute.key.clone(), value.map(shown).unwrap_or_default())
        };
        let mut attributes: Vec<_> = self.span.attributes.iter().map(shown).collect();
        attributes.sort();
        attributes
    }

    /// What upgraded the span, such as `http_status`; none when its head decision alone kept it.
    pub fn trigger(&self) -> Option<&str> {
        self.text("tracelift.upgrade.trigger")
    }
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(value) }) => Some(value),
        _ => None,
    }
}

/// A value for a person to read.
fn shown(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::ArrayValue(array) => {
            let values = array.values.iter().filter_map(|value| value.value.as_ref());
            values.map(shown).collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::ArrayValue;

    #[test]
    fn attributes_are_shown_by_their_keys_whatever_their_type() {
        let value = |value| Some(AnyValue { value: Some(value) });
        let texts = ["a", "b"].map(|text| AnyValue { value: Some(Value::StringValue(text.to_owned())) });
        let attributes = [
            ("z", value(Value::IntValue(503))),
            ("list", value(Value::ArrayValue(ArrayValue { values: texts.to_vec() }))),
            ("flag", value(Value::BoolValue(true))),
            ("nothing", None),
        ];
        let key = |(key, value): (&str, _)| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
        let span = Span { attributes: attributes.map(key).to_vec(), ..Span::default() };
        let received = ReceivedSpan { resource: Arc::new(Resource::default()), span: Arc::new(span) };
        let shown = received.attributes();
        let shown: Vec<_> = shown.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("flag", "true"), ("list", "a, b"), ("nothing", ""), ("z", "503")]);
    }
}
