//! Batching, backoff, retries, episodes and shutdown, told with a clock that is moved by hand.

use tracelift::export::{Answer, DiscardReason, Event, Problem};
use tracelift::otlp::Protocol;

use crate::kit::{Bench, LONGEST, SECOND, START, encoded, lent, settings, sized};

const MINUTE: u64 = 60 * SECOND;

fn bench() -> Bench {
    Bench::new(settings(Protocol::HttpProtobuf))
}

#[test]
fn nothing_is_sent_when_there_is_nothing_to_send() {
    let mut bench = bench();
    assert!(bench.tick(0).is_empty() && bench.tick(MINUTE).is_empty() && bench.flush().is_empty());
    assert!(bench.exporter.is_idle() && !bench.exporter.batch_is_full());
}

#[test]
fn a_full_batch_leaves_at_once_and_a_partial_one_when_its_first_span_has_waited() {
    let mut bench = bench();
    bench.tick(0);
    bench.offer(6);
    assert!(bench.exporter.batch_is_full());
    assert_eq!(bench.tick(0).len(), 1);
    assert!(!bench.exporter.batch_is_full());
    assert!(bench.tick(SECOND - 1).is_empty());
    bench.offer(1); // A later one, which is no reason to wait longer.
    assert_eq!(bench.tick(1).len(), 1);
    assert_eq!(bench.counts().in_flight, 7);
}

#[test]
fn a_full_batch_is_ready_only_while_it_may_leave() {
    let mut bench = bench();
    bench.exporter.look(START, 0);
    bench.offer(4);
    assert!(bench.exporter.batch_is_ready());
    let first = bench.only_request(0);
    assert!(!bench.exporter.batch_is_ready());
    bench.offer(4);
    bench.answer(first.id, 503, &[], b"");
    assert!(bench.exporter.batch_is_full() && !bench.exporter.batch_is_ready());
    assert_eq!(bench.tick(SECOND).len(), 1, "one asks whether the outage is over");
    assert!(!bench.exporter.batch_is_ready());
}

#[test]
fn a_batch_is_bounded_by_a_mebibyte_too() {
    let mut settings = settings(Protocol::Grpc);
    settings.max_queue_bytes = 8 << 20;
    settings.max_export_batch_size = 64;
    let mut bench = Bench::new(settings);
    for _ in 0..5 {
        bench.exporter.offer(sized(400_000)).expect("room");
    }
    assert!(bench.exporter.batch_is_full());
    let requests = bench.tick(0);
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body.len() <= 1 << 20));
    assert_eq!(bench.exporter.offer(sized(1 << 20)), Err(DiscardReason::TooLarge));
}

#[test]
fn a_span_beyond_a_bound_is_refused_and_counted_and_those_in_flight_count_for_the_bytes() {
    let mut settings = settings(Protocol::HttpProtobuf);
    let bytes = encoded(0).len();
    settings.max_queue_size = 8; // Six for ordinary spans.
    settings.max_queue_bytes = bytes * 11; // A little more than eight.
    let mut bench = Bench::new(settings);
    bench.offer(7);
    assert_eq!(bench.counts().discarded(DiscardReason::QueueFull), 1);
    assert_eq!(bench.counts().queued_bytes as usize, bytes * 6);
    assert_eq!(bench.tick(0).len(), 2);
    bench.offer(3);
    assert_eq!(bench.counts().discarded(DiscardReason::QueueBytes), 1);
    assert_eq!((bench.counts().queued, bench.counts().in_flight), (2, 6));
}

#[test]
fn at_most_four_requests_are_unanswered() {
    let mut bench = bench();
    bench.offer(40);
    let requests = bench.tick(0);
    assert_eq!(requests.len(), 4);
    bench.answer(requests[2].id, 200, &[], b"");
    assert_eq!(bench.tick(0).len(), 1);
    assert_eq!(bench.counts().queued, 20);
}

