//! The leader's talk with X-Ray while all is well: schedules, pages, reports, changes of rules, a change of the lead.

use crate::kit::{Leader, NOW, RULES, SCHEDULE, TARGETS, cart, rule, rules, targets};
use proptest::prelude::*;
use serde_json::{Value, json};
use tracelift::central::{Counts, Poller, RuleId, Tally};

fn counts(requests: u32, sampled: u32, borrowed: u32) -> Counts {
    Counts { requests, sampled, borrowed, ..Counts::default() }
}

#[test]
fn rules_are_asked_for_every_five_minutes_and_targets_every_ten_seconds() {
    let mut leader = Leader::new();
    let (mut asked, mut reported) = (Vec::new(), Vec::new());
    for second in 0..=620 {
        while let Some(call) = leader.poll() {
            let (times, answer) = if call.path == "/GetSamplingRules" {
                (&mut asked, RULES)
            } else {
                (&mut reported, r#"{"SamplingTargetDocuments": []}"#)
            };
            times.push(second);
            assert!(leader.answer(200, answer).succeeded);
        }
        leader.advance(1000);
    }
    assert_eq!(asked, [0, 300, 600]);
    assert_eq!(reported, (10..=620).step_by(10).collect::<Vec<_>>());
}

#[test]
fn the_service_names_the_time_of_the_next_report_by_the_shortest_interval() {
    let mut leader = Leader::with_rules(RULES);
    leader.advance(10_000);
    leader.call();
    leader.answer(
        200,
        &targets(json!([{"RuleName": "Default", "Interval": 25}, {"RuleName": "probes", "Interval": 17}])),
    );
    leader.advance(16_999);
    assert_eq!(leader.poll(), None);
    leader.advance(1);
    assert_eq!(leader.call().path, "/SamplingTargets");
}

#[test]
fn pages_of_rules_come_into_force_together() {
    let mut leader = Leader::new();
    assert_eq!(leader.body(), json!({}));
    let mut page: Value = serde_json::from_str(&rules([rule("one", json!({}))])).expect("JSON");
    page["NextToken"] = "to \"two\"".into();
    assert_eq!(leader.answer(200, &page.to_string()).publish, None);
    assert_eq!(leader.body(), json!({"NextToken": "to \"two\""}));
    assert!(leader.answer(200, &rules([rule("two", json!({}))])).publish.is_some());
    assert_eq!(leader.names(), ["one", "two"]);
    assert_eq!(leader.poll(), None);
}

#[test]
fn a_report_says_what_was_counted_once() {
    let mut leader = Leader::with_rules(RULES);
    leader.count("Default", counts(100, 6, 1));
    let anomalies = Counts { total: 50, anomalies: 7, sampled_anomalies: 2, ..counts(20, 20, 0) };
    leader.count("payments", anomalies);
    leader.advance(10_000);
    let call = leader.call();
    assert_eq!(call.path, "/SamplingTargets");
    let seconds = (NOW + 10_000) / 1000;
    let document = |name: &str, requests: u32, sampled: u32, borrowed: u32| {
        json!({"RuleName": name, "ClientID": "0123456789abcdef01234567", "Timestamp": seconds, "RequestCount": requests,
               "SampledCount": sampled, "BorrowCount": borrowed})
    };
    let body: Value = serde_json::from_slice(&call.body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "SamplingStatisticsDocuments": [
                document("probes", 0, 0, 0), document("payments", 20, 20, 0), document("Default", 100, 6, 1),
            ],
            "SamplingBoostStatisticsDocuments": [
                {"RuleName": "payments", "ServiceName": "cart", "Timestamp": seconds, "AnomalyCount": 7, "TotalCount": 50,
                 "SampledAnomalyCount": 2},
            ],
        }),
        "the rule of another service is not reported"
    );
    let progress = leader.answer(200, TARGETS);
    assert!(progress.succeeded && progress.returned.is_empty() && progress.lost == 0);
    leader.advance(10_000);
    let body = leader.body();
    assert_eq!(body["SamplingStatisticsDocuments"][2]["RequestCount"], 0);
    assert_eq!(body.get("SamplingBoostStatisticsDocuments"), None);
}

#[test]
fn sixty_rules_are_reported_in_documents_of_twenty_five_a_call() {
    let names: Vec<String> = (0..60).map(|n| format!("rule {n:02}")).collect();
    let mut leader = Leader::with_rules(&rules(names.iter().map(|name| rule(name, json!({})))));
    for name in &names {
        leader.count(name, counts(3, 1, 0));
    }
    leader.advance(10_000);
    let mut told = Vec::new();
    for size in [25, 25, 10] {
        let body = leader.body();
        let documents = body["SamplingStatisticsDocuments"].as_array().expect("a list");
        assert_eq!(documents.len(), size);
        told.extend(documents.iter().map(|document| {
            assert_eq!(document["RequestCount"], 3);
            document["RuleName"].as_str().expect("a name").to_owned()
        }));
        leader.answer(200, &targets(json!([])));
    }
    assert_eq!(told, names);
    assert_eq!(leader.poll(), None);
}

