//! The far end of exports: reads what was sent with a decoder that is not the engine's.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::host::Call;

/// The cluster of exports, as configured by default.
pub const COLLECTOR: &str = "otel_collector";

/// The metrics of an export, which is neither framed nor compressed; `None` for one of spans.
pub fn metrics(call: &Call) -> Option<ExportMetricsServiceRequest> {
    let is_ours = call.header(":path") == Some("/v1/metrics");
    is_ours.then(|| ExportMetricsServiceRequest::decode(&call.body[..]).expect("OTLP"))
}

/// The spans of an export, which is neither framed nor compressed.
pub fn spans(call: &Call) -> Vec<Span> {
    if metrics(call).is_some() {
        return Vec::new();
    }
    let request = ExportTraceServiceRequest::decode(&call.body[..]).expect("OTLP");
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// An attribute of a span, as text.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    let value = span.attributes.iter().find(|known| known.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}
