//! Exports as the collector would read them.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tracelift_host::{Answer, Envoy, SpanBalance, VmId, otlp};

use crate::wat;

/// A tick posts the plugin configuration as an OTLP body with these headers.
fn poster(headers: &str) -> String {
    format!(
        r#"(func (export "proxy_on_tick") (param i32)
          (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9999) (i32.const 8) (i32.const 12)))
          (call $note (call $http_call str("collector") pairs(":method: POST; :authority: c; {headers}")
            (i32.load (i32.const 8)) (i32.load (i32.const 12)) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16))))"#
    )
}

fn message() -> Vec<u8> {
    let attribute = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "GET".to_owned(),
        attributes: vec![
            attribute("http.response.status_code", Value::IntValue(503)),
            attribute("url.path", Value::StringValue("/cart".to_owned())),
        ],
        ..Span::default()
    };
    let scope_spans = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource_spans = ResourceSpans { scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

fn sending(headers: &str, body: &[u8]) -> Envoy {
    let module = wat::module(&poster(headers));
    let mut envoy = Envoy::builder(&module).inbound(body).workers(0).cluster("collector").start().unwrap();
    envoy.tick_all();
    envoy
}

const HTTP: &str = ":path: /v1/traces; content-type: application/x-protobuf";
const GRPC: &str = ":path: /opentelemetry.proto.collector.trace.v1.TraceService/Export; content-type: application/grpc";

#[test]
fn exports_are_read_over_http_and_grpc_plain_and_gzipped() {
    let zipped_http = format!("{HTTP}; content-encoding: gzip");
    for (headers, body) in [
        (HTTP, message()),
        (&zipped_http, gzip(&message())),
        (GRPC, frame(0, &message())),
        (GRPC, frame(1, &gzip(&message()))),
    ] {
        let envoy = sending(headers, &body);
        let span = envoy.exports().only_span();
        assert_eq!((span.trace_id(), span.span_id()), ("ab".repeat(16), "cd".repeat(8)), "{headers}");
        assert_eq!(span.attribute("http.response.status_code"), 503);
        assert_eq!(span.attribute("url.path"), "/cart");
        assert!(!span.attribute("url.query").is_present());
    }
}

#[test]
fn only_what_the_collector_took_counts_as_accepted() {
    let mut envoy = sending(HTTP, &message());
    envoy.answer(envoy.only_callout().id, 503);
    envoy.tick_all();
    envoy.answer(envoy.only_callout().id, Answer::status(200));
    assert_eq!((envoy.exports().len(), envoy.exports().accepted().len()), (2, 1));
}

#[test]
fn a_body_that_is_no_export_is_an_error() {
    for (headers, body) in [(HTTP, &b"\xff\xff"[..]), (HTTP, b"\x0a\x7f")] {
        let envoy = sending(headers, body);
        assert!(otlp::decode(envoy.only_callout()).is_err());
    }
}

#[test]
fn the_law_of_conservation_is_read_from_the_metrics() {
    let source = r#"
    (func $add (param i32 i32 i32 i64)
      (drop (call $define_metric (local.get 0) (local.get 1) (local.get 2) (i32.const 16)))
      (drop (call $increment (i32.load (i32.const 16)) (local.get 3))))
    (func (export "proxy_on_tick") (param i32)
      (call $add (i32.const 0) str("tracelift.spans.offered") (i64.const 10))
      (call $add (i32.const 0) str("tracelift.spans.exported") (i64.const 4))
      (call $add (i32.const 0) str("tracelift.spans.discarded.queue_full") (i64.const 3))
      (call $add (i32.const 1) str("tracelift.queue.spans") (i64.const 2))
      (call $add (i32.const 1) str("tracelift.exports.in_flight_spans") (i64.const 1)))"#;
    let mut envoy = wat::envoy(source).workers(0).start().unwrap();
    let balance = envoy.assert_conservation();
    assert_eq!((balance.offered, balance.discarded_total()), (10, 3));
    assert_eq!(balance.discarded, [("queue_full".to_owned(), 3)]);
    let lost = SpanBalance { offered: 11, ..balance.clone() };
    let negative = SpanBalance { queued: -1, exported: 7, ..balance };
    assert!(!lost.holds() && !negative.holds());
    envoy.advance(Duration::ZERO);
}

#[test]
fn a_vm_whose_books_do_not_balance_is_found_although_another_makes_up_for_it() {
    let source = r#"
    (func $add (param i32 i32 i32 i64)
      (drop (call $define_metric (local.get 0) (local.get 1) (local.get 2) (i32.const 16)))
      (drop (call $increment (i32.load (i32.const 16)) (local.get 3))))
    (func (export "proxy_on_log") (param i32)
      (call $add (i32.const 0) str("tracelift.spans.offered") (i64.const 3)))
    (func (export "proxy_on_queue_ready") (param i32 i32)
      (call $add (i32.const 0) str("tracelift.spans.exported") (i64.const 2))
      (call $add (i32.const 1) str("tracelift.queue.spans") (i64.const 1)))"#;
    let mut envoy = wat::envoy(source).workers(2).start().unwrap();
    envoy.callback(VmId::Worker(0), "proxy_on_log", &[0]);
    envoy.callback(VmId::Worker(1), "proxy_on_queue_ready", &[0, 0]);
    let of = |vm| SpanBalance::of_vm(envoy.metrics(), vm);
    assert!(SpanBalance::of(envoy.metrics()).holds());
    assert_eq!((of(VmId::Worker(0)).offered, of(VmId::Worker(1)).exported, of(VmId::Worker(1)).queued), (3, 2, 1));
    assert!(of(VmId::Main).holds() && !of(VmId::Worker(0)).holds() && !of(VmId::Worker(1)).holds());
    assert!(catch_unwind(AssertUnwindSafe(|| envoy.assert_conservation())).is_err());
}
