//! Request phase and exported span together: what goes upstream, and by what the span counts.

use crate::support::{cases, randomness_of, rv_of, text, threshold_of, trace_id_of};
use serde_json::Value;
use tracelift::sampling::{
    Algorithm, Decision, ExportClass, Mode, Parent, Policy, Reason, Sampler, Threshold, decide, exported_th,
};
use tracelift::trace_context::ThEdit;

/// The `ot` member after an edit, as the vectors write it: rv first, th without trailing zeros.
fn ot_after(edit: ThEdit, incoming: Option<Threshold>, rv: Option<u64>) -> String {
    let th = match edit {
        ThEdit::Keep => incoming.map(Threshold::bits),
        ThEdit::Set(bits) => Some(bits),
        ThEdit::Erase => None,
    };
    let th = th.map(|bits| match format!("{bits:014x}").trim_end_matches('0') {
        "" => "th:0".to_owned(),
        digits => format!("th:{digits}"),
    });
    let rv = rv.map(|rv| format!("rv:{rv:014x}"));
    [rv, th].into_iter().flatten().collect::<Vec<_>>().join(";")
}

fn reason_of(decision: &Decision) -> &'static str {
    match (decision.reason, decision.inconsistent, decision.sampled, decision.threshold) {
        (Reason::Ratio, ..) => "probability",
        (Reason::Rule { .. }, ..) => "rule",
        (Reason::Parent, true, ..) => "parent-inconsistent-th-erased",
        (Reason::Parent, false, true, None) => "parent-unknown-probability",
        (Reason::Parent, ..) => "parent",
        (Reason::XRay, ..) => "xray",
        (Reason::Upgraded, ..) => "upgraded",
        (Reason::Forced { .. }, ..) => "forced",
        (Reason::Adaptive, ..) => "adaptive",
    }
}

/// What the response phase makes of a head decision: the class of the exported span, `None` when there is none.
fn class_of(case: &Value, decision: &Decision) -> Option<ExportClass> {
    let kept_whole = case["response_error"] == true
        && match text(&case["errors"]) {
            "none" => false,
            "keep_all" => true,
            "keep_limited_stratified" => case["limiter_admits"] == true,
            other => panic!("no such policy: {other}"),
        };
    if kept_whole { Some(ExportClass::KeptWhole) } else { decision.sampled.then_some(ExportClass::Head) }
}

#[test]
fn every_meeting_of_parent_mode_and_outcome_goes_as_the_rules_say() {
    let mut checked = 0;
    for case in cases("interplay.json", "cases") {
        // A limiter that is charged only for what the head missed makes admission depend on R, so that nothing could be
        // counted back. The filter offers the stratified limiter instead.
        if case["errors"] == "keep_limited" {
            continue;
        }
        let mode = if case["mode"] == "independent" { Mode::Independent } else { Mode::ParentBased };
        let fallback = Sampler::new(Algorithm::Consistent, case["probability"].as_f64().unwrap()).unwrap();
        let policy = Policy { mode, fallback, pace: None, rules: Vec::new() };
        let (incoming, rv) = (threshold_of(&case["parent"]["th"]), rv_of(&case["parent"]["rv"]));
        let parent = case["parent"]["sampled"].as_bool().map(|sampled| Parent { sampled, threshold: incoming });
        let randomness = randomness_of(&case["trace_id"], &case["parent"]["rv"]);

        let decision = decide(&policy, (None, None), parent.as_ref(), trace_id_of(&case["trace_id"]), randomness);
        assert_eq!(Some(decision.sampled), case["propagated_sampled"].as_bool(), "{case}");
        assert_eq!(ot_after(decision.th, incoming, rv), text(&case["propagated_ot"]), "{case}");
        assert_eq!(reason_of(&decision), text(&case["head_reason"]), "{case}");

        let class = class_of(&case, &decision);
        assert_eq!(Some(class.is_some()), case["exported"].as_bool(), "{case}");
        if let Some(class) = class {
            assert_eq!(ot_after(exported_th(&decision, class), incoming, rv), text(&case["span_ot"]), "{case}");
            let count = decision.exported_threshold(class).map_or(0.0, Threshold::adjusted_count);
            assert_eq!(Some(count), case["adjusted_count"].as_f64(), "{case}");
        }
        checked += 1;
    }
    assert_eq!(checked, 347);
}

#[test]
fn a_sampled_flag_with_a_th_that_contradicts_it_loses_the_th_and_not_the_flag() {
    let fallback = Sampler::new(Algorithm::Consistent, 0.01).unwrap();
    let policy = Policy { mode: Mode::ParentBased, fallback, pace: None, rules: Vec::new() };
    for case in cases("th_rv.json", "consistency") {
        let incoming = threshold_of(&case["th"]);
        let parent = Parent { sampled: case["sampled_flag"].as_bool().unwrap(), threshold: incoming };
        let randomness = randomness_of(&case["trace_id"], &case["rv"]);
        let decision = decide(&policy, (None, None), Some(&parent), trace_id_of(&case["trace_id"]), randomness);
        assert_eq!(decision.sampled, parent.sampled, "{case}");
        assert_eq!(Some(!decision.inconsistent), case["consistent"].as_bool(), "{case}");
        let wanted = case["th_to_propagate"].as_str().map_or(String::new(), |th| format!("th:{th}"));
        assert_eq!(ot_after(decision.th, incoming, None), wanted, "{case}");
    }
}
