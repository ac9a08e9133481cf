//! Every meeting of parent, mode, outcome and budget, from a table made by other code.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tracelift_host::otlp::Value as Attribute;

use crate::kit::{CALLER, Story, alone, builder, get, text, traceparent, vectors};

/// What the table calls a policy for errors, as a configuration has it.
fn upgrade(case: &Value) -> Option<Value> {
    let rate = if case["limiter_admits"] == false { 0 } else { 1_000_000 };
    match text(case, "errors") {
        "none" => Some(json!({"http_status": [], "response_flags": true})),
        "keep_all" => Some(json!({"http_status": ["5xx"], "traces_per_second": 1_000_000})),
        "keep_limited_stratified" => Some(json!({"http_status": ["5xx"], "traces_per_second": rate})),
        // A limiter that is charged only for what the head missed: the filter has none.
        "keep_limited" => None,
        other => panic!("no such policy: {other}"),
    }
}

fn ot(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("ot={text}") }
}

#[test]
fn every_meeting_goes_as_the_rules_say() {
    let mut stories = BTreeMap::new();
    let mut checked = 0;
    for case in vectors("interplay.json", "cases") {
        let Some(upgrade) = upgrade(&case) else { continue };
        let config = json!({
            "propagators": ["tracecontext", "b3"],
            "sampling": {"mode": case["mode"], "ratio": case["probability"]},
            "upgrade": upgrade,
        });
        let config = alone(config).to_string();
        let story = stories.entry(config.clone()).or_insert_with(|| Story::start(builder().inbound(&config)));
        let trace = text(&case, "trace_id");
        let parent = &case["parent"];
        let headers = if parent.is_null() {
            get([("b3", format!("{trace}-{CALLER}"))]) // A caller without an opinion: the only root with a known trace-id.
        } else {
            let members = [("rv", &parent["rv"]), ("th", &parent["th"])];
            let members = members.iter().filter_map(|(key, value)| Some(format!("{key}:{}", value.as_str()?)));
            let state = ot(&members.collect::<Vec<_>>().join(";"));
            let state = (!state.is_empty()).then_some(("tracestate", state));
            let flags = u8::from(parent["sampled"] == true);
            get([("traceparent", traceparent(trace, flags))].into_iter().chain(state))
        };
        let request = story.request("inbound", headers);
        let sent = request.forwarded_headers(story);
        request.respond(story, if case["response_error"] == true { 500 } else { 200 });
        assert_eq!(sent.traceparent().is_sampled(), case["propagated_sampled"] == true, "{case}");
        assert_eq!(sent.text("tracestate").unwrap_or_default(), ot(text(&case, "propagated_ot")), "{case}");

        let spans = story.spans();
        assert_eq!(spans.len(), usize::from(case["exported"] == true), "{case}");
        for span in spans {
            assert_eq!((span.trace_id(), span.span_id()), (trace.to_owned(), sent.traceparent().parent_id));
            assert_eq!(span.span.trace_state, ot(text(&case, "span_ot")), "{case}");
            assert_eq!(span.span.flags & 1, 1, "an exported span is sampled: {case}");
            let count = case["adjusted_count"].as_f64().filter(|count| *count != 0.0);
            let found = span.attribute("tracelift.sampling.adjusted_count");
            assert_eq!(found, count.map_or(Attribute::Absent, Attribute::Double), "{case}");
            let upgraded = text(&case, "span_ot").ends_with("th:0") && text(&case, "export_reason").contains("error");
            assert_eq!(span.attribute("tracelift.upgrade.trigger").is_present(), upgraded, "{case}");
        }
        checked += 1;
    }
    assert!(300 < checked, "{checked}");
}