#[test]
fn unprocessed_statistics_are_sent_again_where_the_service_was_at_fault() {
    let mut leader = Leader::with_rules(RULES);
    for name in ["Default", "probes", "payments"] {
        leader.count(name, counts(10, 1, 0));
    }
    leader.advance(10_000);
    leader.call();
    let unprocessed = json!({"SamplingTargetDocuments": [], "UnprocessedStatistics": [
        {"RuleName": "Default", "ErrorCode": "500", "Message": "later"},
        {"RuleName": "probes", "ErrorCode": "ThrottlingException", "Message": "later"},
        {"RuleName": "payments", "ErrorCode": "InvalidRequest", "Message": "never"},
        {"RuleName": "unknown", "ErrorCode": "500", "Message": "?"},
    ]});
    let progress = leader.answer(200, &unprocessed.to_string());
    assert_eq!((progress.lost, progress.returned.requests()), (10, 20));
    leader.advance(10_000);
    let body = leader.body();
    let again: Vec<_> = body["SamplingStatisticsDocuments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["RequestCount"].clone())
        .collect();
    assert_eq!(again, [10, 0, 10], "probes, payments, Default");
}

#[test]
fn anomalies_that_were_left_unprocessed_are_sent_again_and_requests_that_were_processed_are_not() {
    let boosted = json!({"SamplingRateBoost": {"MaxRate": 1.0, "CooldownWindowMinutes": 1}});
    let mut leader = Leader::with_rules(&rules([rule("checkout", boosted)]));
    let counted = Counts { total: 7, anomalies: 2, sampled_anomalies: 1, ..counts(10, 3, 1) };
    let report = |body: &serde_json::Value| {
        let (plain, boost) = (&body["SamplingStatisticsDocuments"][0], &body["SamplingBoostStatisticsDocuments"][0]);
        (plain["RequestCount"].as_u64(), boost["TotalCount"].as_u64(), boost["AnomalyCount"].as_u64())
    };
    for (list, again) in
        [("UnprocessedBoostStatistics", (Some(0), Some(7), Some(2))), ("UnprocessedStatistics", (Some(10), None, None))]
    {
        leader.count("checkout", counted);
        leader.advance(10_000);
        assert_eq!(report(&leader.body()), (Some(10), Some(7), Some(2)));
        let mut answer = json!({"SamplingTargetDocuments": []});
        answer[list] = json!([{"RuleName": "checkout", "ErrorCode": "500", "Message": "later"}]);
        assert_eq!(leader.answer(200, &answer.to_string()).lost, 0);
        leader.advance(10_000);
        assert_eq!(report(&leader.body()), again, "{list}");
        leader.answer(200, &targets(json!([])));
    }
}

#[test]
fn a_change_of_rules_is_fetched_at_once_and_only_once() {
    let mut leader = Leader::with_rules(RULES);
    let changed = json!({"SamplingTargetDocuments": [], "LastRuleModification": NOW as f64 / 1000.0 + 5.5}).to_string();
    leader.advance(10_000);
    assert_eq!(leader.call().path, "/SamplingTargets");
    leader.answer(200, &changed);
    assert_eq!(leader.call().path, "/GetSamplingRules");
    leader.answer(200, RULES);
    assert_eq!(leader.poll(), None);
    // A service that goes on naming a time to come must not have us fetch with every report.
    let ahead = json!({"SamplingTargetDocuments": [], "LastRuleModification": 4e9}).to_string();
    let mut fetched = 0;
    for _ in 0..5 {
        leader.advance(10_000);
        assert_eq!(leader.call().path, "/SamplingTargets");
        leader.answer(200, &ahead);
        if let Some(call) = leader.poll() {
            assert_eq!(call.path, "/GetSamplingRules");
            leader.answer(200, RULES);
            fetched += 1;
        }
    }
    assert_eq!(fetched, 1);
}

#[test]
fn a_changed_rule_begins_without_its_target_and_an_unchanged_one_keeps_it() {
    let quota = |name: &str| json!({"RuleName": name, "FixedRate": 0.5, "ReservoirQuota": 9, "ReservoirQuotaTTL": NOW / 1000 + 600});
    let mut leader =
        Leader::with_rules(&rules([rule("same", json!({})), rule("changed", json!({})), rule("gone", json!({}))]));
    leader.advance(10_000);
    leader.call();
    leader.answer(200, &targets(json!([quota("same"), quota("changed"), quota("gone")])));
    leader.advance(290_000);
    assert_eq!(leader.call().path, "/GetSamplingRules");
    leader.count("gone", counts(5, 5, 0));
    leader.answer(200, &rules([rule("same", json!({})), rule("changed", json!({"FixedRate": 0.3}))]));
    let set = leader.set();
    let has_target = |name| set.find(RuleId::of(name)).map(|rule| rule.target.quota.is_some());
    assert_eq!(["same", "changed", "gone"].map(has_target), [Some(true), Some(false), None]);
    let body = leader.body();
    let names: Vec<_> =
        body["SamplingStatisticsDocuments"].as_array().into_iter().flatten().map(|it| it["RuleName"].clone()).collect();
    assert_eq!(names, ["changed", "same"]);
}

#[test]
fn the_next_leader_goes_on_where_the_last_one_stopped() {
    let mut first = Leader::with_rules(RULES);
    first.count("Default", counts(10, 1, 0));
    first.advance(10_000);
    first.call();
    first.answer(200, TARGETS);
    first.advance(60_000);
    let mut second = Leader::new();
    second.now = first.now;
    second.poller =
        Poller::new(SCHEDULE, cart(), "0123456789abcdef01234567".to_owned(), Some(&first.published), first.now, 0);
    assert_eq!(second.poll(), None, "the rules are young");
    second.advance(10_000);
    assert_eq!(second.call().path, "/SamplingTargets");
    second.answer(200, &targets(json!([])));
    assert_eq!(second.set().rules()[1].target, first.set().rules()[1].target);
    second.advance(230_000);
    let calls = [second.call().path];
    assert_eq!(calls, ["/GetSamplingRules"]);
}

#[test]
fn a_leader_that_steps_down_hands_back_what_it_has_not_sent() {
    let many: Vec<_> = (0..30).map(|n| format!("rule {n:02}")).collect();
    let mut leader = Leader::with_rules(&rules(many.iter().map(|name| rule(name, json!({})))));
    for name in &many {
        leader.count(name, counts(2, 1, 0));
    }
    leader.advance(10_000);
    leader.call();
    let left = leader.poller.resign();
    assert_eq!((left.lost, left.returned.requests()), (50, 10));
}

proptest! {
    /// Whatever the service answers: each request counted is reported to a service that took it, waits, or is counted lost.
    #[test]
    fn statistics_are_conserved(steps in proptest::collection::vec((0_u8..8, 0_u32..50, 0_usize..30), 1..60)) {
        let names: Vec<String> = (0..30).map(|n| format!("rule {n:02}")).collect();
        let mut leader = Leader::with_rules(&rules(names.iter().map(|name| rule(name, json!({})))));
        let (mut counted, mut taken) = (0, 0);
        let requests = |body: &Value| -> u64 {
            body["SamplingStatisticsDocuments"].as_array().into_iter().flatten().filter_map(|it| it["RequestCount"].as_u64()).sum()
        };
        for (answer, number, which) in steps {
            leader.count(&names[which], counts(number, 0, 0));
            counted += u64::from(number);
            leader.advance(11_000);
            let Some(call) = leader.poll() else { continue };
            if call.path != "/SamplingTargets" {
                leader.answer(200, &rules(names.iter().map(|name| rule(name, json!({})))));
                continue;
            }
            let sent = requests(&serde_json::from_slice(&call.body).expect("JSON"));
            let unprocessed = |code: &str| json!({"SamplingTargetDocuments": [], "UnprocessedStatistics": [
                {"RuleName": names[which], "ErrorCode": code}]}).to_string();
            let before = (leader.counted.requests(), leader.lost);
            let progress = match answer {
                0 => leader.answer(429, "{}"),
                1 => leader.answer(503, "upstream connect error"),
                2 => leader.answer(504, ""),
                3 => leader.answered(Default::default()),
                4 => leader.answer(200, "no JSON"),
                5 => leader.answer(200, &unprocessed("500")),
                6 => leader.answer(200, &unprocessed("InvalidRequest")),
                _ => leader.answer(200, &targets(json!([]))),
            };
            let back = leader.counted.requests() - before.0 + leader.lost - before.1;
            prop_assert_eq!(progress.succeeded, answer >= 5);
            // A failure hands back the rest of its round as well; what a success hands back or loses was sent.
            taken += if progress.succeeded { sent - back } else { 0 };
        }
        let rest = leader.poller.resign();
        let waiting = leader.counted.requests() + rest.returned.requests();
        prop_assert_eq!(counted, taken + waiting + leader.lost + rest.lost);
        prop_assert_eq!(Tally::from_bytes(&leader.counted.to_bytes()), leader.counted);
    }
}
