//! A service that throttles, errs, lies, or is somewhere else in time.

use crate::kit::{Leader, NOW, RULES, TARGETS, rule, rules, targets};
use proptest::prelude::*;
use serde_json::json;
use tracelift::central::{Answer, Counts, News};

#[test]
fn a_throttled_report_is_sent_again_later_and_the_failure_is_told_once() {
    let mut leader = Leader::with_rules(RULES);
    leader.count("Default", Counts { requests: 9, ..Counts::default() });
    leader.advance(10_000);
    leader.call();
    let throttled = r#"{"__type":"ThrottledException","Message":"Rate exceeded"}"#;
    let progress = leader.answer(429, throttled);
    assert_eq!(progress.news, Some(News::Failing("POST /SamplingTargets: HTTP status 429".to_owned())));
    assert_eq!((progress.returned.requests(), progress.lost, progress.publish), (9, 0, None));
    let mut waits = Vec::new();
    for _ in 0..4 {
        let from = leader.now;
        while leader.poll().is_none() {
            leader.advance(500);
        }
        waits.push((leader.now - from) / 1000);
        assert_eq!(leader.answer(429, throttled).news, None);
    }
    assert_eq!(waits, [5, 10, 20, 40]);
    leader.advance(300_000);
    assert_eq!(leader.call().path, "/GetSamplingRules");
    assert_eq!(leader.answer(200, RULES).news, Some(News::Recovered));
    let body = leader.body();
    assert_eq!(body["SamplingStatisticsDocuments"][2]["RequestCount"], 9);
    assert_eq!(leader.answer(200, TARGETS).news, None);
}

#[test]
fn retry_after_is_obeyed() {
    let mut leader = Leader::new();
    leader.call();
    leader.answered(Answer { status: Some(429), retry_after_ms: Some(45_000), ..Answer::default() });
    leader.advance(44_999);
    assert_eq!(leader.poll(), None);
    leader.advance(1);
    assert!(leader.poll().is_some());
}

#[test]
fn rules_that_cannot_be_fetched_again_stay_in_force() {
    let mut leader = Leader::with_rules(RULES);
    let before = leader.published.clone();
    for answer in ["", "null", "[]", "{}", r#"{"SamplingRuleRecords": 7}"#, "<html>"] {
        leader.advance(300_000);
        while leader.call().path != "/GetSamplingRules" {
            leader.answer(500, "");
            leader.advance(300_000);
        }
        let progress = leader.answer(200, answer);
        assert!(!progress.succeeded && progress.publish.is_none(), "{answer}");
    }
    assert_eq!(leader.published, before);
}

#[test]
fn a_rule_that_we_do_not_understand_is_left_out_and_counted() {
    let odd = [
        json!({"Version": 2}),
        json!({"FixedRate": 1.5}),
        json!({"FixedRate": "0.5"}),
        json!({"ReservoirSize": -1}),
        json!({"Priority": null}),
        json!({"URLPath": 7}),
        json!({"URLPath": "x".repeat(600)}),
        json!({"Attributes": [1]}),
        json!({"Attributes": {"a": 1}}),
        json!({"SamplingRateBoost": {"MaxRate": 1, "more": "x".repeat(9000)}}),
    ];
    let mut leader = Leader::new();
    leader.call();
    let odd = odd.into_iter().enumerate().map(|(index, changes)| rule(&format!("odd {index}"), changes));
    let unnamed = [rule("", json!({})), json!({}), json!(3)];
    let fine = [rule("fine", json!({})), rule("fine", json!({"FixedRate": 1}))];
    let progress = leader.answer(200, &rules(odd.chain(unnamed).chain(fine)));
    assert_eq!((leader.names(), progress.refused_rules), (vec!["fine".to_owned()], 14));
}

#[test]
fn of_more_rules_than_there_may_be_the_first_by_priority_stay() {
    let mut leader = Leader::new();
    leader.call();
    let many = (0..500).rev().map(|n| rule(&format!("rule {n:03}"), json!({"Priority": n + 1})));
    let progress = leader.answer(200, &rules(many));
    let names = leader.names();
    assert_eq!((names.len(), progress.refused_rules), (64, 436));
    assert_eq!((names[0].as_str(), names[63].as_str()), ("rule 000", "rule 063"));
}

