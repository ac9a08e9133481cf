//! What a collector receives.

use std::io::Read;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use tracelift::otlp::{Compression, Protocol, encode_span};
use tracelift::span::{SpanKind, Status, Value};

use crate::kit::{Bench, header, settings, span};

fn only_resource_spans(message: &[u8]) -> ResourceSpans {
    let mut request = ExportTraceServiceRequest::decode(message).expect("an OTLP request");
    assert_eq!(request.resource_spans.len(), 1);
    request.resource_spans.remove(0)
}

#[test]
fn a_batch_is_one_request_with_resource_scope_and_spans_in_the_order_they_came() {
    let mut bench = Bench::new(settings(Protocol::HttpProtobuf));
    bench.offer(3);
    let request = bench.only_request(0);
    let resource_spans = only_resource_spans(&request.body);
    let attributes = resource_spans.resource.expect("a resource").attributes;
    assert!(attributes.iter().any(|attribute| attribute.key == "service.name"
        && attribute.value.as_ref().and_then(|value| value.value.clone())
            == Some(ProtoValue::StringValue("cart".to_owned()))));
    assert_eq!(resource_spans.scope_spans.len(), 1);
    let scope_spans = &resource_spans.scope_spans[0];
    assert_eq!(scope_spans.scope.as_ref().map(|scope| scope.name.as_str()), Some("tracelift"));
    let ids: Vec<_> = scope_spans.spans.iter().map(|span| span.span_id[7]).collect();
    assert_eq!(ids, [2, 3, 4]);
}

#[test]
fn every_field_of_a_span_arrives() {
    let mut original = span(8);
    original.kind = SpanKind::Client;
    original.status = Status::Error { description: "reset".to_owned() };
    original.attributes = vec![
        ("text".into(), "a".into()),
        ("int".into(), Value::Int(-1)),
        ("bool".into(), Value::Bool(true)),
        ("double".into(), Value::Double(0.5)),
        ("texts".into(), Value::TextArray(vec!["b".into(), "c".into()])),
    ];
    let mut bench = Bench::new(settings(Protocol::HttpProtobuf));
    bench.exporter.offer(encode_span(&original, true)).expect("room");
    let request = bench.only_request(0);
    let span = only_resource_spans(&request.body).scope_spans.remove(0).spans.remove(0);
    assert_eq!(span.trace_id, original.trace_id.to_bytes());
    assert_eq!(span.span_id, original.span_id.to_bytes());
    assert_eq!(span.parent_span_id, [0, 0, 0, 0, 0, 0, 0, 77]);
    assert_eq!(span.trace_state, "ot=th:0,vendor=x");
    assert_eq!(span.flags, 0x303, "sampled, random, is-remote known, remote");
    assert_eq!(span.name, "GET");
    assert_eq!(span.kind, 3, "CLIENT");
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 5);
    let status = span.status.expect("a status");
    assert_eq!((status.code, status.message.as_str()), (2, "reset"));
    let values: Vec<_> = span
        .attributes
        .into_iter()
        .map(|attribute| format!("{}={:?}", attribute.key, attribute.value.and_then(|value| value.value)))
        .collect();
    assert_eq!(values.len(), 5);
    for (found, expected) in
        values.iter().zip([r#"StringValue("a")"#, "IntValue(-1)", "BoolValue(true)", "DoubleValue(0.5)", r#""c""#])
    {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_root_has_no_parent_and_a_span_without_tracestate_shows_none() {
    let mut root = span(8);
    root.parent_id = None;
    root.parent_remote = false;
    let mut bench = Bench::new(settings(Protocol::HttpProtobuf));
    bench.exporter.offer(encode_span(&root, false)).expect("room");
    let request = bench.only_request(0);
    let span = only_resource_spans(&request.body).scope_spans.remove(0).spans.remove(0);
    assert!(span.parent_span_id.is_empty() && span.trace_state.is_empty() && span.status.is_none());
    assert_eq!(span.flags, 0x103);
    assert_eq!(span.kind, 2, "SERVER");
}

#[test]
fn http_requests_carry_what_otlp_and_the_configuration_ask_for() {
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.headers.push(("Content-Type".to_owned(), "text/plain".to_owned()));
    settings.headers.push((":path".to_owned(), "/elsewhere".to_owned()));
    settings.timeout_ms = 0;
    let mut bench = Bench::new(settings);
    bench.offer(1);
    let request = bench.only_request(0);
    let user_agent = concat!("OTel-OTLP-Exporter-Tracelift/", env!("CARGO_PKG_VERSION"));
    let expected = [
        (":method", "POST"),
        (":path", "/v1/traces"),
        (":authority", "otel-collector"),
        ("content-type", "application/x-protobuf"),
        ("user-agent", user_agent),
        ("authorization", "Bearer t"),
    ];
    let found: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(request.timeout_ms, 1, "0 would mean none");
}

#[test]
fn an_empty_path_is_the_root() {
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.path.clear();
    let mut bench = Bench::new(settings);
    bench.offer(1);
    assert_eq!(header(&bench.only_request(0), ":path"), Some("/"));
}

#[test]
fn grpc_requests_have_the_fixed_path_and_one_framed_message() {
    let mut bench = Bench::new(settings(Protocol::Grpc));
    bench.offer(2);
    let request = bench.only_request(0);
    assert_eq!(header(&request, ":path"), Some("/opentelemetry.proto.collector.trace.v1.TraceService/Export"));
    assert_eq!(header(&request, "content-type"), Some("application/grpc"));
    assert_eq!(header(&request, "te"), Some("trailers"));
    assert_eq!(header(&request, "grpc-encoding"), None);
    let (prefix, message) = request.body.split_at(5);
    assert_eq!(prefix[0], 0);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
    assert_eq!(only_resource_spans(message).scope_spans[0].spans.len(), 2);
}

#[test]
fn gzip_says_so_in_each_protocol_and_shrinks_the_body() {
    for (protocol, name, prefix) in
        [(Protocol::HttpProtobuf, "content-encoding", 0), (Protocol::Grpc, "grpc-encoding", 5)]
    {
        let mut settings = settings(protocol);
        settings.compression = Compression::Gzip;
        (settings.max_queue_size, settings.max_export_batch_size) = (128, 64);
        let mut bench = Bench::new(settings);
        bench.offer(64);
        let request = bench.only_request(0);
        assert_eq!(header(&request, name), Some("gzip"));
        let (head, compressed) = request.body.split_at(prefix);
        if let [flag, size @ ..] = head {
            assert_eq!(*flag, 1);
            assert_eq!(u32::from_be_bytes(size.try_into().unwrap()) as usize, compressed.len());
        }
        let mut message = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut message).expect("gzip");
        assert_eq!(only_resource_spans(&message).scope_spans[0].spans.len(), 64);
        assert!(compressed.len() * 4 < message.len());
    }
}
