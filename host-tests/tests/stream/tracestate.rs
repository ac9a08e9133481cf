//! `tracestate` through the filter: kept byte for byte, changed in our own member only, discarded alone when it is bad.

use serde_json::{Value, json};
use tracelift_host::Headers;

use crate::kit::{DROPPED, SAMPLED, Story, TRACE, get, keep_all, text, texts, trace_of, traceparent, vectors};

/// Sampled or dropped by our own ratio, whatever the caller says.
fn independent(ratio: f64) -> Value {
    json!({"sampling": {"mode": "independent", "ratio": ratio}})
}

fn carrying(traceparent: &str, lines: &[&str]) -> Headers {
    let lines = lines.iter().map(|line| ("tracestate", *line));
    get([("traceparent", traceparent)].into_iter().chain(lines))
}

#[test]
fn a_good_tracestate_is_not_touched_and_a_bad_one_goes_alone() {
    let mut story = Story::new(json!({}));
    for case in vectors("tracestate.json", "parse") {
        let discarded = story.count("context.tracestate_discarded");
        let lines = texts(&case, "headers");
        for context in [SAMPLED, DROPPED] {
            let sent = story.hop("inbound", carrying(context, &lines));
            assert_eq!(sent.traceparent().trace_id, TRACE, "{case}");
            let found = sent.all("tracestate");
            if case["valid"] == true {
                assert_eq!(found, lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(), "{case}");
            } else {
                assert!(found.is_empty(), "{sent:?}: {case}");
            }
        }
        let bad = if case["valid"] == true { 0 } else { 2 };
        assert_eq!(story.count("context.tracestate_discarded"), discarded + bad, "{case}");
        assert_eq!(story.count("context.restarted"), 0, "{case}");
    }
}

#[test]
fn our_member_goes_first_and_the_others_keep_their_order_and_bytes() {
    let mut story = Story::new(independent(1.0));
    for case in vectors("tracestate.json", "parse") {
        let sent = story.hop("inbound", carrying(SAMPLED, &texts(&case, "headers")));
        let kept = if case["valid"] == true { text(&case, "serialized") } else { "" };
        let expected = if kept.is_empty() { "ot=th:0".to_owned() } else { format!("ot=th:0,{kept}") };
        assert_eq!(sent.all("tracestate"), [expected.as_bytes()], "{case}");
    }
}

#[test]
fn our_member_changes_as_its_rules_say() {
    let mut quarter = Story::new(independent(0.25));
    let mut half = Story::new(independent(0.5));
    let always = traceparent(&trace_of((1 << 56) - 1), 0);
    let mut checked = 0;
    for case in vectors("tracestate.json", "mutate") {
        let story = match case["set_th"].as_str() {
            Some("c") => &mut quarter,
            Some("8") => &mut half,
            _ => continue,
        };
        if !case["insert_rv_if_absent"].is_null() && !text(&case, "in").contains("rv:") {
            continue; // The filter never makes up an rv: its new trace-ids are random.
        }
        let sent = story.hop("inbound", carrying(&always, &[text(&case, "in")]));
        assert_eq!(sent.text("tracestate"), case["out"].as_str(), "{case}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[test]
fn several_headers_become_one_in_the_order_of_arrival() {
    let mut story = Story::new(independent(1.0));
    let sent = story.hop("inbound", carrying(SAMPLED, &["b=2,ot=rv:ffffffffffffff", "", "a=1 ", "\tc=3,b=9"]));
    assert_eq!(sent.all("tracestate"), [b"ot=rv:ffffffffffffff;th:0,b=2,a=1,c=3"], "the first of two counts");
}

#[test]
fn thirty_two_members_are_kept_and_thirty_three_are_none() {
    let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let mut parent_based = Story::new(keep_all());
    let mut independent = Story::new(independent(1.0));
    for (count, untouched, changed) in [(31, true, 31), (32, true, 31), (33, false, 0)] {
        let list = members(count);
        let sent = parent_based.hop("inbound", carrying(SAMPLED, &[&list]));
        assert_eq!(sent.text("tracestate"), untouched.then_some(&list[..]), "{count}");
        let sent = independent.hop("inbound", carrying(SAMPLED, &[&list]));
        let others = if changed == 0 { String::new() } else { format!(",{}", members(changed)) };
        assert_eq!(sent.text("tracestate"), Some(&format!("ot=th:0{others}")[..]), "{count}");
    }
}

#[test]
fn a_change_shortens_a_long_tracestate_by_whole_members_the_longest_first() {
    let long = format!("long={}", "x".repeat(200));
    let rest: Vec<String> = (0..30).map(|n| format!("k{n:02}={}", "y".repeat(12))).collect();
    let list = format!("first=1,{long},{}", rest.join(","));
    let mut parent_based = Story::new(keep_all());
    assert_eq!(
        parent_based.hop("inbound", carrying(SAMPLED, &[&list])).text("tracestate"),
        Some(&list[..]),
        "nothing to change, nothing to shorten"
    );
    let sent = Story::new(independent(1.0)).hop("inbound", carrying(SAMPLED, &[&list]));
    let sent = sent.text("tracestate").expect("a tracestate");
    assert!(sent.starts_with("ot=th:0,first=1,k00=") && sent.len() <= 512, "{sent}");
    assert!(!sent.contains("long="), "{sent}");
    assert!(sent.split(',').skip(1).all(|member| list.split(',').any(|given| given == member)), "{sent}");
    assert!(512 < sent.len() + ",k00=".len() + 12, "no more than needed: {}", sent.len());
}

#[test]
fn th_is_erased_and_rv_is_not_when_the_caller_dropped() {
    let mut story = Story::new(keep_all());
    for (incoming, sent) in [
        ("ot=th:8", None),
        ("ot=th:8,foo=1", Some("foo=1")),
        ("foo=1,ot=rv:0123456789abcd;th:8;x:y,bar=2", Some("ot=rv:0123456789abcd;x:y,foo=1,bar=2")),
        ("foo=1,ot=rv:0123456789abcd", Some("foo=1,ot=rv:0123456789abcd")),
        ("ot=th:8;th:8,foo=1", Some("foo=1")),
        ("ot=junk,foo=1", Some("foo=1")),
    ] {
        let forwarded = story.hop("inbound", carrying(DROPPED, &[incoming]));
        assert_eq!(forwarded.text("tracestate"), sent, "{incoming}");
    }
    assert_eq!(story.spans(), []);
}