#[test]
fn pages_without_an_end_come_to_one() {
    let mut leader = Leader::new();
    for page in 0..16 {
        assert_eq!(leader.call().path, "/GetSamplingRules");
        let records = json!([{"SamplingRule": rule(&format!("rule {page}"), json!({}))}]);
        leader.answer(200, &json!({"SamplingRuleRecords": records, "NextToken": format!("{page}")}).to_string());
    }
    assert_eq!(leader.poll(), None);
    assert_eq!(leader.names().len(), 16);

    let mut leader = Leader::new();
    for _ in 0..2 {
        leader.call();
        leader.answer(200, r#"{"SamplingRuleRecords": [], "NextToken": "the same"}"#);
    }
    assert_eq!(leader.poll(), None, "a token that repeats itself leads nowhere");
}

#[test]
fn a_failure_between_pages_begins_at_the_first_again() {
    let mut leader = Leader::new();
    leader.call();
    leader.answer(200, r#"{"SamplingRuleRecords": [], "NextToken": "two"}"#);
    leader.call();
    leader.answer(500, "");
    leader.advance(10_000);
    assert_eq!(leader.body(), json!({}));
}

#[test]
fn times_of_a_service_with_another_clock_are_turned_into_ours() {
    for ahead_ms in [-7_200_000_i64, -5_000, 5_000, 86_400_000] {
        let service_now = |leader: &Leader| leader.now.saturating_add_signed(ahead_ms);
        let mut leader = Leader::new();
        leader.call();
        let at = |time, body| Answer { status: Some(200), service_time: Some(time), body, ..Answer::default() };
        let time = service_now(&leader);
        leader.answered(at(time, RULES.as_bytes()));
        leader.advance(10_000);
        let body = leader.body();
        assert_eq!(body["SamplingStatisticsDocuments"][0]["Timestamp"], service_now(&leader) / 1000, "{ahead_ms}");
        let until = service_now(&leader) / 1000 + 60;
        // Changed by the service's clock before we asked, so nothing new.
        let modified = service_now(&leader) as f64 / 1000.0 - 15.0;
        let answer = json!({"LastRuleModification": modified, "SamplingTargetDocuments": [
            {"RuleName": "Default", "ReservoirQuota": 4, "ReservoirQuotaTTL": until}]})
        .to_string();
        let time = service_now(&leader);
        leader.answered(at(time, answer.as_bytes()));
        let default = leader.set().rules().last().expect("a rule").target;
        let (quota, ends) = default.quota.expect("a quota");
        let left = ends as i64 - leader.now as i64;
        assert!(quota == 4 && (59_000..=60_000).contains(&left), "{ahead_ms}: {left} ms left");
        assert_eq!(leader.poll(), None, "{ahead_ms}: no change of rules");
    }
}

#[test]
fn a_clock_that_is_set_back_puts_nothing_off_for_long() {
    let mut leader = Leader::with_rules(RULES);
    leader.now -= 30 * 86_400_000;
    assert_eq!(leader.poll(), None);
    leader.advance(600_000);
    assert_eq!(leader.call().path, "/GetSamplingRules");
}

#[test]
fn absurd_targets_are_cut_to_reason() {
    let mut leader = Leader::with_rules(&rules([rule("one", json!({"FixedRate": 0.5}))]));
    leader.advance(10_000);
    leader.call();
    let absurd = json!([{"RuleName": "one", "FixedRate": 7, "ReservoirQuota": 1e300, "ReservoirQuotaTTL": 1e300,
                         "Interval": 0, "SamplingBoost": {"BoostRate": -1, "BoostRateTTL": -5}},
                        {"RuleName": "nobody's", "FixedRate": 1}, {"FixedRate": 1}, 3]);
    assert!(leader.answer(200, &targets(absurd)).succeeded);
    let set = leader.set();
    let target = set.rules()[0].target;
    assert_eq!((target.fixed_rate, target.quota, target.boost), (None, None, None));
    leader.advance(999);
    assert_eq!(leader.poll(), None);
    let far = json!([{"RuleName": "one", "ReservoirQuota": 5, "ReservoirQuotaTTL": 9e9}]);
    leader.advance(1);
    leader.call();
    leader.answer(200, &targets(far));
    assert_eq!(leader.set().rules()[0].target.quota, Some((5, leader.now + 3_600_000)));
}

#[test]
fn a_number_that_is_none_cannot_break_the_publication() {
    let mut leader = Leader::with_rules(RULES);
    leader.advance(10_000);
    leader.call();
    let trick = json!([{"RuleName": "Default", "FixedRate": {"$serde_json::private::Number": "1,\"x\""}}]);
    leader.answer(200, &targets(trick));
    assert_eq!(leader.names().len(), 3);
}

proptest! {
    #[test]
    fn any_answer_is_taken_without_harm(
        answers in proptest::collection::vec((prop_oneof![Just(200_u16), any::<u16>()], ".{0,80}"), 1..20)
    ) {
        let mut leader = Leader::with_rules(RULES);
        for (status, body) in answers {
            leader.advance(600_000);
            leader.call();
            leader.answer(status, &body);
        }
        prop_assert_eq!(leader.names().len(), 3);
        prop_assert!(NOW < leader.now);
    }
}