#[test]
fn while_one_batch_backs_off_all_wait_then_one_probes_and_when_it_succeeds_the_rest_follows() {
    let mut bench = bench();
    bench.offer(20);
    let requests = bench.tick(0);
    for request in &requests {
        bench.answer(request.id, 503, &[], b"no healthy upstream");
    }
    assert_eq!(bench.counts().exports_retried, 4);
    assert_eq!(bench.counts().queued, 20);
    assert!(bench.tick(SECOND - 1).is_empty());
    let probe = bench.only_request(1);
    assert_eq!(probe.body, requests[0].body);
    bench.answer(probe.id, 503, &[], b"");
    assert!(bench.tick(2 * SECOND - 1).is_empty(), "twice as long");
    let probe = bench.only_request(1);
    bench.answer(probe.id, 200, &[], b"");
    assert_eq!(bench.tick(0).len(), 4);
    assert_eq!(bench.counts().exported, 4);
}

#[test]
fn retry_after_is_obeyed_in_seconds_and_as_a_date() {
    // START is Sat, 21 Nov 2026 10:00:00 GMT.
    for value in ["40", "Sat, 21 Nov 2026 10:00:40 GMT"] {
        let mut bench = bench();
        bench.offer(8);
        let requests = bench.tick(0);
        bench.answer(requests[0].id, 429, &[("Retry-After", value)], b"");
        bench.answer(requests[1].id, 200, &[], b""); // It had left before: no reason to come back sooner.
        assert!(bench.tick(40 * SECOND - 1).is_empty(), "{value}");
        assert_eq!(bench.tick(SECOND + 1).len(), 1, "{value}");
    }
}

#[test]
fn a_wait_longer_than_a_batch_lives_discards_it_and_the_rest_still_goes_out() {
    let mut bench = bench();
    bench.offer(4);
    let id = bench.only_request(0).id;
    bench.offer(4);
    bench.answer(id, 503, &[("retry-after", "999999999999999999999999")], b"");
    assert_eq!(bench.counts().discarded(DiscardReason::RetriesExhausted), 4);
    assert_eq!(bench.counts().exports_failed, 1);
    assert_eq!(bench.tick(5 * MINUTE + SECOND).len(), 1);
}

#[test]
fn a_collector_that_stays_down_costs_a_batch_after_five_minutes_and_what_waits_is_delivered_when_it_returns() {
    let mut bench = bench();
    bench.offer(8);
    let mut attempts = 0;
    while bench.now < START + 5 * MINUTE {
        for request in bench.tick(SECOND) {
            attempts += 1;
            bench.exporter.refused(request.id, 10, bench.now, LONGEST);
        }
        if bench.now == START + MINUTE {
            bench.offer(4);
        }
    }
    bench.tick(31 * SECOND);
    assert!((10..20).contains(&attempts), "{attempts}");
    assert_eq!(bench.counts().discarded(DiscardReason::RetriesExhausted), 8);
    let events = bench.events();
    assert!(matches!(
        &events[..],
        [Event::Failing { problem: Problem::NotDispatched { status: 10 }, retried: true, .. }]
    ));
    assert!(events[0].to_string().contains("no host"));
    let id = loop {
        match bench.tick(SECOND).first() {
            Some(request) => break request.id,
            None => assert!(0 < bench.counts().queued + bench.counts().in_flight),
        }
    };
    bench.answer(id, 200, &[], b"");
    assert_eq!(bench.counts().exported, 4);
    let events = bench.events();
    assert!(matches!(&events[..], [Event::Recovered { discarded: 8, .. }]));
    assert!(!events[0].is_problem() && events[0].to_string().contains("8 spans were discarded"));
}

#[test]
fn a_host_that_never_calls_back_costs_the_timeout_and_some_slack() {
    let mut bench = bench();
    bench.offer(4);
    let lost = bench.only_request(0);
    bench.offer(1);
    assert_eq!(bench.tick(14 * SECOND).len(), 1, "others go on");
    assert!(bench.tick(SECOND).is_empty());
    assert!(matches!(&bench.events()[..], [Event::Failing { problem: Problem::NoCallback, .. }]));
    assert_eq!((bench.counts().queued, bench.counts().in_flight), (4, 1));
    bench.answer(lost.id, 200, &[], b"");
    assert_eq!(bench.counts().exported, 0, "too late: it will be sent again");
}

