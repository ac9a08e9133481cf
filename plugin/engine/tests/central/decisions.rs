//! Reservoir, borrowing, fixed rate, boost, and what each says of its probability.

use crate::kit::{Leader, NOW, RULES, TARGETS, rule, rules, targets};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use tracelift::central::{Choice, How, RuleSet, reservoirs};
use tracelift::sampling::{Randomness, Reason, RequestFacts, Steps, Threshold};
use tracelift::trace_context::ThEdit;

const HIGHEST: Randomness = Randomness::from_rv((1 << 56) - 1);
const LOWEST: Randomness = Randomness::from_rv(0);

fn any_request() -> RequestFacts<'static> {
    RequestFacts { path: b"/", method: b"GET", host: b"cart", headers: &[] }
}

fn decide(set: &RuleSet, randomness: Randomness, now: u64, left: bool) -> Choice {
    set.decide(&any_request(), randomness, now, &mut Steps::default(), |_, _| left).expect("a rule matches")
}

/// One rule that has this target.
fn with_target(changes: serde_json::Value, mut target: serde_json::Value) -> RuleSet {
    let mut leader = Leader::with_rules(&rules([rule("one", changes)]));
    leader.advance(10_000);
    leader.call();
    target["RuleName"] = "one".into();
    assert!(leader.answer(200, &targets(json!([target]))).succeeded);
    leader.set()
}

#[test]
fn what_the_reservoir_takes_stands_for_itself_and_the_rest_for_one_in_so_many() {
    let set = Leader::with_rules(&rules([rule("one", json!({"FixedRate": 0.25, "ReservoirSize": 1}))])).set();
    let taken = decide(&set, LOWEST, NOW, true);
    assert_eq!((taken.how, taken.decision.sampled, taken.decision.reason), (How::Borrowed, true, Reason::XRay));
    assert_eq!((taken.decision.threshold, taken.decision.th), (Some(Threshold::ALWAYS), ThEdit::Set(0)));

    let quarter = Threshold::from_ratio(0.25).expect("a ratio");
    let kept = decide(&set, HIGHEST, NOW, false);
    assert_eq!((kept.how, kept.decision.threshold), (How::Rate, Some(quarter)));
    assert_eq!(kept.decision.th, ThEdit::Set(quarter.bits()));

    let dropped = decide(&set, LOWEST, NOW, false);
    assert_eq!((dropped.how, dropped.decision.sampled), (How::Dropped, false));
    assert_eq!((dropped.decision.threshold, dropped.decision.th), (None, ThEdit::Erase));
}

#[test]
fn a_rule_without_a_reservoir_asks_for_nothing_of_it() {
    let set = Leader::with_rules(&rules([rule("one", json!({"FixedRate": 1}))])).set();
    let choice =
        set.decide(&any_request(), LOWEST, NOW, &mut Steps::default(), |_, _| panic!("asked")).expect("a rule");
    assert_eq!(choice.how, How::Rate);
}

#[test]
fn a_quota_holds_until_its_end_and_one_a_second_is_borrowed_before_and_after() {
    let asked = |set: &RuleSet, now| {
        let mut asked = None;
        let choice = set.decide(&any_request(), LOWEST, now, &mut Steps::default(), |_, quota| {
            asked = Some(quota);
            true
        });
        (asked, choice.map(|choice| choice.how))
    };
    let set = Leader::with_rules(&rules([rule("one", json!({"ReservoirSize": 50}))])).set();
    assert_eq!(asked(&set, NOW), (Some(1), Some(How::Borrowed)));
    let until = NOW / 1000 + 60;
    let set = with_target(json!({"ReservoirSize": 50}), json!({"ReservoirQuota": 7, "ReservoirQuotaTTL": until}));
    assert_eq!(asked(&set, until * 1000 - 1), (Some(7), Some(How::Reservoir)));
    assert_eq!(asked(&set, until * 1000), (Some(1), Some(How::Borrowed)));
    let none = with_target(json!({"ReservoirSize": 50}), json!({"ReservoirQuota": 0, "ReservoirQuotaTTL": until}));
    assert_eq!(asked(&none, NOW), (None, Some(How::Dropped)), "a quota of nothing is one");
    let endless = with_target(json!({"ReservoirSize": 50}), json!({"ReservoirQuota": 7}));
    assert_eq!(asked(&endless, NOW), (Some(1), Some(How::Borrowed)), "a quota without an end is none");
}

