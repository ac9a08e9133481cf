//! `traceparent` through the filter: continued, restarted, chained.

use std::collections::HashSet;

use serde_json::json;
use tracelift_host::RequestSpec;

use crate::kit::{CALLER, DROPPED, SAMPLED, Story, TRACE, builder, get, keep_all, plain, text, texts, vectors};

#[test]
fn a_traceparent_is_continued_or_restarted_as_the_specification_says() {
    let mut story = Story::new(json!({}));
    for case in vectors("traceparent.json", "cases") {
        let restarts = story.count("context.restarted");
        let lines = texts(&case, "headers");
        let headers = lines.iter().map(|line| ("traceparent", *line)).chain([("tracestate", "foo=1")]);
        let forwarded = story.hop("inbound", get(headers));
        let sent = forwarded.traceparent();
        let tracestate = forwarded.text("tracestate").unwrap_or_default();
        if text(&case, "action") == "restart" {
            assert!(!lines.concat().contains(&sent.trace_id), "{case}");
            assert!([2, 3].contains(&sent.flags), "a new trace-id is random: {case}");
            assert!(!tracestate.contains("foo"), "{tracestate}: {case}");
            assert_eq!(story.count("context.restarted"), restarts + 1, "{case}");
            continue;
        }
        let expect = &case["expect"];
        let flags = if expect["sampled"] == true { "out_flags_if_sampled" } else { "out_flags_if_not_sampled" };
        assert_eq!(sent.trace_id, text(expect, "trace_id"), "{case}");
        assert_eq!(format!("{:02x}", sent.flags), text(expect, flags), "{case}");
        assert_ne!(sent.parent_id, text(expect, "parent_id"), "our span is the parent now: {case}");
        assert_eq!(tracestate, "foo=1", "{case}");
        assert_eq!(story.count("context.restarted"), restarts, "{case}");
    }
}

#[test]
fn a_request_without_context_starts_a_trace_and_no_restart_is_counted() {
    let mut story = Story::new(keep_all());
    let sent = story.hop("inbound", get([("tracestate", "foo=1"), ("x-request-id", "7")]));
    assert_eq!(sent.traceparent().flags, 3);
    assert_eq!(sent.text("tracestate"), Some("ot=th:0"), "an orphaned tracestate belongs to no trace");
    assert_eq!(sent.text("x-request-id"), Some("7"));
    let span = story.span();
    assert_eq!((span.parent_span_id(), span.trace_id()), (String::new(), sent.traceparent().trace_id));
    assert_eq!(story.count("context.restarted"), 0);
}

#[test]
fn every_hop_is_the_parent_of_the_next_sampled_or_not() {
    for (ratio, statuses) in [(1, [200, 200, 200]), (0, [500, 500, 500]), (0, [200, 500, 200])] {
        let mut story = Story::new(json!({"sampling": {"ratio": ratio}}));
        let mut context = plain("GET", "/");
        let mut open = Vec::new();
        for listener in ["gateway", "inbound", "outbound"] {
            let request = story.request(listener, context.clone());
            let sent = request.forwarded_headers(&story);
            let parent = sent.traceparent();
            assert_eq!(parent.is_sampled(), ratio == 1);
            context = plain("GET", "/");
            context.add("traceparent", sent.text("traceparent").expect("a traceparent"));
            open.push((request, parent));
        }
        let traces: HashSet<_> = open.iter().map(|(_, parent)| parent.trace_id.clone()).collect();
        assert_eq!(traces.len(), 1);
        let ids: Vec<_> = open.iter().map(|(_, parent)| parent.parent_id.clone()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "{ids:?}");
        for ((request, _), status) in open.into_iter().zip(statuses).rev() {
            request.respond(&mut story, status);
        }
        let kept = statuses.iter().zip(&ids).enumerate().filter(|(_, (status, _))| ratio == 1 || **status == 500);
        let kept: Vec<_> =
            kept.map(|(hop, (_, id))| (id.clone(), hop.checked_sub(1).map(|hop| ids[hop].clone()))).collect();
        let mut spans: Vec<_> = story.spans().iter().map(|span| (span.span_id(), span.parent_span_id())).collect();
        let mut expected: Vec<_> = kept.into_iter().map(|(id, parent)| (id, parent.unwrap_or_default())).collect();
        spans.sort();
        expected.sort();
        assert_eq!(spans, expected, "ratio {ratio}, {statuses:?}");
    }
}

#[test]
fn a_dropped_request_of_a_dropped_trace_still_carries_our_span_id() {
    let mut story = Story::new(keep_all());
    for (header, flags) in [(DROPPED, 0), (SAMPLED, 1)] {
        let sent = story.hop("outbound", get([("traceparent", header)])).traceparent();
        assert_eq!((&sent.trace_id[..], sent.flags), (TRACE, flags));
        assert_ne!(sent.parent_id, CALLER);
    }
    assert_eq!(story.span().parent_span_id(), CALLER);
}

#[test]
fn new_ids_are_never_zero_never_repeated_and_flagged_random() {
    let text = json!({"sampling": {"ratio": 0.5}}).to_string();
    let mut story = Story::start(builder().inbound(text).workers(2));
    let mut seen = HashSet::new();
    let mut sampled = 0;
    for number in 0..2_000 {
        let request = story.open(RequestSpec::new("inbound", plain("GET", "/")).worker(number % 2));
        let sent = request.forwarded_headers(&story).traceparent(); // Zero would not parse.
        request.respond(&mut story, 200);
        assert_eq!(sent.flags & 0xfe, 2);
        sampled += u32::from(sent.is_sampled());
        assert!(seen.insert(sent.trace_id), "a trace-id twice");
        assert!(seen.insert(sent.parent_id), "a span id twice");
    }
    assert!((850..1_150).contains(&sampled), "half of 2000, found {sampled}"); // Over six standard deviations away.
}

#[test]
fn two_processes_with_different_randomness_share_no_id() {
    let text = keep_all().to_string();
    let ids = |seed| {
        let mut story = Story::start(builder().inbound(&text).seed(seed));
        let ids: Vec<_> = (0..50).map(|_| story.hop("inbound", plain("GET", "/")).traceparent().trace_id).collect();
        ids
    };
    let (one, other) = (ids(1), ids(2));
    assert!(one.iter().all(|id| !other.contains(id)));
    assert_eq!(one, ids(1), "and the same randomness gives the same story");
}
