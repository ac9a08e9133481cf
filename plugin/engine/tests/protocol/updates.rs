//! Configurations that change, and roots that come and go while requests are under way.

use tracelift::door::{Level, Refused};

use crate::kit::collector::{self, COLLECTOR, attribute};
use crate::kit::host::Reply;
use crate::kit::process::{Process, SECOND, get, status};

const ALL: &str = r#"{"sampling": {"mode": "independent", "ratio": 1}}"#;
const NONE: &str = r#"{"sampling": {"mode": "independent", "ratio": 0}}"#;
const WRONG: &str = r#"{"sampling": {"ratio": 2}}"#;

/// A request that is fine. Whether it was kept.
fn request(process: &mut Process, root: u32) -> bool {
    let stream = process.stream(0, root);
    process.head(&stream, get(&[]));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.done(0, stream.context);
    stream.exchange.decision().is_some()
}

#[test]
fn a_new_configuration_holds_from_the_next_request_on() {
    let (mut process, root) = Process::with(ALL);
    let open = process.stream(0, root);
    process.head(&open, get(&[]));
    assert!(process.configure(0, root, "inbound", NONE));
    assert!(!request(&mut process, root));
    process.answer(&open, status(200, &[]), true);
    process.log(&open);
    assert_eq!(open.exchange.decision().as_deref(), Some("sampled"), "it was decided before");
    assert_eq!(process.export().len(), 1);
    assert_eq!(process.workers[0].host.recorded("config.ratio_ppm"), [1_000_000, 0]);
}

#[test]
fn a_refused_configuration_leaves_the_one_in_use() {
    let (mut process, root) = Process::with(ALL);
    assert!(!process.configure(0, root, "inbound", WRONG));
    assert!(!process.configure_in(0, root, "inbound", Err(Refused(1)), &[]));
    assert!(request(&mut process, root));
    assert_eq!((process.metric("config.accepted"), process.metric("config.refused")), (1, 2));
    assert!(process.logged(Level::Error, "sampling.ratio"));
}

#[test]
fn a_root_that_passes_everything_through_touches_nothing() {
    let mut process = Process::new(1);
    let root = process.root(0);
    let environment = [("TRACELIFT_ON_INVALID_CONFIG", "pass_through")];
    assert!(process.configure_in(0, root, "inbound", Ok(WRONG.into()), &environment));
    let stream = process.stream(0, root);
    assert!(!process.head(&stream, get(&[])));
    process.answer(&stream, status(500, &[]), true);
    process.log(&stream);
    process.advance(SECOND);
    assert_eq!((stream.exchange.writes(), stream.exchange.decision()), (0, None));
    assert_eq!(process.metric("config.pass_through"), 1);
    assert!(process.done(0, root), "it has nothing to wait for");
}

#[test]
fn two_roots_of_a_worker_obey_their_own_configurations() {
    let (mut process, all) = Process::with(ALL);
    let none = process.listener(0, "outbound", NONE);
    for _ in 0..5 {
        assert!(request(&mut process, all));
        assert!(!request(&mut process, none));
    }
    assert_eq!(process.export().len(), 5);
}

#[test]
fn what_an_ending_root_has_is_exported_by_its_successor() {
    let (mut process, old) = Process::with(ALL);
    assert!((0..3).all(|_| request(&mut process, old)));
    let new = process.listener(0, "inbound", NONE);
    assert!(process.done(0, old), "nothing is left to wait for");
    process.advance(SECOND);
    let call = process.call_to(COLLECTOR).expect("an export");
    assert_eq!((call.root, collector::spans(&call).len()), (new, 3));
    process.collect();
    process.tick_all();
    assert_eq!(process.metric("spans.exported"), 3);
}

#[test]
fn a_root_of_another_name_or_without_work_is_no_successor() {
    for (plugin, configured) in [("outbound", true), ("inbound", false)] {
        let (mut process, old) = Process::with(ALL);
        assert!(request(&mut process, old));
        if configured {
            process.listener(0, plugin, NONE);
        } else {
            process.root(0);
        }
        assert!(!process.done(0, old), "its own flush awaits an answer");
        assert_eq!(process.call_to(COLLECTOR).map(|call| call.root), Some(old));
        process.collect();
        assert_eq!((process.metric("spans.exported"), process.workers[0].host.roots_done()), (1, 1));
    }
}

#[test]
fn an_ending_root_waits_for_an_answer_whatever_it_is_while_its_vm_lives() {
    for (reply, metric) in [
        (Reply::status(200), "spans.exported"),
        (Reply::status(400), "spans.discarded.non_retryable"),
        (Reply::status(503), "spans.discarded.shutdown"),
        (Reply::default(), "spans.discarded.shutdown"),
    ] {
        let (mut process, root) = Process::with(ALL);
        process.listener(0, "outbound", NONE);
        assert!(request(&mut process, root));
        assert!(!process.done(0, root));
        let call = process.call_to(COLLECTOR).expect("a flush");
        process.reply(&call, reply);
        while let Some(call) = process.call_to(COLLECTOR) {
            process.reply(&call, Reply::status(503));
        }
        assert_eq!((process.metric(metric), process.workers[0].host.roots_done()), (1, 1), "{metric}");
        assert_eq!(process.metric("queue.spans") + process.metric("exports.in_flight_spans"), 0, "{metric}");
    }
}

