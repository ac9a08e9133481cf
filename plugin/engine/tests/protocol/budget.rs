//! The budget of upgrades: one for a process, charged for every failure.

use tracelift::door::Side;
use tracelift::trace_context::TraceId;
use tracelift::upgrade::slots;

use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, get, status};

const FIVE: &str = r#"{"upgrade": {"traces_per_second": 5}}"#;

/// A request of a trace of its own that fails; its number makes the trace. Whether it was kept.
fn failure(process: &mut Process, (worker, root): (usize, u32), trace: u32, flags: &str) -> bool {
    let stream = process.stream(worker, root);
    process.head(&stream, get(&[("traceparent", &format!("00-{:032x}-b7ad6b7169203331-{flags}", trace + 1))]));
    process.answer(&stream, status(500, &[]), true);
    process.log(&stream);
    stream.exchange.decision().is_some()
}

#[test]
fn the_workers_of_a_process_share_one_budget() {
    let mut process = Process::new(2);
    let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "inbound", FIVE))).collect();
    let kept = (0..40).filter(|number| failure(&mut process, roots[*number as usize % 2], *number, "02")).count();
    assert_eq!(kept, 5, "a burst of one second");
    process.tick_all();
    assert_eq!(process.metric("upgrades.http_status"), 5);
    assert_eq!(process.metric("upgrades.shed"), 35);
}

#[test]
fn listeners_of_another_name_have_a_budget_of_their_own() {
    let mut process = Process::new(1);
    let roots = ["inbound", "outbound"].map(|plugin| (0, process.listener(0, plugin, FIVE)));
    let kept = (0..40).filter(|number| failure(&mut process, roots[*number as usize % 2], *number, "02")).count();
    assert_eq!(kept, 10);
}

#[test]
fn the_budget_comes_back_with_time() {
    let (mut process, root) = Process::with(FIVE);
    let mut number = 0;
    let mut storm = |process: &mut Process| {
        (0..20)
            .filter(|_| {
                number += 1;
                failure(process, (0, root), number, "02")
            })
            .count()
    };
    assert_eq!(storm(&mut process), 5);
    process.advance(400 * MILLISECOND);
    assert_eq!(storm(&mut process), 2);
    process.advance(60 * SECOND);
    assert_eq!(storm(&mut process), 5, "no more than a second's worth is saved");
}

#[test]
fn sampled_requests_are_charged_too_and_kept_all_the_same() {
    let (mut process, root) = Process::with(FIVE);
    assert!((0..9).all(|number| failure(&mut process, (0, root), number, "03")));
    assert!(!failure(&mut process, (0, root), 9, "02"));
}

#[test]
fn a_budget_of_nothing_upgrades_nothing() {
    let (mut process, root) = Process::with(r#"{"upgrade": {"traces_per_second": 0}}"#);
    assert!(!(0..9).any(|number| failure(&mut process, (0, root), number, "02")));
}

#[test]
fn what_is_shed_is_said_to_be_so() {
    let (mut process, root) = Process::with(r#"{"upgrade": {"traces_per_second": 0}}"#);
    let stream = process.stream(0, root);
    process.head(&stream, get(&[]));
    process.answer(&stream, status(500, &[]), true);
    let said = stream.exchange.values(Side::Response, "traceresponse");
    assert!(matches!(&said[..], [one] if one.ends_with("-02")), "{said:?}");
}

#[test]
fn a_worker_that_cannot_share_goes_by_its_own_count() {
    for operation in [Operation::Shared, Operation::Swap] {
        let mut process = Process::new(2);
        let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "inbound", FIVE))).collect();
        process.state.faults.set(operation, 1);
        let kept = (0..40).filter(|number| failure(&mut process, roots[*number as usize % 2], *number, "02")).count();
        assert_eq!(kept, 10, "{operation:?}: five in each worker");
    }
}

#[test]
fn a_worker_that_loses_every_race_still_counts() {
    let (mut process, root) = Process::with(FIVE);
    assert!(failure(&mut process, (0, root), 0, "02"));
    process.state.faults.set(Operation::Contend, 1);
    let kept = (1..20).filter(|number| failure(&mut process, (0, root), *number, "02")).count();
    assert_eq!(kept, 4);
}

/// Two workers with two listeners each.
fn four(configuration: &str) -> (Process, [(usize, u32); 4]) {
    let mut process = Process::new(2);
    let roots = [(0, "inbound"), (1, "inbound"), (0, "outbound"), (1, "outbound")];
    let roots = roots.map(|(worker, plugin)| (worker, process.listener(worker, plugin, configuration)));
    (process, roots)
}

