//! A host that fails: each operation of the door, always and now and then. No request pays for it, and no span is lost
//! without a count.

use tracelift::door::{Attribute, Side};

use crate::kit::faults::Operation;
use crate::kit::host::Reply;
use crate::kit::process::{MILLISECOND, Process, SECOND, get, lines, status};

/// Everything at once: recall, a shadow, X-Ray's rules and small batches.
const EVERYTHING: &str = r#"{
    "sampling": {"ratio": 0.5, "xray": {"enabled": true, "cluster": "xray_proxy", "targets_interval_ms": 1000}},
    "propagators": ["tracecontext", "xray", "b3"],
    "upgrade": {"latency_ms": 50, "recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 400}},
    "shadow": {"sampling": {"ratio": 1}},
    "export": {"max_export_batch_size": 2, "scheduled_delay_ms": 200}
}"#;

/// Requests of every kind, with their answers, on both listeners of a pod. Whether some request was answered by the engine.
fn story(process: &mut Process, roots: [u32; 2]) -> u32 {
    let mut answered = 0;
    for number in 0..12_u32 {
        let root = roots[number as usize % 2];
        let stream = process.stream(0, root);
        stream.exchange.set_number(Attribute::ListenerDirection, i64::from(1 + number % 2));
        stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
        let caller = format!("00-{:032x}-b7ad6b7169203331-0{}", 1 + number / 2, 2 + number % 4 / 3);
        let recall = [
            ("traceparent", "ff-tracelift-recall-1"),
            ("x-tracelift-recall", "1;00000000000000000000000000000001"),
            ("x-tracelift-token", "secret-of-the-mesh"),
        ];
        let head = match number {
            10 => get(&recall),
            11 => get(&[("x-amzn-trace-id", "Sampled=?"), ("traceresponse", "x")]),
            _ => get(&[("traceparent", &caller), ("tracestate", "ot=th:8,vendor=x")]),
        };
        answered += u32::from(process.head(&stream, head));
        process.state.now.set(process.state.now.get() + 20 * MILLISECOND);
        match number % 4 {
            0 => process.answer(&stream, status(503, &[]), true),
            1 => process.answer(&stream, status(200, &[("traceresponse", &caller)]), true),
            2 => {
                process.answer(&stream, status(200, &[]), false);
                process.trailers(&stream, lines(&[("grpc-status", "14")]));
            }
            _ if number == 7 => process.answer(&stream, status(200, &[]), false), // It breaks off.
            _ => {}
        }
        process.log(&stream);
        process.done(0, stream.context);
        if number % 3 == 0 {
            process.advance(250 * MILLISECOND);
            let calls = process.state.calls.borrow().clone();
            calls.iter().for_each(|call| process.reply(call, Reply::status(200)));
        }
    }
    answered
}

/// After all of that the host works again: everything that was offered is accounted for, and a request is traced.
fn heals(process: &mut Process, roots: [u32; 2], what: &str) {
    process.repair();
    let before = process.metric("spans.exported");
    let stream = process.stream(0, roots[0]);
    process.head(&stream, get(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")]));
    assert_eq!(stream.exchange.values(Side::Request, "traceparent").len(), 1, "{what}");
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    for _ in 0..90 {
        process.advance(SECOND);
        let calls = process.state.calls.borrow().clone();
        calls.iter().for_each(|call| process.reply(call, Reply::status(200)));
    }
    assert!(before < process.metric("spans.exported"), "{what}: it exports again");
    let left = process.metric("queue.spans") + process.metric("exports.in_flight_spans");
    assert_eq!(left, 0, "{what}");
    for root in roots {
        process.done(0, root);
    }
    process.collect();
    process.check();
    assert_eq!(process.metric("recall.bytes") + process.metric("pending.spans"), 0, "{what}");
}

#[test]
fn each_operation_may_fail_always_or_now_and_then() {
    for operation in Operation::ALL {
        for every in 1..=4 {
            let what = format!("{operation:?}, each {every}. call");
            let mut process = Process::new(1);
            let roots = ["inbound", "outbound"].map(|plugin| process.listener(0, plugin, EVERYTHING));
            process.state.faults.set(operation, every);
            if operation == Operation::Text {
                process.state.faults.set(Operation::Attributes, 1); // Texts are read alone where a list fails.
            }
            story(&mut process, roots);
            // Metrics are defined once, before any fault here.
            let strikes = every == 1 && operation != Operation::Define;
            assert!(!strikes || 0 < process.state.faults.failed(operation), "{what}");
            heals(&mut process, roots, &what);
        }
    }
}

#[test]
fn any_two_operations_may_fail_together() {
    for (place, first) in Operation::ALL.into_iter().enumerate() {
        for second in &Operation::ALL[place + 1..] {
            let what = format!("{first:?} and {second:?}");
            let mut process = Process::new(1);
            let roots = ["inbound", "outbound"].map(|plugin| process.listener(0, plugin, EVERYTHING));
            process.state.faults.set(first, 1);
            process.state.faults.set(*second, 2);
            story(&mut process, roots);
            heals(&mut process, roots, &what);
        }
    }
}

#[test]
fn what_fails_is_counted_where_it_costs_something() {
    for (operation, metric) in [
        (Operation::Headers, "errors.hostcall"),
        (Operation::Replace, "errors.headers_not_set"),
        (Operation::Answer, "errors.hostcall"),
        (Operation::LeaveRoot, "errors.hostcall"),
    ] {
        let mut process = Process::new(1);
        let roots = ["inbound", "outbound"].map(|plugin| process.listener(0, plugin, EVERYTHING));
        process.state.faults.set(operation, 1);
        story(&mut process, roots);
        process.tick_all();
        assert!(0 < process.metric(metric), "{operation:?}");
    }
}

#[test]
fn a_traceparent_that_cannot_be_written_leaves_the_rest_as_it_was() {
    for operation in [Operation::Add, Operation::Replace] {
        let (mut process, root) = Process::with(r#"{"sampling": {"mode": "independent", "ratio": 1}}"#);
        process.state.faults.set(operation, 1);
        let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
        let head =
            if operation == Operation::Add { get(&[]) } else { get(&[("traceparent", caller), ("tracestate", "a=b")]) };
        let stream = process.stream(0, root);
        assert!(!process.head(&stream, head.clone()));
        assert_eq!(stream.exchange.side(Side::Request), head, "{operation:?}");
        process.tick_all();
        assert_eq!(process.metric("errors.headers_not_set"), 1, "{operation:?}");
    }
}

#[test]
fn a_host_without_metrics_or_randomness_still_has_its_requests_traced() {
    let mut process = Process::new(1);
    process.state.faults.set(Operation::Define, 1);
    process.state.faults.set(Operation::Random, 1);
    let root = process.listener(0, "inbound", r#"{"sampling": {"ratio": 1}}"#);
    let mut parents = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let stream = process.stream(0, root);
        process.head(&stream, get(&[]));
        let context = stream.exchange.values(Side::Request, "traceparent").remove(0);
        assert!(context.ends_with("-01"), "no claim to randomness: {context}");
        assert!(parents.insert(context), "ids are told apart");
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
    }
    assert_eq!(process.export().len(), 100);
}
