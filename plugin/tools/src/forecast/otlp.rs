//! OTLP dumps: `ExportTraceServiceRequest` in JSON, as the collector's `file` exporter writes it, a request a line.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::Value;

use super::otlp_json::{self, attribute, member};
use super::record::{Record, Role};
use super::status;
use crate::explain::Request;
use tracelift::sampling::Threshold;
use tracelift::trace_context::{SpanId, TraceId, TraceState};

/// Attributes that only a request has, which a proxy would see: by HTTP, or by gRPC over it.
const REQUEST: [&str; 13] = [
    "http.request.method",
    "http.method",
    "http.response.status_code",
    "http.status_code",
    "http.target",
    "http.url",
    "http.route",
    "rpc.system",
    "rpc.system.name",
    "rpc.status_code",
    "rpc.response.status_code",
    "rpc.grpc.status_code",
    "grpc.status_code",
];

/// Whether this is such a request.
pub fn is_request(object: &Value) -> bool {
    member(object, "resourceSpans").is_some()
}

/// Reads one request; `Err` says what is wrong with it.
pub fn read(request: &Value) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for resource_spans in otlp_json::list(request, "resourceSpans") {
        let resource = member(resource_spans, "resource").map(otlp_json::attributes).unwrap_or_default();
        let service = attribute(&resource, &["service.name"]).unwrap_or_default();
        // Before OTLP 1.0 a scope was an instrumentation library.
        let scopes = otlp_json::list(resource_spans, "scopeSpans");
        let scopes = scopes.chain(otlp_json::list(resource_spans, "instrumentationLibrarySpans"));
        for span in scopes.flat_map(|scope| otlp_json::list(scope, "spans")) {
            records.push(record(&otlp_json::span(span)?, &service)?);
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
    let is_call = [SpanKind::Server, SpanKind::Client].contains(&span.kind());
    let is_hop = is_call && (path.is_some() || of(&REQUEST).is_some());
    let threshold = TraceState::parse(span.trace_state.as_bytes()).ok().and_then(|state| state.ot().th);
    let weight = threshold.and_then(Threshold::from_bits).map_or(1.0, Threshold::adjusted_count);
    let http_status = of(&["http.response.status_code", "http.status_code"]).and_then(|status| status::http(&status));
    let grpc_status = of(&["rpc.status_code", "rpc.response.status_code", "rpc.grpc.status_code", "grpc.status_code"]);
    let grpc_status = grpc_status.and_then(|status| status::grpc(&status));
    // A span without any status says nothing of a failure, unless it is an error.
    let has_failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
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
        status: http_status,
        grpc_status,
        is_whole: http_status.is_some() || grpc_status.is_some() || !has_failed,
        flags: of(&["tracelift.response_flags"]).map(|names| status::flags(&names)).unwrap_or_default(),
        service: service.to_owned(),
        weight,
        bytes: u32::try_from(span.encoded_len()).ok(),
        role: if is_hop { Role::Hop } else { Role::Follower },
    })
}

fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use tracelift::http::GrpcStatus;

    fn one(span: Value) -> Record {
        let mut whole = json!({ "traceId": "5b8efff798038103d269b63300000000", "spanId": "00f067aa0ba90201" });
        whole.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
        read(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [whole] }] }] })).unwrap().remove(0)
    }

    fn with(kind: Value, key: &str, value: Value) -> Record {
        one(json!({ "kind": kind, "attributes": [{ "key": key, "value": value }] }))
    }

    #[test]
    fn a_status_is_read_in_every_form_that_exporters_write() {
        let unavailable = GrpcStatus::from_name("UNAVAILABLE");
        for (key, value, http, grpc) in [
            ("http.response.status_code", json!({ "intValue": "503" }), Some(503), None),
            ("http.status_code", json!({ "intValue": 503 }), Some(503), None),
            ("http.status_code", json!({ "doubleValue": 503.0 }), Some(503), None),
            ("http.status_code", json!({ "stringValue": "503" }), Some(503), None),
            ("rpc.status_code", json!({ "stringValue": "UNAVAILABLE" }), None, unavailable),
            ("rpc.response.status_code", json!({ "stringValue": "Unavailable" }), None, unavailable),
            ("rpc.grpc.status_code", json!({ "intValue": "14" }), None, unavailable),
            ("grpc.status_code", json!({ "doubleValue": 14 }), None, unavailable),
            ("url.path", json!({ "stringValue": "/" }), None, None),
        ] {
            let record = with(json!("SPAN_KIND_SERVER"), key, value.clone());
            assert_eq!((record.status, record.grpc_status), (http, grpc), "{key} {value}");
            assert!(record.is_whole && record.role == Role::Hop, "{key}");
        }
    }

    #[test]
    fn only_an_error_is_evidence_of_one() {
        let path = json!([{ "key": "url.path", "value": { "stringValue": "/" } }]);
        assert!(one(json!({ "kind": 2, "attributes": path })).is_whole);
        assert!(one(json!({ "kind": 2, "attributes": path, "status": { "code": 1 } })).is_whole);
        assert!(!one(json!({ "kind": 2, "attributes": path, "status": { "code": "STATUS_CODE_ERROR" } })).is_whole);
    }

    #[test]
    fn a_call_that_no_proxy_sees_as_a_request_follows() {
        let database = with(json!(3), "db.system", json!({ "stringValue": "postgresql" }));
        assert_eq!(database.role, Role::Follower);
        assert_eq!(with(json!(1), "http.method", json!({ "stringValue": "GET" })).role, Role::Follower);
    }

    #[test]
    fn any_number_may_stand_anywhere() {
        for value in [json!(33.333), json!(1e300), json!("NaN"), json!("Infinity"), json!(5)] {
            let record = with(json!(2), "adjusted_count", json!({ "doubleValue": value }));
            assert!(record.bytes.is_some());
        }
    }
}
