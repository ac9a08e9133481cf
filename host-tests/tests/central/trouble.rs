//! A service that throttles, errs, is gone, talks nonsense, or lives in another time.

use crate::kit::{PROXY, Process, configuration, flat, rule, seconds};
use serde_json::json;
use tracelift_host::{Answer, LogLevel, SamplingService};

#[test]
fn throttled_reports_come_later_and_whole_and_the_log_says_so_once() {
    let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
    process.service().throttle(4);
    for _ in 0..20 {
        process.roots(3, "/");
        process.envoy.advance(seconds(10));
    }
    assert_eq!(process.service().reported("Default"), (60, 60, 0));
    assert_eq!(process.counter("central.polls.failed"), 4);
    assert_eq!(process.counter("central.statistics_lost"), 0);
    let warnings = process.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("POST /SamplingTargets: HTTP status 429") && warnings[0].contains("`xray_proxy`"));
    let told = process.envoy.messages_from(LogLevel::Info);
    assert_eq!(told.iter().filter(|line| line.contains("answers again")).count(), 1);
    process.books();
}

#[test]
fn a_proxy_that_is_down_or_silent_costs_no_request_anything() {
    for (answer, lost) in
        [(Answer::connection_failure(), false), (Answer::timeout(), true), (Answer::no_headers(), true)]
    {
        let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
        process.roots(5, "/");
        let status = answer.headers.text(":status").and_then(|status| status.parse().ok());
        match status {
            Some(status) => process.service().trouble(1, status, "upstream trouble"),
            None => process.service().trouble(1, 0, ""),
        }
        process.envoy.advance(seconds(12));
        assert_eq!(process.roots(5, "/"), 5);
        process.envoy.advance(seconds(20));
        let reported = process.service().reported("Default").0;
        let told = process.counter("central.statistics_lost");
        if status.is_some() {
            assert_eq!((reported, told), if lost { (5, 5) } else { (10, 0) }, "{status:?}");
        }
        process.books();
    }
}

#[test]
fn a_cluster_that_does_not_exist_is_named_in_the_log_and_the_ratio_decides() {
    let mut missing = configuration();
    missing["sampling"]["ratio"] = 1.into();
    missing["sampling"]["xray"]["cluster"] = "nowhere".into();
    let mut process = Process::with(SamplingService::default(), |builder| builder.inbound(missing.to_string()));
    process.envoy.advance(seconds(120));
    assert_eq!(process.roots(5, "/"), 5);
    let warnings = process.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`nowhere`") && warnings[0].contains("not sent"), "{warnings:?}");
    assert!(1 < process.counter("central.polls.failed"));
    process.books();
}

#[test]
fn nonsense_and_huge_answers_change_nothing() {
    let huge = format!(r#"{{"SamplingRuleRecords": ["{}"]}}"#, "x".repeat(2 << 20));
    let many: Vec<_> =
        (0..3000).map(|n| json!({"SamplingRule": flat(&format!("rule {n}"), n + 1, "*", 0.0)})).collect();
    let many = json!({"SamplingRuleRecords": many}).to_string();
    for nonsense in ["", "null", "<html></html>", "{}", r#"{"SamplingRuleRecords": {}}"#, "[[[[[[", &huge, &many] {
        let mut process = Process::ready([flat("all", 1, "*", 1.0)]);
        process.envoy.advance(seconds(290));
        process.service().trouble(1, 200, nonsense);
        process.envoy.advance(seconds(8));
        assert_eq!(process.roots(4, "/"), 4, "{}", &nonsense[..nonsense.len().min(40)]);
        for vm in process.envoy.vms() {
            assert!(process.envoy.memory_size(vm) < 12 << 20, "{vm:?}");
        }
        process.books();
    }
}

#[test]
fn a_service_whose_clock_is_off_by_hours_is_understood() {
    for ahead_seconds in [-7200, 86_400] {
        let rules = [rule(json!({"FixedRate": 0.0, "ReservoirSize": 10}))];
        let mut service = SamplingService::with_rules(rules);
        service.ahead_seconds = ahead_seconds;
        let mut process = Process::with(service, |builder| builder.inbound(configuration().to_string()));
        process.envoy.advance(seconds(13));
        assert_eq!(process.roots(20, "/"), 10, "the quota holds: {ahead_seconds}");
        process.envoy.advance(seconds(30));
        assert_eq!(process.service().reported("Default"), (20, 10, 0), "the reports are of its time");
        assert_eq!(process.service().calls_of("/GetSamplingRules"), 1, "nothing was modified");
        process.books();
    }
}

#[test]
fn statistics_that_x_ray_leaves_unprocessed_are_sent_again() {
    let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
    process.service().leave_unprocessed("Default", "500");
    process.roots(8, "/");
    process.envoy.advance(seconds(12));
    assert_eq!(process.service().reported("Default"), (0, 0, 0));
    process.envoy.advance(seconds(12));
    assert_eq!(process.service().reported("Default"), (8, 8, 0));
    process.service().leave_unprocessed("Default", "InvalidRequest");
    process.roots(3, "/");
    process.envoy.advance(seconds(24));
    assert_eq!(process.service().reported("Default"), (8, 8, 0));
    assert_eq!(process.counter("central.statistics_lost"), 3);
    process.books();
}

#[test]
fn rules_of_an_unknown_version_are_counted_and_left_out() {
    let mut process = Process::ready([
        rule(json!({"RuleName": "new", "Version": 2, "Priority": 1, "FixedRate": 0.0})),
        rule(json!({"RuleName": "odd", "FixedRate": "much", "Priority": 2})),
        flat("all", 3, "*", 1.0),
    ]);
    assert_eq!(process.roots(2, "/"), 2);
    assert_eq!(process.counter("central.rules_refused"), 2);
    assert_eq!(process.envoy.gauge("tracelift.central.rules"), 1);
    process.books();
}

#[test]
fn calls_go_where_the_configuration_says() {
    let mut changed = configuration();
    changed["sampling"]["xray"]["authority"] = "collector:2000".into();
    changed["sampling"]["xray"]["rules_interval_ms"] = 20_000.into();
    changed["sampling"]["xray"]["targets_interval_ms"] = 3_000.into();
    let mut service = SamplingService::with_rules([rule(json!({}))]);
    service.interval = 4;
    let mut process = Process::with(service, |builder| builder.inbound(changed.to_string()));
    process.envoy.advance(seconds(62));
    let calls: Vec<_> = process.envoy.callouts().iter().filter(|it| it.cluster == PROXY).collect();
    for call in &calls {
        assert_eq!(
            (call.headers.text(":method"), call.headers.text(":authority")),
            (Some("POST"), Some("collector:2000"))
        );
        assert_eq!(call.headers.text("content-type"), Some("application/json"));
        assert_eq!(call.timeout, Some(seconds(2)));
    }
    assert!((3..=4).contains(&process.service().calls_of("/GetSamplingRules")));
    assert!((11..=15).contains(&process.service().calls_of("/SamplingTargets")));
    process.books();
}