#[test]
fn what_is_on_its_way_when_the_last_root_ends_is_lost_for_the_counts_whatever_comes() {
    for reply in [Reply::status(200), Reply::status(503), Reply::default()] {
        let (mut process, inbound) = Process::with(ALL);
        let outbound = process.listener(0, "outbound", ALL);
        assert!(request(&mut process, inbound) && request(&mut process, outbound));
        assert!(!process.done(0, inbound), "the VM lives, so that it waits");
        assert_eq!((process.metric("exports.in_flight_spans"), process.metric("spans.discarded.shutdown")), (1, 0));
        assert!(!process.done(0, outbound));
        let counts = |process: &Process| {
            let gauges = ["exports.in_flight_spans", "queue.spans", "queue.bytes", "pending.spans"];
            assert!(gauges.iter().all(|gauge| process.metric(gauge) == 0));
            (process.metric("spans.exported"), process.metric("spans.discarded.shutdown"))
        };
        assert_eq!(counts(&process), (0, 2), "said in the last callback that surely comes");
        while let Some(call) = process.call_to(COLLECTOR) {
            process.reply(&call, reply.clone());
        }
        assert_eq!(counts(&process), (0, 2), "no span is counted twice");
        assert_eq!(process.workers[0].host.roots_done(), 2);
    }
}

#[test]
fn a_successor_that_comes_while_an_answer_is_awaited_takes_what_is_to_be_sent_again() {
    let (mut process, old) = Process::with(ALL);
    process.listener(0, "outbound", NONE);
    assert!(request(&mut process, old));
    assert!(!process.done(0, old));
    process.listener(0, "inbound", NONE);
    let call = process.call_to(COLLECTOR).expect("a flush");
    process.reply(&call, Reply::status(503));
    assert_eq!(process.workers[0].host.roots_done(), 1);
    for _ in 0..20 {
        process.advance(SECOND);
        process.collect();
    }
    process.tick_all();
    assert_eq!(process.metric("spans.exported"), 1);
}

#[test]
fn answers_come_late_twice_and_for_nobody() {
    let (mut process, root) = Process::with(ALL);
    assert!(request(&mut process, root));
    process.advance(SECOND);
    let call = process.call_to(COLLECTOR).expect("an export");
    let mut stranger = call.clone();
    stranger.token += 1_000;
    for call in [&stranger, &call, &call] {
        process.reply(call, Reply::status(200));
        process.tick_all();
    }
    assert_eq!(process.metric("spans.exported"), 1);
}

#[test]
fn roots_tick_as_often_as_their_work_needs() {
    let recall = r#"{"upgrade": {"recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000}}}"#;
    for (configuration, milliseconds) in [
        ("{}", 1_000),
        (r#"{"export": {"scheduled_delay_ms": 300}}"#, 300),
        (r#"{"export": {"scheduled_delay_ms": 1}}"#, 100),
        (r#"{"export": {"scheduled_delay_ms": 60000}}"#, 1_000),
        (recall, 250),
    ] {
        assert_eq!(Process::with(configuration).0.workers[0].host.tick_ms(), milliseconds, "{configuration}");
    }
}

#[test]
fn contexts_that_were_never_made_are_let_pass() {
    let (mut process, root) = Process::with(ALL);
    let orphan = process.stream(0, 777);
    assert!(!process.head(&orphan, get(&[])));
    process.answer(&orphan, status(500, &[]), true);
    process.body_end(&orphan);
    process.log(&orphan);
    process.log(&orphan);
    assert!(process.done(0, orphan.context) && process.done(0, 999));
    process.tick(0, 999);
    assert_eq!(orphan.exchange.writes(), 0);
    assert!(request(&mut process, root));
}

#[test]
fn streams_that_are_never_logged_do_not_pile_up() {
    let (mut process, root) = Process::with(NONE);
    let streams: Vec<_> = (0..200)
        .map(|_| {
            let stream = process.stream(0, root);
            process.head(&stream, get(&[]));
            process.done(0, stream.context);
            stream
        })
        .collect();
    process.tick_all();
    assert_eq!(process.metric("pending.spans"), 64);
    streams.iter().for_each(|stream| process.log(stream));
    process.tick_all();
    assert_eq!(process.metric("pending.spans"), 0);
}

#[test]
fn a_new_service_name_is_of_the_spans_that_come_later() {
    let (mut process, root) = Process::with(r#"{"service_name": "before", "sampling": {"ratio": 1}}"#);
    assert!(request(&mut process, root));
    process.configure(0, root, "inbound", r#"{"service_name": "after", "sampling": {"ratio": 1}}"#);
    assert!(request(&mut process, root));
    process.advance(SECOND);
    let bodies: Vec<_> = process.state.calls.borrow().iter().map(|call| call.body.clone()).collect();
    assert_eq!(bodies.len(), 2, "a batch has one resource");
    for (body, name) in bodies.iter().zip(["before", "after"]) {
        assert!(body.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    process.collect();
    assert!(process.exported.iter().all(|span| attribute(span, "http.response.status_code").as_deref() == Some("200")));
}
