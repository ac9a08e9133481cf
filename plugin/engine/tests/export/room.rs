//! Failures first: a quarter of the queue is for spans that an upgrade keeps, and their losses are counted apart.

use tracelift::export::{Answer, DiscardReason, RequestId};
use tracelift::otlp::Protocol;

use crate::kit::{Bench, LONGEST, SECOND, encoded, settings, sized};

/// A queue of sixteen, in batches of two.
fn short() -> Bench {
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.max_queue_size = 16;
    settings.max_export_batch_size = 2;
    Bench::new(settings)
}

fn upgraded(bench: &mut Bench, spans: u64) -> u64 {
    (0..spans).filter(|number| bench.exporter.offer(encoded(*number).upgraded(true)).is_ok()).count() as u64
}

#[test]
fn ordinary_spans_fill_three_quarters_of_the_queue_and_upgraded_ones_all_of_it() {
    let mut bench = short();
    bench.offer(20);
    assert_eq!((bench.counts().queued, bench.counts().discarded(DiscardReason::QueueFull)), (12, 8));
    assert_eq!(bench.counts().upgraded_discarded, 0);
    assert_eq!(upgraded(&mut bench, 6), 4);
    assert_eq!((bench.counts().queued, bench.counts().upgraded_discarded), (16, 2));
    assert_eq!(bench.counts().discarded(DiscardReason::QueueFull), 10, "the balance is as it was");

    let mut bench = short();
    assert_eq!(upgraded(&mut bench, 20), 16, "nothing is kept free for ordinary ones");
}

#[test]
fn ordinary_spans_fill_three_quarters_of_the_bytes_and_upgraded_ones_all_of_them() {
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.max_queue_bytes = 100_000;
    let mut bench = Bench::new(settings);
    let taken = (0..20).filter(|_| bench.exporter.offer(sized(10_000)).is_ok()).count();
    assert_eq!((taken, bench.counts().discarded(DiscardReason::QueueBytes)), (7, 13));
    let taken = (0..20).filter(|_| bench.exporter.offer(sized(10_000).upgraded(true)).is_ok()).count();
    assert_eq!((taken, bench.counts().upgraded_discarded), (2, 18));
}

#[test]
fn batches_that_come_back_do_not_take_the_reserved_room() {
    let mut bench = short();
    bench.offer(12);
    let ids: Vec<RequestId> = bench.tick(0).iter().map(|request| request.id).collect();
    bench.offer(20);
    for id in ids {
        bench.answer(id, 503, &[], b"");
    }
    assert_eq!(bench.counts().queued, 20, "twelve that waited and eight that came back");
    assert_eq!(upgraded(&mut bench, 5), 4);
}

#[test]
fn a_batch_as_large_as_the_queue_leaves_when_ordinary_spans_have_filled_their_part() {
    let mut settings = settings(Protocol::HttpProtobuf);
    (settings.max_queue_size, settings.max_export_batch_size) = (16, 16);
    let mut bench = Bench::new(settings);
    bench.offer(12);
    assert!(bench.exporter.batch_is_full());
    assert_eq!(bench.tick(0).len(), 1);
}

#[test]
fn a_queue_too_short_for_a_quarter_reserves_nothing() {
    for size in [1, 2, 3] {
        let mut settings = settings(Protocol::HttpProtobuf);
        (settings.max_queue_size, settings.max_export_batch_size) = (size, size);
        let mut bench = Bench::new(settings);
        bench.offer(5);
        assert_eq!(bench.counts().queued, size as u64);
    }
}

/// What is done to a batch of one ordinary and one upgraded span, and by what name both are lost.
type Loss = (fn(&mut Bench, RequestId), DiscardReason);

#[test]
fn whatever_way_an_upgraded_span_is_lost_it_is_counted_once_more() {
    let losses: [Loss; 5] = [
        (|bench, id| bench.answer(id, 413, &[], b""), DiscardReason::TooLarge),
        (|bench, id| bench.answer(id, 500, &[], b""), DiscardReason::NonRetryable),
        (|bench, _| bench.exporter.close(), DiscardReason::Shutdown),
        (
            |bench, id| {
                bench.answer(id, 503, &[], b"");
                bench.exporter.close();
            },
            DiscardReason::Shutdown,
        ),
        (
            |bench, id| {
                bench.answer(id, 503, &[], b"");
                assert!(bench.tick(301 * SECOND).is_empty());
            },
            DiscardReason::RetriesExhausted,
        ),
    ];
    for (lose, reason) in losses {
        let mut bench = short();
        bench.offer(1);
        assert_eq!(upgraded(&mut bench, 1), 1);
        let id = bench.only_request(0).id;
        lose(&mut bench, id);
        assert_eq!((bench.counts().discarded(reason), bench.counts().upgraded_discarded), (2, 1), "{reason:?}");
        assert!(bench.counts().balance());
    }
}

#[test]
fn of_a_batch_that_is_rejected_in_part_as_many_are_counted_as_may_be_among_them() {
    for (rejected, counted) in [(1, 1), (2, 1), (0, 0)] {
        let mut bench = short();
        bench.offer(1);
        assert_eq!(upgraded(&mut bench, 1), 1);
        let id = bench.only_request(0).id;
        let body = [10, 2, 8, rejected]; // partial_success { rejected_spans }
        let answer = Answer { status: Some(200), headers: &[], trailers: &[], body: &body };
        bench.exporter.answered(id, answer, bench.now, LONGEST);
        assert_eq!(bench.counts().upgraded_discarded, counted, "{rejected}");
    }
}

#[test]
fn a_span_stays_upgraded_under_a_later_configuration() {
    let (mut old, mut new) = (short(), short());
    assert_eq!(upgraded(&mut old, 3), 3);
    new.exporter.adopt(&mut old.exporter);
    assert_eq!((new.counts().queued_upgraded, old.counts().queued_upgraded), (3, 0));
    new.exporter.close();
    assert_eq!(new.counts().upgraded_discarded, 3);
}
