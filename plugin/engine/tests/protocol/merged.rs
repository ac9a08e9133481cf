//! What several workers count is one stream, whoever sums it, and whatever becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::kit::collector::{COLLECTOR, metrics};
use crate::kit::faults::Operation;
use crate::kit::host::Reply;
use crate::kit::points;
use crate::kit::process::{MILLISECOND, Process, SECOND, get, status};

const STATUSES: [u16; 4] = [200, 204, 404, 503];

fn configuration(temporality: &str) -> String {
    format!(
        r#"{{"span_kind": "server", "sampling": {{"ratio": 0}}, "upgrade": {{"traces_per_second": 0}},
             "metrics": {{"enabled": true, "interval_ms": 2000, "temporality": "{temporality}"}}, "export": {{"timeout_ms": 60000}}}}"#
    )
}

fn serve(process: &mut Process, worker: usize, root: u32, code: u16) {
    let stream = process.stream(worker, root);
    process.head(&stream, get(&[]));
    process.state.now.set(process.state.now.get() + MILLISECOND);
    process.answer(&stream, status(code, &[]), true);
    process.log(&stream);
    process.done(worker, stream.context);
}

/// Requests by series, as a back end knows them from all exports.
fn known(process: &Process, is_cumulative: bool) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    let mut starts = BTreeMap::new();
    // As they were sent: the answer to one may have come late.
    let mut exports: Vec<_> = process.measured.iter().map(points::of).collect();
    exports.sort_by_key(|points| points.values().map(|point| point.time).max());
    for export in exports {
        for (series, point) in export {
            let count: &mut u64 = known.entry(series.clone()).or_default();
            if is_cumulative {
                assert!(*count <= point.count, "{series} never falls");
                assert_eq!(*starts.entry(series).or_insert(point.start), point.start, "one beginning");
                *count = point.count;
            } else {
                assert!(*starts.get(&series).unwrap_or(&0) <= point.start, "{series} overlaps");
                starts.insert(series, point.time);
                *count += point.count;
            }
        }
    }
    known
}

fn settle(process: &mut Process) {
    for _ in 0..40 {
        process.advance(SECOND);
        process.collect();
    }
}

#[test]
fn the_main_thread_sums_what_workers_count() {
    for workers in [2, 5, 81] {
        let mut process = Process::new(workers);
        let roots: Vec<u32> =
            (0..workers).map(|worker| process.listener(worker, "inbound", &configuration("cumulative"))).collect();
        process.advance(SECOND);
        for number in 0..workers * 8 {
            let worker = 1 + number % (workers - 1);
            serve(&mut process, worker, roots[worker], 200);
        }
        for _ in 0..10 {
            process.advance(SECOND);
            assert!(process.state.calls.borrow().iter().all(|call| call.worker == 0), "who serves nothing leads");
            process.collect();
        }
        let known = known(&process, true);
        assert_eq!(known.into_values().collect::<Vec<_>>(), [workers as u64 * 8]);
    }
}

#[test]
fn every_export_names_the_process_by_one_instance() {
    let mut process = Process::new(3);
    let roots: Vec<u32> =
        (0..3).map(|worker| process.listener(worker, "inbound", &configuration("cumulative"))).collect();
    for (worker, root) in roots.into_iter().enumerate() {
        serve(&mut process, worker, root, 200);
    }
    settle(&mut process);
    let resources: Vec<_> = process.measured.iter().map(|export| export.resource_metrics[0].resource.clone()).collect();
    assert!(1 < resources.len() && resources.iter().all(|resource| *resource == resources[0]));
    let attributes = resources[0].as_ref().expect("a resource").attributes.clone();
    let id = attributes.iter().filter(|pair| pair.key == "service.instance.id").count();
    assert_eq!(id, 1);
}

#[test]
fn filters_that_count_differently_are_instances_of_their_own() {
    let mut process = Process::new(1);
    let [one, other] = ["inbound", "outbound"].map(|name| {
        let temporality = if name == "inbound" { "cumulative" } else { "delta" };
        process.listener(0, name, &configuration(temporality))
    });
    for root in [one, other] {
        serve(&mut process, 0, root, 200);
    }
    settle(&mut process);
    let instances: BTreeSet<String> = process
        .measured
        .iter()
        .flat_map(|export| export.resource_metrics[0].resource.clone().expect("a resource").attributes)
        .filter(|pair| pair.key == "service.instance.id")
        .map(|pair| format!("{:?}", pair.value))
        .collect();
    assert_eq!(instances.len(), 2);
}

