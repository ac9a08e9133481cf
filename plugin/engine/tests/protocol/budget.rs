//! The budget of upgrades: one for a process, charged for every failure.

use tracelift::door::Side;

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
