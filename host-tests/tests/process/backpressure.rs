//! Bounds of the queue, and what happens at them.

use std::time::Duration;

use serde_json::json;
use tracelift_host::{Answer, Cluster, Reply, SeededRandom, VmId};

use crate::kit::{
    BATCH_DUE, COLLECTOR, books, closed_books, discarded, keep_all, process, seconds, serve, serve_on, started,
    waiting, warnings,
};

const FOR_EVER: u32 = 600_000;

#[test]
fn a_queue_that_is_full_by_number_refuses_spans_and_no_requests() {
    let export = json!({"max_queue_size": 20, "max_export_batch_size": 5, "timeout_ms": FOR_EVER});
    let mut envoy = started(process(keep_all(export)));
    serve(&mut envoy, 100, 200);
    let balance = books(&mut envoy);
    assert_eq!((balance.in_flight, balance.queued), (20, 15), "four requests of five, and three quarters of the queue");
    assert_eq!(discarded(&envoy, "queue_full"), 65);
    let size = envoy.memory_size(VmId::Worker(0));
    serve(&mut envoy, 10_000, 200);
    assert_eq!(envoy.memory_size(VmId::Worker(0)), size, "a full queue does not grow");

    envoy.answer_with(|callout| Reply::accept(callout, Duration::from_millis(5)));
    for id in waiting(&envoy) {
        envoy.answer(id, 200);
    }
    envoy.advance(BATCH_DUE);
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.offered, balance.exported), (10_100, 35));
}

#[test]
fn ordinary_spans_leave_room_for_failures_whose_losses_are_counted_apart() {
    let export = json!({"max_queue_size": 20, "max_export_batch_size": 5, "timeout_ms": FOR_EVER});
    let mut envoy = started(process(keep_all(export)));
    serve(&mut envoy, 100, 200);
    assert_eq!(discarded(&envoy, "queue_full"), 65);
    serve(&mut envoy, 7, 503);
    let balance = books(&mut envoy);
    assert_eq!((balance.in_flight, balance.queued), (20, 20));
    assert_eq!(discarded(&envoy, "queue_full"), 67);
    assert_eq!(envoy.counter("tracelift.spans.upgraded_discarded"), 2);

    envoy.answer_with(|callout| Reply::accept(callout, Duration::from_millis(5)));
    for id in waiting(&envoy) {
        envoy.answer(id, 200);
    }
    envoy.advance(BATCH_DUE);
    assert_eq!(closed_books(&mut envoy).exported, 40);
}

#[test]
fn a_queue_that_is_full_by_bytes_counts_what_is_in_flight_too() {
    let most = 8 << 10;
    let export = json!({"max_queue_bytes": most, "max_export_batch_size": 4, "timeout_ms": FOR_EVER});
    let mut envoy = started(process(keep_all(export)));
    for round in 1..=50 {
        serve(&mut envoy, 1, 200);
        let balance = books(&mut envoy);
        assert_eq!(balance.offered, round);
        let bodies: usize = envoy.waiting_callouts().iter().map(|callout| callout.body.len()).sum();
        let held = envoy.gauge("tracelift.queue.bytes") + bodies as i64;
        assert!(held <= most + 4 * 1024, "{held} bytes, envelopes included");
    }
    let lost = discarded(&envoy, "queue_bytes");
    assert!(0 < lost && discarded(&envoy, "queue_full") == 0, "{lost}");

    envoy.answer_with(|callout| Reply::accept(callout, Duration::from_millis(5)));
    for id in waiting(&envoy) {
        envoy.answer(id, 200);
    }
    envoy.advance(BATCH_DUE);
    assert_eq!(closed_books(&mut envoy).exported, 50 - lost);
}

