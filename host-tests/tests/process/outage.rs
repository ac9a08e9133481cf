//! A collector that is away for a while: what is kept, what is lost, what is said.

use std::time::Duration;

use serde_json::json;
use tracelift_host::{Answer, Envoy, LogLevel, Reply};

use crate::kit::{
    COLLECTOR, books, closed_books, discarded, keep_all, keep_failures, process, seconds, serve, started, warnings,
};

const AT_ONCE: Duration = Duration::from_millis(5);

fn collector_is_down(envoy: &mut Envoy) {
    envoy.answer_with(|_| Reply::After(AT_ONCE, Answer::connection_failure()));
}

fn collector_is_back(envoy: &mut Envoy) {
    envoy.answer_with(|callout| Reply::accept(callout, AT_ONCE));
}

#[test]
fn a_thousand_failing_requests_of_an_outage_make_one_line_and_its_end_another() {
    let builder = process(keep_failures(json!({"max_queue_size": 2000}))).log_level(LogLevel::Trace);
    let mut envoy = started(builder);
    collector_is_down(&mut envoy);
    let said = envoy.messages_from(LogLevel::Trace).len();
    for _ in 0..100 {
        serve(&mut envoy, 10, 503);
        envoy.advance(seconds(1));
        let balance = books(&mut envoy);
        assert_eq!(balance.discarded_total(), 0, "{balance}");
    }
    let lines = envoy.messages_from(LogLevel::Trace).split_off(said);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["export to cluster \"otel_collector\"", "HTTP 503", "sent again", "Check that the collector listens"] {
        assert!(lines[0].contains(part), "{}", lines[0]);
    }

    collector_is_back(&mut envoy);
    envoy.advance(seconds(40));
    assert_eq!(closed_books(&mut envoy).exported, 1000);
    let lines = envoy.messages_from(LogLevel::Trace).split_off(said + 1);
    assert!(lines.len() == 1 && lines[0].contains("works again; 0 spans were discarded"), "{lines:?}");
}

#[test]
fn each_outage_is_told_once() {
    let mut envoy = started(process(keep_all(json!({}))).collector(COLLECTOR, AT_ONCE));
    for outage in 1..=5 {
        collector_is_down(&mut envoy);
        serve(&mut envoy, 20, 200);
        envoy.advance(seconds(20));
        collector_is_back(&mut envoy);
        envoy.advance(seconds(40));
        serve(&mut envoy, 20, 200);
        envoy.advance(seconds(3));
        assert_eq!(warnings(&envoy).len(), outage);
        let said = envoy.messages_from(LogLevel::Info);
        let of_outages = said.iter().filter(|line| !line.contains("proxy-wasm ABI"));
        assert_eq!(of_outages.count(), 2 * outage, "and once that it is over: {said:?}");
        assert_eq!(closed_books(&mut envoy).exported, 40 * outage as u64);
    }
}

#[test]
fn attempts_thin_out_with_jitter_and_end_after_five_minutes() {
    let mut pauses_seen = Vec::new();
    for seed in 0..4 {
        let mut envoy = started(process(keep_all(json!({}))).seed(seed));
        collector_is_down(&mut envoy);
        serve(&mut envoy, 1, 200);
        envoy.advance(seconds(310));
        let sent: Vec<Duration> = envoy.callouts().iter().map(|callout| callout.sent_at).collect();
        let pauses: Vec<Duration> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (failures, pause) in pauses.iter().enumerate() {
            // Full jitter below a ceiling that doubles to 30 s; a tick late at most.
            let ceiling = seconds(30.min(1 << failures.min(5)) + 1) + AT_ONCE;
            assert!((Duration::from_millis(100)..=ceiling).contains(pause), "after {failures}: {pause:?}");
        }
        assert!((10..80).contains(&sent.len()), "{} attempts in five minutes", sent.len());
        assert!(sent[sent.len() - 1] - sent[0] <= seconds(300));
        closed_books(&mut envoy);
        assert_eq!(discarded(&envoy, "retries_exhausted"), 1);
        envoy.advance(seconds(600));
        assert_eq!(envoy.callouts().len(), sent.len(), "no more attempts");
        pauses_seen.push(pauses);
    }
    pauses_seen.dedup();
    assert_eq!(pauses_seen.len(), 4, "every process has its own rhythm");
}

#[test]
fn while_it_fails_one_request_at_a_time_asks_whether_it_is_over() {
    let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 10}))));
    envoy.answer_with(|_| Reply::After(seconds(2), Answer::connection_failure()));
    serve(&mut envoy, 200, 200);
    assert_eq!(envoy.waiting_callouts().len(), 4, "four before anything is known");
    envoy.advance(seconds(4));
    for _ in 0..100 {
        envoy.advance(Duration::from_millis(500));
        assert!(envoy.waiting_callouts().len() <= 1);
        books(&mut envoy);
    }
    collector_is_back(&mut envoy);
    envoy.advance(seconds(60));
    assert_eq!(closed_books(&mut envoy).exported, 200, "then all of it goes out");
}

#[test]
fn an_outage_longer_than_the_queue_loses_the_latest_spans_by_name() {
    let mut envoy = started(process(keep_failures(json!({"max_queue_size": 300, "max_export_batch_size": 100}))));
    collector_is_down(&mut envoy);
    for _ in 0..60 {
        serve(&mut envoy, 10, 500);
        envoy.advance(seconds(1));
        books(&mut envoy);
    }
    collector_is_back(&mut envoy);
    envoy.advance(seconds(60));
    let balance = closed_books(&mut envoy);
    let lost = discarded(&envoy, "queue_full");
    assert!(0 < lost && balance.exported == 600 - lost, "{balance}");
    assert!(300 <= balance.exported, "what had been taken is sent: {balance}");
    let end = envoy.messages_from(LogLevel::Info).pop().map(str::to_owned);
    assert!(end.as_ref().is_some_and(|line| line.contains(&format!("{lost} spans were discarded"))), "{end:?}");
}

#[test]
fn two_workers_suffer_and_recover_apart() {
    let mut envoy = started(process(keep_all(json!({}))).workers(2));
    envoy.answer_with(|callout| match callout.vm {
        tracelift_host::VmId::Worker(0) => Reply::After(AT_ONCE, Answer::connection_failure()),
        _ => Reply::accept(callout, AT_ONCE),
    });
    for worker in [0, 1] {
        crate::kit::serve_on(&mut envoy, worker, 200);
    }
    envoy.advance(seconds(10));
    let balance = books(&mut envoy);
    assert_eq!((balance.exported, balance.queued + balance.in_flight), (1, 1));
    assert_eq!(warnings(&envoy).len(), 1);
    collector_is_back(&mut envoy);
    envoy.advance(seconds(30));
    assert_eq!(closed_books(&mut envoy).exported, 2);
}
