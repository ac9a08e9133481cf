//! The end of a process, of a root context, of a VM.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tracelift_host::{Answer, CalloutState, Envoy, Reply, RequestSpec, VmId};

use crate::kit::{
    BATCH_DUE, COLLECTOR, books, closed_books, discarded, get, keep_all, process, seconds, serve, serve_on, started,
};

const AT_ONCE: Duration = Duration::from_millis(5);

fn flushed(envoy: &Envoy) -> Vec<bool> {
    let cancelled = envoy.callouts().iter().filter_map(|callout| match callout.state {
        CalloutState::Cancelled { delivered } => Some(delivered),
        _ => None,
    });
    cancelled.collect()
}

#[test]
fn the_last_spans_leave_over_a_warm_connection_and_stay_unanswered() {
    let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 10}))).collector(COLLECTOR, AT_ONCE));
    serve(&mut envoy, 1, 200);
    envoy.advance(BATCH_DUE);
    envoy.answer_with(|_| Reply::ByHand);
    serve(&mut envoy, 35, 200); // 30 leave in three full batches, 5 wait.
    envoy.shutdown();
    assert_eq!(flushed(&envoy), [true; 4]);
    assert_eq!(envoy.exports().spans().len(), 36, "the collector has them all");
    let balance = books(&mut envoy);
    assert_eq!((balance.exported, balance.in_flight), (1, 0), "what nobody confirmed is not exported");
    assert_eq!(discarded(&envoy, "shutdown"), 35, "and nobody can confirm it any more");
}

#[test]
fn without_a_warm_connection_nothing_gets_out_and_the_books_say_so() {
    let mut envoy = started(process(keep_all(json!({}))));
    serve(&mut envoy, 5, 200);
    envoy.shutdown();
    assert_eq!(flushed(&envoy), [false]);
    assert!(envoy.exports().is_empty());
    let balance = books(&mut envoy);
    assert_eq!((balance.exported, balance.in_flight), (0, 0));
    assert_eq!(discarded(&envoy, "shutdown"), 5);
}

#[test]
fn in_an_outage_the_flush_tries_each_batch_once() {
    let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 4}))).collector(COLLECTOR, AT_ONCE));
    serve(&mut envoy, 4, 200);
    envoy.advance(seconds(1));
    envoy.answer_with(|_| Reply::After(AT_ONCE, Answer::connection_failure()));
    serve(&mut envoy, 14, 200);
    envoy.advance(seconds(5));
    let on_their_way = books(&mut envoy).in_flight;
    let before = envoy.callouts().len();
    envoy.shutdown();
    let spans: usize = envoy.callouts()[before..]
        .iter()
        .map(|callout| tracelift_host::otlp::decode(callout).expect("OTLP").spans().len())
        .sum();
    assert_eq!(spans as i64, 14 - on_their_way, "no span twice, none forgotten");
    assert_eq!((closed_books(&mut envoy).in_flight, discarded(&envoy, "shutdown")), (0, 14));
}

#[test]
fn a_flush_that_envoy_refuses_ends_at_once() {
    let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 2}))));
    envoy.set_cluster(COLLECTOR, None);
    serve(&mut envoy, 9, 200);
    envoy.shutdown();
    assert!(envoy.callouts().is_empty());
    closed_books(&mut envoy);
    assert_eq!(discarded(&envoy, "shutdown"), 9);
}

#[test]
fn every_listener_of_every_worker_flushes_its_own() {
    let configuration = keep_all(json!({}));
    let builder = process(&configuration).outbound(&configuration).workers(3);
    let mut envoy = started(builder.collector(COLLECTOR, AT_ONCE));
    let each = |envoy: &mut Envoy| {
        for (worker, listener) in (0..3).flat_map(|worker| [(worker, "inbound"), (worker, "outbound")]) {
            envoy.open(RequestSpec::new(listener, get("/")).worker(worker)).respond(envoy, 200);
        }
    };
    each(&mut envoy);
    envoy.advance(BATCH_DUE);
    each(&mut envoy);
    envoy.shutdown();
    assert_eq!(envoy.exports().spans().len(), 12);
    let balance = books(&mut envoy);
    assert_eq!((balance.exported, balance.in_flight), (6, 0));
    assert_eq!(discarded(&envoy, "shutdown"), 6);
}

#[test]
fn a_quiet_process_ends_without_a_word() {
    let mut envoy = started(process(keep_all(json!({}))).collector(COLLECTOR, AT_ONCE).workers(2));
    serve(&mut envoy, 3, 200);
    envoy.advance(BATCH_DUE);
    let before = envoy.callouts().len();
    envoy.shutdown();
    assert_eq!(envoy.callouts().len(), before);
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.exported, balance.discarded_total()), (3, 0));
}

/// Trace-ids and parent-ids that left the process.
fn ids(envoy: &mut Envoy, requests: usize, seen: &mut BTreeSet<String>) {
    for _ in 0..requests {
        let forwarded = serve_on(envoy, 0, 200).request_headers.traceparent();
        for id in [forwarded.trace_id, forwarded.parent_id] {
            assert!(seen.insert(id), "an id came twice");
        }
    }
}

#[test]
fn a_reloaded_vm_starts_clean_and_repeats_no_id() {
    let mut envoy = started(process(keep_all(json!({}))).collector(COLLECTOR, AT_ONCE));
    let mut seen = BTreeSet::new();
    ids(&mut envoy, 50, &mut seen);
    envoy.advance(BATCH_DUE);
    let fresh = started(process(keep_all(json!({})))).memory_size(VmId::Worker(0));
    for reload in 2..=5 {
        envoy.reload(0).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(envoy.memory_size(VmId::Worker(0)), fresh);
        ids(&mut envoy, 50, &mut seen);
        envoy.advance(BATCH_DUE);
        let balance = closed_books(&mut envoy);
        assert_eq!((balance.exported, balance.discarded_total()), (50 * reload, 0));
    }
}

#[test]
fn a_vm_that_dies_takes_its_spans_along_and_the_process_goes_on() {
    let mut envoy = started(process(keep_all(json!({}))).workers(2).collector(COLLECTOR, AT_ONCE));
    serve_on(&mut envoy, 0, 200);
    serve_on(&mut envoy, 1, 200);
    books(&mut envoy);
    envoy.reload(0).unwrap_or_else(|refused| panic!("{refused}"));
    serve_on(&mut envoy, 0, 200);
    envoy.advance(BATCH_DUE);
    let balance = books(&mut envoy);
    assert_eq!((balance.offered, balance.exported), (3, 2));
    assert_eq!(balance.queued, 1, "a dead VM cannot take back what it added to a gauge");
}