#[test]
fn one_trace_that_fails_for_ever_is_kept_within_a_bound_of_the_process() {
    let (mut process, roots) = four(FIVE);
    let kept = (0..300).filter(|number| failure(&mut process, roots[number % 4], 7, "02")).count();
    assert_eq!(kept, 51, "the first by the budget, ten times the budget of a second behind it");
    process.advance(SECOND);
    let kept = (0..300).filter(|number| failure(&mut process, roots[number % 4], 7, "02")).count();
    assert_eq!(kept, 50);
    assert!(failure(&mut process, roots[0], 8, "02"), "the budget itself is there for others");
    process.tick_all();
    assert_eq!(process.metric("joins.refused"), 600 - 101);
    assert_eq!(process.metric("upgrades.shed"), 600 - 101);
    // What is refused is shed at every hop: the caller hears so.
    let stream = process.stream(0, roots[0].1);
    process.head(&stream, get(&[("traceparent", "00-00000000000000000000000000000008-b7ad6b7169203331-02")]));
    process.answer(&stream, status(500, &[]), true);
    assert_eq!(
        stream.exchange.values(Side::Response, "x-tracelift-signal"),
        ["2;shed;00000000000000000000000000000008"]
    );
}

#[test]
fn later_calls_of_one_trace_leave_sampled_within_the_same_bound() {
    let (mut process, roots) = four(r#"{"span_kind": "client", "upgrade": {"traces_per_second": 5}}"#);
    assert!(failure(&mut process, roots[0], 7, "02"));
    let mut call = |number: usize| {
        let (worker, root) = roots[number % 4];
        let stream = process.stream(worker, root);
        process.head(&stream, get(&[("traceparent", "00-00000000000000000000000000000008-b7ad6b7169203331-02")]));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
        stream.exchange.decision().is_some()
    };
    assert_eq!((0..300).filter(|number| call(*number)).count(), 50);
    process.tick_all();
    assert_eq!(process.metric("joins.refused"), 250);
    assert_eq!(process.metric("decisions.sampled.upgraded"), 50);
}

#[test]
fn a_trace_of_many_calls_is_whole_however_small_the_budget_is() {
    let mut process = Process::new(1);
    let small = |kind: &str| format!(r#"{{"span_kind": "{kind}", "upgrade": {{"traces_per_second": 0.01}}}}"#);
    let inbound = process.listener(0, "inbound", &small("server"));
    let outbound = process.listener(0, "outbound", &small("client"));
    assert!(failure(&mut process, (0, outbound), 7, "02"));
    let trace = [("traceparent", "00-00000000000000000000000000000008-b7ad6b7169203331-02")];
    let kept = (0..20).filter(|number| {
        let stream = process.stream(0, if *number == 19 { inbound } else { outbound });
        process.head(&stream, get(&trace));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
        stream.exchange.decision().is_some()
    });
    assert_eq!(kept.count(), 20);
}

#[test]
fn signals_are_believed_up_to_ten_times_the_budget_of_the_process() {
    let (mut process, roots) = four(r#"{"upgrade": {"traces_per_second": 1}}"#);
    let kept = (1..=80_usize).filter(|trace| {
        let (worker, root) = roots[trace % 4];
        let stream = process.stream(worker, root);
        process.head(&stream, get(&[("traceparent", &format!("00-{trace:032x}-00f067aa0ba902b7-02"))]));
        process.answer(&stream, status(200, &[("x-tracelift-signal", &format!("2;upgraded;{trace:032x}"))]), true);
        process.log(&stream);
        stream.exchange.decision().is_some()
    });
    assert_eq!(kept.count(), 10);
    process.tick_all();
    assert_eq!(process.metric("upgrades.signals_refused"), 70);
}

#[test]
fn a_verdict_that_has_to_make_room_in_its_time_is_counted() {
    let slot = |trace: u32| slots::slot_of(TraceId::from_u128(u128::from(trace) + 1).expect("above zero"));
    let mut of_one_slot = (0..).filter(|trace| slot(*trace) == slot(0));
    let (mut process, root) = Process::with("{}");
    for trace in of_one_slot.by_ref().take(5) {
        assert!(failure(&mut process, (0, root), trace, "02"));
    }
    process.tick_all();
    assert_eq!(process.metric("joins.forgotten"), 1);
    process.advance(61 * SECOND);
    for trace in of_one_slot.take(4) {
        assert!(failure(&mut process, (0, root), trace, "02"));
    }
    process.tick_all();
    assert_eq!(process.metric("joins.forgotten"), 1, "they had had their time");
}