#[test]
fn a_slow_collector_delays_spans_only() {
    let export = json!({"max_export_batch_size": 50, "max_queue_size": 2000});
    let mut envoy = started(process(keep_all(export)).collector(COLLECTOR, seconds(8)));
    for _ in 0..60 {
        serve(&mut envoy, 20, 200);
        envoy.advance(seconds(1));
        assert!(envoy.waiting_callouts().len() <= 4);
        books(&mut envoy);
    }
    envoy.advance(seconds(120));
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.exported, balance.discarded_total()), (1200, 0));
    assert!(warnings(&envoy).is_empty());
}

#[test]
fn a_call_that_envoy_refuses_is_tried_again_until_the_cluster_has_come() {
    for (cluster, advice) in [(None, "export.cluster"), (Some(Cluster::WithoutHost), "no host")] {
        let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 2}))));
        envoy.set_cluster(COLLECTOR, cluster);
        for _ in 0..20 {
            serve(&mut envoy, 1, 200);
            envoy.advance(seconds(1));
            let balance = books(&mut envoy);
            assert_eq!((balance.in_flight, balance.discarded_total()), (0, 0), "{balance}");
        }
        let lines = warnings(&envoy);
        assert!(lines.len() == 1 && lines[0].contains(advice), "{lines:?}");

        envoy.set_cluster(COLLECTOR, Some(Cluster::Ready));
        envoy.answer_with(|callout| Reply::accept(callout, Duration::from_millis(5)));
        envoy.advance(seconds(35));
        assert_eq!(closed_books(&mut envoy).exported, 20);
    }
}

#[test]
fn a_request_costs_no_more_hostcalls_while_the_collector_is_down() {
    let export = json!({"max_export_batch_size": 5, "max_queue_size": 20});
    let mut envoy = started(process(keep_all(export)));
    envoy.answer_with(|_| Reply::After(Duration::from_millis(1), Answer::connection_failure()));
    serve(&mut envoy, 20, 200); // The first fetch random bytes for many, and ask for the listener's direction.
    let first = serve_on(&mut envoy, 0, 200);
    serve(&mut envoy, 100, 200);
    envoy.advance(seconds(30));
    let during = serve_on(&mut envoy, 0, 200);
    assert_eq!(during.cost.hostcall_count(), first.cost.hostcall_count(), "{:?}", during.cost);
    books(&mut envoy);
}

#[test]
fn any_bytes_from_a_collector_leave_the_books_in_order() {
    for protocol in ["http/protobuf", "grpc"] {
        let mut random = SeededRandom::new(1, 0);
        let mut next = move |below: u64| random.below(below as usize) as u64;
        let export = json!({"protocol": protocol, "max_export_batch_size": 4, "max_queue_size": 40});
        let mut envoy = started(process(keep_all(export)));
        for _ in 0..300 {
            serve(&mut envoy, 3, 200);
            envoy.advance(Duration::from_millis(next(1500)));
            for id in waiting(&envoy) {
                let mut bytes = |most: u64| (0..next(most)).map(|_| next(256) as u8).collect::<Vec<u8>>();
                let (body, value) = (bytes(300), bytes(40));
                let mut answer = match next(8) {
                    0 => Answer::no_headers(),
                    1 => Answer::status(200),
                    2 => Answer::framed_grpc(next(20) as u32, "odd"),
                    _ => Answer::status(next(700) as u16),
                };
                for name in ["retry-after", "grpc-status", "grpc-status-details-bin", "grpc-message", "content-type"] {
                    answer = match next(6) {
                        0 => answer.header(name, &value),
                        1 => answer.trailer(name, &value),
                        2 => answer.trailer(name, next(100).to_string()),
                        _ => answer,
                    };
                }
                envoy.answer(id, answer.body(body));
            }
            books(&mut envoy);
        }
        envoy.answer_with(|callout| Reply::accept(callout, Duration::from_millis(5)));
        envoy.advance(seconds(400));
        assert_eq!(closed_books(&mut envoy).offered, 900);
        serve(&mut envoy, 2, 200);
        envoy.advance(seconds(400));
        assert!(2 <= envoy.exports().accepted().spans().len());
        closed_books(&mut envoy);
    }
}
