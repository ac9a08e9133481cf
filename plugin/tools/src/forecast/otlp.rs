//! OTLP dumps: one `ExportTraceServiceRequest` in JSON a line, as the collector's `file` exporter writes them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use super::record::{Record, Role};
use crate::explain::{self, Request};
use tracelift::http::GrpcStatus;
use tracelift::sampling::Threshold;
use tracelift::trace_context::{SpanId, TraceId, TraceState};

/// Reads one line; `Err` says what is wrong with it.
pub fn line(text: &str) -> Result<Vec<Record>, String> {
    let request: ExportTraceServiceRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    for resource_spans in &request.resource_spans {
        let resource =
            resource_spans.resource.as_ref().map(|resource| resource.attributes.as_slice()).unwrap_or_default();
        let service = attribute(resource, &["service.name"]).unwrap_or_default();
        for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
            records.push(record(span, &service)?);
        }
    }
    Ok(records)
}

fn record(span: &Span, service: &str) -> Result<Record, String> {
    let trace_id =
        span.trace_id.as_slice().try_into().ok().and_then(|bytes| TraceId::from_u128(u128::from_be_bytes(bytes)));
    let trace_id = trace_id.ok_or("a span without a trace-id of 16 bytes")?;
    let span_id = |bytes: &[u8]| bytes.try_into().ok().and_then(|bytes| SpanId::from_u64(u64::from_be_bytes(bytes)));
    let of = |keys: &[&str]| attribute(&span.attributes, keys);
    let path = of(&["url.path", "http.target"]).or_else(|| of(&["url.full", "http.url"]).map(|url| path_of(&url)));
    let is_hop = [SpanKind::Server, SpanKind::Client].contains(&span.kind());
    let threshold = TraceState::parse(span.trace_state.as_bytes()).ok().and_then(|state| state.ot().th);
    let weight = threshold.and_then(Threshold::from_bits).map_or(1.0, Threshold::adjusted_count);
    let grpc = of(&["rpc.response.status_code", "rpc.grpc.status_code"]);
    Ok(Record {
        trace_id: Some(trace_id),
        span_id: span_id(&span.span_id),
        parent_id: span_id(&span.parent_span_id),
        started: span.start_time_unix_nano,
        took: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        request: Request {
            method: of(&["http.request.method", "http.method"]).unwrap_or_else(|| "GET".to_owned()),
            path: path.unwrap_or_else(|| "/".to_owned()),
            host: of(&["server.address", "http.host", "net.host.name"]).unwrap_or_default(),
            headers: Vec::new(),
        },
        status: of(&["http.response.status_code", "http.status_code"]).and_then(|status| status.parse().ok()),
        grpc_status: grpc
            .map(|text| GrpcStatus::from_name(&text).unwrap_or_else(|| GrpcStatus::from_header(text.as_bytes()))),
        flags: of(&["tracelift.response_flags"]).and_then(|names| explain::flags(&names).ok()).unwrap_or_default(),
        service: service.to_owned(),
        weight,
        bytes: u32::try_from(span.encoded_len()).ok(),
        role: if is_hop { Role::Hop } else { Role::Follower },
    })
}

/// The first of these attributes, as text.
fn attribute(attributes: &[KeyValue], keys: &[&str]) -> Option<String> {
    let found = keys.iter().find_map(|key| attributes.iter().find(|attribute| attribute.key == *key))?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::ArrayValue(list) => {
            let texts = list.values.iter().filter_map(|value| match &value.value {
                Some(Value::StringValue(text)) => Some(text.as_str()),
                _ => None,
            });
            Some(texts.collect::<Vec<_>>().join(","))
        }
        _ => None,
    }
}

fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/").to_owned()
}