#[test]
fn a_targets_rate_replaces_the_rules_and_a_boost_raises_it_for_its_time() {
    let rate = |set: &RuleSet, now| decide(set, HIGHEST, now, false).decision.threshold.map(Threshold::probability);
    let until = NOW / 1000 + 60;
    let boost = |rate: f64| json!({"FixedRate": 0.25, "SamplingBoost": {"BoostRate": rate, "BoostRateTTL": until}});
    let boosted = with_target(json!({"FixedRate": 0.5}), boost(0.75));
    assert_eq!(rate(&boosted, until * 1000 - 1), Some(0.75));
    assert_eq!(rate(&boosted, until * 1000), Some(0.25));
    let lower = with_target(json!({"FixedRate": 0.5}), boost(0.125));
    assert_eq!(rate(&lower, NOW), Some(0.25), "a boost never lowers a rate");
    let from_nothing = with_target(json!({"FixedRate": 0}), {
        json!({"FixedRate": 0, "SamplingBoost": {"BoostRate": 0.5, "BoostRateTTL": until}})
    });
    assert_eq!(rate(&from_nothing, NOW), Some(0.5));
    assert_eq!(rate(&from_nothing, until * 1000), None);
}

#[test]
fn what_a_boost_adds_contains_what_the_rate_keeps() {
    let until = NOW / 1000 + 60;
    let boost = json!({"FixedRate": 0.1, "SamplingBoost": {"BoostRate": 0.4, "BoostRateTTL": until}});
    let set = with_target(json!({}), boost);
    for r in (0..1_u64 << 56).step_by(1 << 48) {
        let keeps = |now| decide(&set, Randomness::from_rv(r), now, false).decision.sampled;
        assert!(keeps(NOW) || !keeps(until * 1000), "{r:x}");
    }
}

#[test]
fn the_recorded_targets_come_into_force() {
    let mut leader = Leader::with_rules(RULES);
    leader.advance(10_000);
    leader.call();
    assert!(leader.answer(200, TARGETS).succeeded);
    let set = leader.set();
    let payments = set.rules().iter().find(|rule| rule.name == "payments").expect("a rule");
    assert!(payments.boosts && set.boosts());
    assert_eq!(payments.target.quota, Some((3, 1_767_225_665_000)));
    let half = Threshold::from_ratio(0.5).ok();
    assert_eq!(payments.target.boost, Some((half, 1_767_225_665_000)));
    let default = set.rules().iter().find(|rule| rule.name == "Default").expect("a rule");
    assert_eq!((default.target.quota, default.target.boost), (Some((0, 1_767_225_665_000)), None));
}

#[test]
fn rules_are_believed_for_an_hour_and_then_the_configuration_decides() {
    let set = Leader::with_rules(RULES).set();
    let hour = 3_600_000;
    assert!(set.decide(&any_request(), HIGHEST, NOW + hour - 1, &mut Steps::default(), |_, _| false).is_some());
    assert!(set.decide(&any_request(), HIGHEST, NOW + hour, &mut Steps::default(), |_, _| false).is_none());
    assert!(
        RuleSet::default().decide(&any_request(), HIGHEST, 0, &mut Steps::default(), |_, _| false).is_none(),
        "before the first answer"
    );
}

#[test]
fn a_request_that_no_rule_matches_is_left_to_the_configuration() {
    let set = Leader::with_rules(&rules([rule("one", json!({"URLPath": "/pay"}))])).set();
    assert!(set.decide(&any_request(), HIGHEST, NOW, &mut Steps::default(), |_, _| true).is_none());
}

proptest! {
    /// Workers that share one value take at most the quota in each second and, if they arrive, all of it; estimates from
    /// thresholds are exact on the average, so here they must be within five sigma.
    #[test]
    fn a_reservoir_and_a_rate_together_count_right(quota in 0_u32..6, per_second in 1_u32..300, seed in any::<u64>()) {
        let until = NOW / 1000 + 60;
        let target = json!({"FixedRate": 0.25, "ReservoirQuota": quota, "ReservoirQuotaTTL": until});
        let set = with_target(json!({"ReservoirSize": 10}), target);
        let (mut shared, mut random) = (Vec::new(), seed);
        let (mut taken, mut estimate) = (BTreeMap::<u64, u32>::new(), 0.0);
        let seconds = 20;
        for second in 0..seconds {
            for _ in 0..per_second {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let r = Randomness::from_rv(random.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
                let now = NOW + second * 1000;
                let choice = set.decide(&any_request(), r, now, &mut Steps::default(), |rule, quota| {
                    let next = reservoirs::take(&shared, rule, quota, (now / 1000) as u32);
                    next.map(|next| shared = next).is_some()
                }).expect("a rule");
                if choice.how == How::Reservoir {
                    *taken.entry(second).or_default() += 1;
                }
                estimate += choice.decision.threshold.map_or(0.0, Threshold::adjusted_count);
            }
        }
        let wanted = quota.min(per_second);
        prop_assert!((0..seconds).all(|second| taken.get(&second).copied().unwrap_or(0) == wanted));
        let truth = f64::from(per_second) * seconds as f64;
        let rest = f64::from(per_second - wanted) * seconds as f64;
        let sigma = (rest * 3.0).sqrt(); // Of a sum of 4 with probability 1/4: variance 4 - 1.
        prop_assert!((estimate - truth).abs() <= 6.0 * sigma, "{estimate} for {truth}");
    }
}
