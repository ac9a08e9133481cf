//! X-Ray's central sampling: one worker asks for all, and all decide by what it was told.

use serde_json::{Value, json};

use crate::kit::collector::attribute;
use crate::kit::host::Reply;
use crate::kit::process::{Process, SECOND, get, status};

const XRAY: &str = "xray_proxy";
const CENTRAL: &str =
    r#"{"sampling": {"ratio": 0, "xray": {"enabled": true, "cluster": "xray_proxy", "targets_interval_ms": 10000}}}"#;

fn rule(name: &str, changes: &Value) -> Value {
    let mut rule = json!({
        "RuleName": name, "RuleARN": format!("arn:{name}"), "Priority": 100, "FixedRate": 0.0, "ReservoirSize": 0,
        "ServiceName": "*", "ServiceType": "*", "ResourceARN": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*",
        "Version": 1, "Attributes": {},
    });
    for (key, value) in changes.as_object().expect("an object") {
        rule[key] = value.clone();
    }
    json!({"SamplingRule": rule, "ModifiedAt": 1.0})
}

fn rules(changes: &Value) -> Reply {
    let records = json!({"SamplingRuleRecords": [rule("cart", changes)]});
    Reply::status(200).body(records.to_string())
}

/// Two workers of one process; one of them has asked, and was told of one rule.
fn informed(changes: &Value) -> (Process, Vec<(usize, u32)>) {
    let mut process = Process::new(2);
    let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "inbound", CENTRAL))).collect();
    for _ in 0..3 {
        process.advance(SECOND);
    }
    let calls: Vec<_> = process.state.calls.borrow().iter().filter(|call| call.cluster == XRAY).cloned().collect();
    assert_eq!(calls.len(), 1, "one worker asks");
    assert_eq!(calls[0].header(":path"), Some("/GetSamplingRules"));
    process.reply(&calls[0], rules(changes));
    process.tick_all();
    assert_eq!(process.metric("central.leads"), 1);
    (process, roots)
}

fn request(process: &mut Process, (worker, root): (usize, u32), caller: Option<&str>) -> bool {
    let stream = process.stream(worker, root);
    let head: Vec<_> = caller.map(|caller| ("traceparent", caller)).into_iter().collect();
    process.head(&stream, get(&head));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    stream.exchange.decision().is_some()
}

#[test]
fn before_there_are_rules_the_configuration_decides() {
    let (mut process, root) = Process::with(CENTRAL);
    assert!(!request(&mut process, (0, root), None));
    process.tick_all();
    assert_eq!((process.metric("central.fallback"), process.metric("decisions.dropped.ratio")), (1, 1));
}

#[test]
fn all_workers_decide_by_the_rules_that_one_has_fetched() {
    let (mut process, roots) = informed(&json!({"FixedRate": 1.0}));
    assert!(roots.iter().all(|root| request(&mut process, *root, None)));
    let spans = process.export();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.attributes.iter().any(|attribute| attribute.key.contains("xray"))));
    assert_eq!(process.metric("decisions.sampled.xray"), 2);
    let reasons: Vec<_> =
        process.exported.iter().filter_map(|span| attribute(span, "tracelift.sampling.reason")).collect();
    assert!(reasons.iter().all(|reason| reason == "xray"), "{reasons:?}");
}

#[test]
fn a_rule_of_nothing_drops_and_a_caller_is_still_obeyed() {
    let (mut process, roots) = informed(&json!({"FixedRate": 0.0}));
    for root in roots {
        assert!(!request(&mut process, root, None));
        assert!(request(&mut process, root, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")));
        assert!(!request(&mut process, root, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")));
    }
    process.tick_all();
    assert_eq!((process.metric("decisions.dropped.xray"), process.metric("central.fallback")), (2, 0));
}

#[test]
fn a_rule_for_other_requests_leaves_the_decision_to_the_configuration() {
    let (mut process, roots) = informed(&json!({"FixedRate": 1.0, "URLPath": "/pay*"}));
    assert!(!request(&mut process, roots[0], None));
    process.tick_all();
    assert_eq!(process.metric("central.fallback"), 1);
}

#[test]
fn the_workers_share_a_reservoir() {
    let (mut process, roots) = informed(&json!({"FixedRate": 0.0, "ReservoirSize": 50}));
    let kept = (0..20).filter(|number| request(&mut process, roots[number % 2], None)).count();
    process.tick_all();
    assert_eq!(kept, 1, "one a second is borrowed before there is a quota");
    assert_eq!(process.metric("central.borrowed"), 1);
}

#[test]
fn what_all_workers_counted_is_reported_by_the_one_that_leads() {
    let (mut process, roots) = informed(&json!({"FixedRate": 1.0}));
    assert!((0..5).all(|number| request(&mut process, roots[number % 2], None)));
    for _ in 0..12 {
        process.advance(SECOND);
    }
    let call = process.call_to(XRAY).expect("a report");
    assert_eq!(call.header(":path"), Some("/SamplingTargets"));
    let report: Value = serde_json::from_slice(&call.body).expect("JSON");
    let document = &report["SamplingStatisticsDocuments"][0];
    assert_eq!((&document["RequestCount"], &document["SampledCount"]), (&json!(5), &json!(5)));
}

#[test]
fn when_the_leader_ends_another_one_leads_at_once() {
    let (mut process, roots) = informed(&json!({"FixedRate": 1.0}));
    let leader = (0..2).find(|worker| process.workers[*worker].host.metric("central.leads") == 1).expect("a leader");
    process.done(leader, roots[leader].1);
    for _ in 0..2 {
        process.advance(SECOND);
    }
    assert_eq!(process.workers[1 - leader].host.metric("central.leads"), 1);
    assert!(request(&mut process, roots[1 - leader], None), "the rules stay in force");
}

#[test]
fn a_service_that_fails_is_named_once_and_its_rules_stay_unknown() {
    let (mut process, root) = Process::with(CENTRAL);
    for _ in 0..600 {
        process.advance(SECOND);
        while let Some(call) = process.call_to(XRAY) {
            process.reply(&call, Reply::status(503));
        }
    }
    assert!(1 < process.metric("central.polls.failed"));
    let warnings =
        process.state.logs.borrow().iter().filter(|(_, _, line)| line.contains("X-Ray's sampling rules")).count();
    assert_eq!(warnings, 1);
    assert!(!request(&mut process, (0, root), None));
}

#[test]
fn a_rule_of_x_ray_that_costs_too_much_does_not_match_and_is_counted() {
    let pattern = format!("*{}b", "a".repeat(400));
    let (mut process, (worker, root)) = {
        let (process, roots) =
            informed(&json!({"FixedRate": 1.0, "Attributes": {"http.request.header.x-long": pattern}}));
        (process, roots[0])
    };
    for (value, over, fallback) in [(format!("{}b", "a".repeat(400)), 0, 0), ("a".repeat(2000), 1, 1)] {
        let stream = process.stream(worker, root);
        process.head(&stream, get(&[("x-long", &value)]));
        process.answer(&stream, status(200, &[]), true);
        process.log(&stream);
        process.tick_all();
        assert_eq!((process.metric("rules.over_budget"), process.metric("central.fallback")), (over, fallback));
    }
}
