//! What matching one request may cost: one budget of steps for everything that is matched against it.

use crate::kit::process::{Process, get, status};

/// Two rules of which each costs more than a request has for a long header, and a cheap one behind them.
const DEAR: &str = r#"[
    {"match": {"headers": {"x-long": {"regex": ".*(?:a|b|c){20}.*y"}}}, "ratio": 0},
    {"match": {"headers": {"x-long": {"regex": ".*(?:a|b|c){30}.*y"}}}, "ratio": 0},
    {"match": {"method": ["GET"]}, "ratio": 1}]"#;

/// A request whose header has so many bytes, to a filter of these settings; whether it was sampled.
fn sampled(process: &mut Process, root: u32, bytes: usize) -> bool {
    let stream = process.stream(0, root);
    let value = format!("{}y", "a".repeat(bytes));
    process.head(&stream, get(&[("x-long", &value)]));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.tick_all();
    stream.exchange.decision().is_some()
}

#[test]
fn a_rule_that_costs_too_much_does_not_match_and_the_request_is_counted_once() {
    let (mut process, root) = Process::with(&format!(r#"{{"sampling": {{"ratio": 0, "rules": {DEAR}}}}}"#));
    assert!(!sampled(&mut process, root, 30), "the first rule");
    assert_eq!(process.metric("rules.over_budget"), 0);
    assert!(sampled(&mut process, root, 2000), "the third");
    assert_eq!(process.metric("rules.over_budget"), 1);
    assert_eq!(process.metric("decisions.sampled.rule"), 1);
}

#[test]
fn rules_of_the_shadow_have_half_of_what_the_live_ones_leave() {
    let shadow =
        format!(r#"{{"sampling": {{"ratio": 0}}, "shadow": {{"sampling": {{"ratio": 0, "rules": {DEAR}}}}}}}"#);
    let (mut process, root) = Process::with(&shadow);
    sampled(&mut process, root, 2000);
    assert_eq!(process.metric("shadow.decisions.sampled"), 1, "its third rule");
    assert_eq!(process.metric("rules.over_budget"), 0, "nothing was decided by it");
}
