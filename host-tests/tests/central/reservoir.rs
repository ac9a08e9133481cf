//! Quotas and borrowing across the workers of a process, and reports that add up.

use crate::kit::{Process, rule, seconds, tracestate};
use serde_json::json;
use tracelift_host::otlp::Value;

#[test]
fn workers_share_one_borrowed_request_a_second_until_there_is_a_quota() {
    let mut process = Process::ready([rule(json!({"FixedRate": 0.0, "ReservoirSize": 10}))]);
    for _ in 0..3 {
        assert_eq!(process.roots(10, "/"), 1);
        process.envoy.advance(seconds(1));
    }
    process.envoy.advance(seconds(5));
    assert_eq!(process.service().calls_of("/SamplingTargets"), 1);
    assert_eq!(process.service().reported("Default"), (30, 3, 3));
    for _ in 0..3 {
        assert_eq!(process.roots(40, "/"), 10, "the quota of the process");
        process.envoy.advance(seconds(1));
    }
    process.envoy.advance(seconds(10));
    assert_eq!(process.service().reported("Default"), (150, 33, 3));
    assert_eq!((process.counter("central.reservoir"), process.counter("central.borrowed")), (30, 3));
    process.books();
}

#[test]
fn what_the_reservoir_takes_says_that_it_stands_for_itself() {
    let mut process = Process::ready([rule(json!({"FixedRate": 0.25, "ReservoirSize": 1}))]);
    let taken = process.root(0, "/");
    assert_eq!(tracestate(&taken), Some("ot=th:0"));
    let mut by_rate = 0;
    for _ in 0..40 {
        match tracestate(&process.root(1, "/")) {
            None => {}
            Some(state) => {
                assert_eq!(state, "ot=th:c");
                by_rate += 1;
            }
        }
    }
    assert!(0 < by_rate);
    process.envoy.advance(seconds(5));
    for span in process.envoy.exports().spans() {
        let count = span.attribute("tracelift.sampling.adjusted_count");
        assert!([1.0, 4.0].map(Value::Double).contains(&count), "{count:?}");
    }
    process.books();
}

#[test]
fn every_request_is_reported_once_whichever_worker_served_it() {
    let rules = [
        rule(json!({"RuleName": "cart", "Priority": 1, "URLPath": "/cart", "ReservoirSize": 5, "FixedRate": 0.5})),
        rule(json!({"RuleName": "rest", "Priority": 2, "ReservoirSize": 0, "FixedRate": 0.1})),
    ];
    let mut process = Process::ready(rules);
    let mut sampled = [0, 0];
    for round in 0..30 {
        for (kept, path) in sampled.iter_mut().zip(["/cart", "/stock"]) {
            *kept += process.roots(7 + round % 3, path) as u64;
        }
        process.envoy.advance(std::time::Duration::from_millis(2_300));
    }
    process.envoy.advance(seconds(15));
    let served: u64 = (0..30).map(|round| 7 + round % 3).sum();
    for (rule, sampled) in ["cart", "rest"].into_iter().zip(sampled) {
        let (requests, reported, borrowed) = process.service().reported(rule);
        assert_eq!((requests, reported), (served, sampled), "{rule}");
        assert!(borrowed <= 5, "{rule}: only before the first targets");
    }
    let clients: std::collections::BTreeSet<_> = process.service().reports.iter().map(|it| it.client.clone()).collect();
    assert_eq!(clients.len(), 1, "the process is one client");
    assert_eq!(process.counter("central.statistics_lost"), 0);
    process.books();
}

#[test]
fn a_quota_that_ended_is_not_used_any_more() {
    let mut process = Process::ready([rule(json!({"FixedRate": 0.0, "ReservoirSize": 10}))]);
    process.envoy.advance(seconds(10));
    assert_eq!(process.roots(20, "/"), 10);
    process.service().trouble(1000, 500, "");
    process.envoy.advance(seconds(61));
    assert_eq!(process.roots(20, "/"), 1, "borrowed again");
    process.books();
}