/// As Envoy replaces settings: its main thread's root ends first, and workers serve on under the old ones for a while.
#[test]
fn what_is_counted_under_settings_that_were_replaced_is_exported_by_who_works_on() {
    for (temporality, seconds) in [("cumulative", 0), ("cumulative", 9), ("delta", 0), ("delta", 9)] {
        let before = configuration(temporality);
        let after = before.replace(r#""enabled": true"#, r#""enabled": true, "namespace": "next""#);
        let mut process = Process::new(3);
        let old = [0, 1, 2].map(|worker| process.listener(worker, "inbound", &before));
        for _ in 0..seconds {
            process.advance(SECOND);
            process.collect();
        }
        (1..3).for_each(|worker| serve(&mut process, worker, old[worker], 200));
        let new = [0, 1, 2].map(|worker| process.listener(worker, "inbound", &after));
        process.done(0, old[0]);
        for worker in [1, 2] {
            serve(&mut process, worker, old[worker], 200);
            process.advance(SECOND);
            process.collect();
            process.done(worker, old[worker]);
            serve(&mut process, worker, new[worker], 200);
        }
        settle(&mut process);
        let counts: Vec<_> = known(&process, temporality == "cumulative").into_iter().collect();
        let counts: Vec<_> = counts.iter().map(|(series, count)| (series.starts_with("next."), *count)).collect();
        assert_eq!(counts, [(false, 4), (true, 2)], "{temporality}, {seconds} s old");
    }
}

#[test]
fn delta_points_that_the_collector_refused_are_part_of_the_next_and_a_timeout_is_lost_and_counted() {
    let (mut process, root) = Process::with(&configuration("delta"));
    let mut answers = [Some(503), Some(503), None].into_iter();
    let mut lost = 0;
    for _ in 0..60 {
        serve(&mut process, 0, root, 200);
        process.advance(SECOND);
        while let Some(call) = process.call_to(COLLECTOR) {
            let export = metrics(&call).expect("nothing is sampled");
            let status = answers.next().unwrap_or(Some(200));
            if status.is_none() {
                lost = points::of(&export).values().map(|point| point.count).sum();
            }
            process.reply(&call, Reply { status, ..Reply::default() });
        }
    }
    settle(&mut process);
    let known: u64 = known(&process, false).into_values().sum();
    assert!(0 < lost, "the third export timed out");
    assert_eq!(known, 60 - lost);
    assert_eq!(process.metric("metrics.points_lost"), 1);
}

#[test]
fn delta_points_are_sent_again_only_where_they_cannot_have_arrived() {
    const FAULT: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
    for (status, text, arrived) in [
        (503, format!("{FAULT}connection termination"), true),
        (503, format!("{FAULT}remote connection failure, transport failure reason: Connection refused"), false),
        (503, "no healthy upstream".to_owned(), false),
        (503, "the collector's own".to_owned(), false),
        (502, String::new(), true),
        (504, "upstream request timeout".to_owned(), true),
    ] {
        let (mut process, root) = Process::with(&configuration("delta"));
        serve(&mut process, 0, root, 200);
        let call = (0..20).find_map(|_| {
            process.advance(SECOND);
            process.call_to(COLLECTOR)
        });
        process.reply(&call.expect("an export"), Reply::status(status).body(text.as_str()));
        settle(&mut process);
        let known: u64 = known(&process, false).into_values().sum();
        assert_eq!((known, process.metric("metrics.points_lost")), if arrived { (0, 1) } else { (1, 0) }, "{text}");
    }
}

/// A second in which all workers but one tick and hear the answers to their calls.
fn without(process: &mut Process, stalled: usize) {
    process.state.now.set(process.state.now.get() + SECOND);
    for worker in (0..process.workers.len()).filter(|worker| *worker != stalled) {
        for root in process.roots(worker).to_vec() {
            process.tick(worker, root);
        }
        let call = process.state.calls.borrow().iter().find(|call| call.worker == worker).cloned();
        if let Some(call) = call {
            process.reply(&call, Reply::status(200));
        }
    }
}

/// Numbers of workers are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Serve(usize, usize),
    Tick,
    /// The root of a worker ends, and another takes its place.
    Reload(usize),
    /// A worker's VM traps: what it has not shared is gone.
    Trap(usize),
    /// A worker does nothing for so many seconds, neither ticks nor hears an answer, as behind a long request: its lease may end.
    Stall(usize, u8),
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..80_usize, 0..STATUSES.len()).prop_map(|(worker, code)| Step::Serve(worker, code)),
        4 => Just(Step::Tick),
        1 => (0..80_usize).prop_map(Step::Reload),
        1 => (0..80_usize).prop_map(Step::Trap),
        1 => (0..80_usize, 1..20_u8).prop_map(|(worker, seconds)| Step::Stall(worker, seconds)),
        1 => Just(Step::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_request_is_counted_once_whoever_dies(
        // Alone, as in a pod, one less than all slots could have, and more.
        workers in prop_oneof![20 => Just(1_usize), 40 => Just(4), 1 => Just(63), 1 => Just(80)],
        steps in prop::collection::vec(step(), 1..120),
        is_cumulative: bool,
        // Every so many writes meet a value that another worker has just written: 0 for none.
        races in prop_oneof![Just(0_u32), 2..6_u32],
    ) {
        let configuration = configuration(if is_cumulative { "cumulative" } else { "delta" });
        let mut process = Process::new(workers);
        let mut roots: Vec<u32> =
            (0..workers).map(|worker| process.listener(worker, "inbound", &configuration)).collect();
        process.state.faults.set(Operation::Contend, races);
        let mut served = BTreeMap::<u16, u64>::new();
        // Served since the last time that all was shared, by worker.
        let mut unshared = vec![BTreeMap::<u16, u64>::new(); workers];
        let mut lost = BTreeMap::<u16, u64>::new();
        for step in steps {
            match step {
                Step::Serve(worker, code) => {
                    let worker = worker % workers;
                    serve(&mut process, worker, roots[worker], STATUSES[code]);
                    *served.entry(STATUSES[code]).or_default() += 1;
                    *unshared[worker].entry(STATUSES[code]).or_default() += 1;
                }
                Step::Tick => {
                    process.advance(SECOND);
                    unshared.iter_mut().for_each(BTreeMap::clear);
                    process.collect();
                }
                Step::Reload(worker) => {
                    let worker = worker % workers;
                    let old = roots[worker];
                    roots[worker] = process.listener(worker, "inbound", &configuration);
                    process.done(worker, old);
                    unshared[worker].clear();
                }
                Step::Trap(worker) => {
                    let worker = worker % workers;
                    for (code, count) in std::mem::take(&mut unshared[worker]) {
                        *lost.entry(code).or_default() += count;
                    }
                    // With it goes an export that is not answered any more: the next cumulative one makes up for it.
                    for call in process.state.calls.borrow().iter().filter(|call| call.worker == worker && !is_cumulative) {
                        for (series, point) in points::of(&metrics(call).expect("nothing is sampled")) {
                            let code = STATUSES.into_iter().find(|code| series.contains(&code.to_string()));
                            *lost.entry(code.expect("a status")).or_default() += point.count;
                        }
                    }
                    process.trap(worker);
                    roots[worker] = process.listener(worker, "inbound", &configuration);
                }
                Step::Stall(worker, seconds) => {
                    let worker = worker % workers;
                    for _ in 0..seconds {
                        without(&mut process, worker);
                    }
                    process.collect(); // What it had sent was taken, and now it hears of that.
                    let others = unshared.iter_mut().enumerate().filter(|(other, _)| *other != worker);
                    others.for_each(|(_, counts)| counts.clear());
                }
                Step::Refuse => {
                    process.advance(SECOND);
                    unshared.iter_mut().for_each(BTreeMap::clear);
                    while let Some(call) = process.call_to(COLLECTOR) {
                        process.reply(&call, Reply::status(503));
                    }
                }
            }
        }
        process.state.faults.clear();
        settle(&mut process);
        let known = known(&process, is_cumulative);
        for (code, count) in served {
            let expected = count - lost.get(&code).copied().unwrap_or_default();
            let found: u64 = known.iter().filter(|(series, _)| series.contains(&code.to_string())).map(|(_, count)| *count).sum();
            prop_assert_eq!(found, expected, "{}", code);
        }
    }
}