#[test]
fn a_clock_set_back_stops_nothing_for_longer_than_a_wait() {
    let mut bench = bench();
    bench.offer(4);
    let id = bench.only_request(0).id;
    bench.now -= 3_600 * SECOND;
    bench.answer(id, 503, &[], b"");
    assert_eq!(bench.tick(SECOND).len(), 1);
}

#[test]
fn answers_that_forbid_a_retry_are_one_episode_until_one_succeeds() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.offer(4);
        let id = bench.only_request(0).id;
        bench.answer(id, 401, &[], b"");
    }
    assert_eq!(bench.counts().discarded(DiscardReason::NonRetryable), 12);
    assert_eq!(bench.counts().exports_failed, 3);
    assert_eq!(bench.events().len(), 1);
    bench.offer(4);
    let id = bench.only_request(0).id;
    bench.answer(id, 200, &[], b"");
    assert!(matches!(&bench.events()[..], [Event::Recovered { discarded: 12, .. }]));
}

#[test]
fn durations_of_answered_requests_are_told_once_and_bounded() {
    let mut bench = bench();
    for round in 0..100 {
        bench.offer(4);
        let id = bench.only_request(0).id;
        bench.now += 7_900_000;
        bench.answer(id, if round % 2 == 0 { 200 } else { 400 }, &[], b"");
    }
    let durations: Vec<_> = std::iter::from_fn(|| bench.exporter.next_duration_ms()).collect();
    assert_eq!(durations, [7; 64]);
}

#[test]
fn a_repeated_answer_and_an_unknown_id_change_nothing() {
    let mut bench = bench();
    bench.offer(4);
    let id = bench.only_request(0).id;
    bench.answer(id, 200, &[], b"");
    let before = bench.counts().clone();
    bench.answer(id, 200, &[], b"");
    bench.answer(id, 503, &[], b"");
    bench.exporter.refused(id, 2, bench.now, LONGEST);
    let headers = lent(&[]);
    let answer = Answer { status: None, headers: &headers, trailers: &headers, body: b"" };
    bench.exporter.answered(id, answer, bench.now, LONGEST);
    assert_eq!(bench.counts(), &before);
    assert!(bench.tick(MINUTE).is_empty());
}

#[test]
fn a_flush_minds_no_delay_and_no_backoff_sends_each_batch_once_and_ends() {
    let mut bench = bench();
    bench.offer(4);
    let id = bench.only_request(0).id;
    bench.answer(id, 503, &[("retry-after", "60")], b"");
    bench.offer(30);
    let requests = bench.flush();
    assert_eq!(requests.len(), 9, "one retry, seven full batches and a partial one");
    assert!(bench.flush().is_empty());
    assert_eq!(bench.counts().queued, 0);
    bench.exporter.refused(requests[0].id, 10, bench.now, LONGEST);
    assert!(bench.flush().is_empty(), "refused once is enough");
    assert_eq!(bench.counts().queued, 4);
}

#[test]
fn at_shutdown_what_could_not_be_awaited_is_counted_and_nothing_is_taken_any_more() {
    let mut bench = bench();
    bench.tick(0);
    bench.offer(6);
    let id = bench.only_request(0).id;
    bench.exporter.close();
    assert_eq!(bench.counts().discarded(DiscardReason::Shutdown), 6);
    assert_eq!(bench.exporter.offer(encoded(9)), Err(DiscardReason::Shutdown));
    bench.answer(id, 200, &[], b"");
    assert_eq!(bench.counts().exported, 0);
    assert!(bench.exporter.is_idle() && bench.tick(MINUTE).is_empty() && bench.flush().is_empty());
}
