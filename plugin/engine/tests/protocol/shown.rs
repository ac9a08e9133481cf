//! Requests that points of metrics show: each with a span that the collector has.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Exemplar;
use opentelemetry_proto::tonic::metrics::v1::exemplar;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::kit::collector::{COLLECTOR, attribute, metrics};
use crate::kit::host::Reply;
use crate::kit::points;
use crate::kit::process::{MILLISECOND, Process, SECOND, get, status};

fn configuration(kind: &str, metrics: &str) -> String {
    format!(
        r#"{{"span_kind": "{kind}", "sampling": {{"ratio": 0.2}}, "upgrade": {{"traces_per_second": 1000000}},
             "metrics": {{"enabled": true, "interval_ms": 2000{metrics}}}}}"#
    )
}

fn serve(process: &mut Process, (worker, root): (usize, u32), code: u16, nanos: u64) {
    let stream = process.stream(worker, root);
    process.head(&stream, get(&[]));
    process.state.now.set(process.state.now.get() + nanos);
    process.answer(&stream, status(code, &[]), true);
    process.log(&stream);
    process.done(worker, stream.context);
}

/// All that any export showed, by its series.
fn shown(process: &Process) -> Vec<(String, Exemplar)> {
    let of_point = |(series, point): (String, points::Point)| {
        assert!(point.exemplars.len() <= 8, "{series}");
        for exemplar in &point.exemplars {
            assert!((point.start..=point.time).contains(&exemplar.time_unix_nano), "{series}");
        }
        point.exemplars.into_iter().map(move |exemplar| (series.clone(), exemplar))
    };
    process.measured.iter().flat_map(points::of).flat_map(of_point).collect()
}

fn seconds(exemplar: &Exemplar) -> f64 {
    match exemplar.value {
        Some(exemplar::Value::AsDouble(seconds)) => seconds,
        _ => panic!("{exemplar:?}"),
    }
}

/// Everything is answered for as long as there is something, spans as `answer` says.
fn collect(process: &mut Process, mut answer: impl FnMut() -> u16) {
    while let Some(call) = process.call_to(COLLECTOR) {
        let status = if metrics(&call).is_some() { 200 } else { answer() };
        process.reply(&call, Reply::status(status));
    }
}

#[test]
fn whatever_is_shown_has_a_span_at_a_collector_that_refuses_a_third() {
    for temporality in ["cumulative", "delta"] {
        let configuration = configuration("server", &format!(r#", "temporality": "{temporality}""#));
        let mut process = Process::new(3);
        let roots: Vec<u32> = (0..3).map(|worker| process.listener(worker, "inbound", &configuration)).collect();
        let (mut refused, mut answers) = (0, [200, 400, 200, 503, 200, 200].into_iter().cycle());
        for number in 0..3000_u64 {
            let worker = 1 + number as usize % 2;
            let code = if number.is_multiple_of(50) { 503 } else { 200 };
            serve(&mut process, (worker, roots[worker]), code, (MILLISECOND / 4) << (number % 7));
            if number.is_multiple_of(20) {
                process.advance(300 * MILLISECOND);
                collect(&mut process, || {
                    let answer = answers.next().expect("it goes round");
                    refused += u32::from(answer == 400);
                    answer
                });
            }
        }
        for _ in 0..10 {
            process.advance(SECOND);
            process.collect();
        }
        let spans: BTreeMap<(&[u8], &[u8]), &Span> =
            process.exported.iter().map(|span| ((&*span.trace_id, &*span.span_id), span)).collect();
        let shown = shown(&process);
        for (series, exemplar) in &shown {
            let span = spans.get(&(&*exemplar.trace_id, &*exemplar.span_id)).unwrap_or_else(|| panic!("{series}"));
            let nanos = span.end_time_unix_nano - span.start_time_unix_nano;
            assert!((seconds(exemplar) - nanos as f64 / 1e9).abs() < 1e-9, "{series}");
            assert_eq!(exemplar.time_unix_nano, span.end_time_unix_nano);
            let status = attribute(span, "http.response.status_code").expect("an answer");
            assert!(series.contains(&format!("status_code={status}")), "{series}");
            let reason = exemplar.filtered_attributes[0].value.clone().and_then(|value| value.value);
            assert_eq!(reason, attribute(span, "tracelift.sampling.reason").map(Value::StringValue));
        }
        assert!(20 < refused && 100 < shown.len(), "{refused} refused, {} shown", shown.len());
        let octaves: BTreeSet<i32> = shown.iter().map(|(_, it)| seconds(it).log2().floor() as i32).collect();
        assert_eq!(octaves.len(), 7, "each doubling of the latency has some: {octaves:?}");
    }
}

#[test]
fn an_upgraded_request_is_preferred() {
    let configuration =
        configuration("server", "").replace("0.2", "1").replace("1000000}", r#"1000000, "latency_ms": 100}"#);
    let (mut process, root) = Process::with(&configuration);
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")]));
    process.state.now.set(process.state.now.get() + 120 * MILLISECOND);
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    for _ in 0..10 {
        serve(&mut process, (0, root), 200, 80 * MILLISECOND); // Between the same powers of two, sampled and later.
    }
    for _ in 0..30 {
        process.advance(SECOND);
        process.collect();
    }
    assert_eq!(process.exported.len(), 11);
    let shown = shown(&process);
    let [(_, only)] = &shown[..] else { panic!("one doubling, one request: {shown:?}") };
    assert_eq!(only.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
}

#[test]
fn a_gateways_requests_are_shown_by_the_span_that_served_them() {
    let (mut process, root) = Process::with(&configuration("both", ""));
    for _ in 0..100 {
        serve(&mut process, (0, root), 200, MILLISECOND);
    }
    for _ in 0..30 {
        process.advance(SECOND);
        process.collect();
    }
    let servers: BTreeSet<_> =
        process.exported.iter().filter(|span| span.kind == 2).map(|span| span.span_id.clone()).collect();
    let shown = shown(&process);
    assert!(!shown.is_empty() && shown.iter().all(|(_, exemplar)| servers.contains(&exemplar.span_id)));
}

#[test]
fn nothing_is_shown_where_that_is_switched_off() {
    let (mut process, root) = Process::with(&configuration("server", r#", "exemplars": false"#));
    for _ in 0..100 {
        serve(&mut process, (0, root), 200, MILLISECOND);
    }
    for _ in 0..30 {
        process.advance(SECOND);
        process.collect();
    }
    assert!(!process.exported.is_empty() && !process.measured.is_empty());
    assert!(shown(&process).is_empty());
}
