//! X-Amzn-Trace-Id in a chain with a load balancer in front and old X-Ray SDKs around, and ids as X-Ray's SDKs make them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tracelift_host::{Finished, Headers};

use crate::kit::{CALLER, Story, alone, builder, get, grpc, plain, trace_of, traceparent};

const XRAY: &str = "x-amzn-trace-id";
/// As a load balancer begins a trace, and the same id as W3C writes it.
const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";
const TRACE: &str = "5759e988bd862e3fe1be46a994272793";

fn config(propagators: &[&str], ratio: u32) -> Value {
    json!({"propagators": propagators, "sampling": {"ratio": ratio}})
}

fn one<'a>(headers: &'a Headers, name: &str) -> &'a str {
    assert_eq!(headers.all(name).len(), 1, "{name} of {headers:?}");
    headers.text(name).expect("text")
}

/// Asks with that header, and answers with that status.
fn ask(story: &mut Story, header: &str, status: u16) -> Finished {
    story.request("inbound", get([(XRAY, header)])).respond(story, status)
}

#[test]
fn a_load_balancers_root_becomes_our_trace_without_a_parent_and_both_headers_go_on_alike() {
    for (ratio, flag) in [(0, "0"), (1, "1")] {
        let mut story = Story::new(config(&["tracecontext", "xray"], ratio));
        let through_alb = format!("Self=1-67891233-12456789abcdef012345678a;{ROOT}");
        let sent = story.hop("inbound", get([(XRAY, &through_alb)]));
        let context = sent.traceparent();
        assert_eq!((&context.trace_id[..], context.is_sampled()), (TRACE, ratio == 1));
        assert_eq!(one(&sent, XRAY), format!("{ROOT};Parent={};Sampled={flag}", context.parent_id));
        for span in story.spans() {
            assert_eq!((span.trace_id().as_str(), span.parent_span_id().as_str()), (TRACE, ""));
        }
    }
}

#[test]
fn a_caller_that_asks_hears_the_decision_and_nobody_else_does() {
    for (ratio, flag) in [(0, "0"), (1, "1")] {
        let mut story = Story::new(config(&["xray"], ratio));
        let answered = ask(&mut story, &format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=?"), 200);
        assert_eq!(one(&answered.response_headers, XRAY), format!("{ROOT};Sampled={flag}"));
        // The upstream is told what was decided, and not asked again.
        assert!(one(&answered.request_headers, XRAY).ends_with(&format!(";Sampled={flag}")));
        for header in
            [ROOT.to_owned(), format!("{ROOT};Sampled=0"), format!("{ROOT};Sampled=1"), "Sampled=?".to_owned()]
        {
            assert!(ask(&mut story, &header, 200).response_headers.get(XRAY).is_none(), "{header}");
        }
    }
}

#[test]
fn a_failure_makes_the_answer_yes_and_replaces_what_the_upstream_said() {
    let mut story = Story::new(config(&["xray"], 0));
    let upstream =
        |status| tracelift_host::Response::status(status).header(XRAY, "Root=1-5759e988-bd862e3fe1be46a994272793");
    for (status, flag) in [(200, "0"), (503, "1")] {
        let request = story.request("inbound", get([(XRAY, format!("{ROOT};Sampled=?"))]));
        let answered = request.respond(&mut story, upstream(status));
        assert_eq!(one(&answered.response_headers, XRAY), format!("{ROOT};Sampled={flag}"));
    }
    assert_eq!(story.span().trace_id(), TRACE);
}

#[test]
fn at_the_edge_nobody_is_told_what_is_recorded() {
    let mut edge = config(&["xray"], 1);
    edge["edge"] = true.into();
    let answered = ask(&mut Story::new(edge), &format!("{ROOT};Sampled=?"), 200);
    assert!(answered.response_headers.get(XRAY).is_none());
    assert!(one(&answered.request_headers, XRAY).ends_with(";Sampled=1"));
}

#[test]
fn a_question_is_answered_beside_a_traceparent_of_the_same_trace_and_of_that_only() {
    let mut story = Story::new(config(&["tracecontext", "xray"], 0));
    for (trace, answer) in [(TRACE, Some(format!("{ROOT};Sampled=1"))), ("0af7651916cd43dd8448eb211c80319c", None)] {
        let context = format!("00-{trace}-{CALLER}-01");
        let headers = get([("traceparent", context), (XRAY, format!("{ROOT};Sampled=?"))]);
        let answered = story.request("inbound", headers).respond(&mut story, 200);
        assert_eq!(answered.response_headers.text(XRAY).map(str::to_owned), answer);
        let sent = &answered.request_headers;
        let (of_w3c, of_xray) = (sent.traceparent(), one(sent, XRAY));
        let expected = format!("Root=1-{}-{};Parent={};Sampled=1", &trace[..8], &trace[8..], of_w3c.parent_id);
        assert_eq!((&of_w3c.trace_id[..], of_w3c.is_sampled(), of_xray), (trace, true, &expected[..]));
    }
}

#[test]
fn an_old_sdks_parent_is_ours_and_its_flag_and_lineage_are_kept_in_both_directions() {
    for (flag, sampled) in [("0", false), ("1", true)] {
        let mut story = Story::new(config(&["tracecontext", "xray"], u32::from(!sampled)));
        let lineage = "Lineage=32767:e65a2c4d:255";
        let header = format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled={flag};{lineage}");
        let sent = story.hop("inbound", get([(XRAY, &header)]));
        let context = sent.traceparent();
        assert_eq!(context.is_sampled(), sampled);
        assert_eq!(one(&sent, XRAY), format!("{ROOT};Parent={};Sampled={flag};{lineage}", context.parent_id));
        let parents: Vec<_> = story.spans().iter().map(|span| span.parent_span_id()).collect();
        assert_eq!(parents, vec!["53995c3f42cd8ad8"; usize::from(sampled)]);
    }
}

#[test]
fn a_later_call_of_an_upgraded_trace_is_sampled_in_both_headers() {
    let mut settings = config(&["tracecontext", "xray"], 0);
    settings["upgrade"] = json!({"signal": {"emit": true, "accept": true}});
    settings["span_kind"] = "client".into();
    let mut story = Story::start(builder().outbound(settings.to_string()));
    let context = traceparent(&trace_of(1), 0);
    let call = || get([("traceparent", &context)]);
    story.request("outbound", call()).respond(&mut story, 503);
    let sent = story.request("outbound", call()).respond(&mut story, 200).request_headers;
    assert!(sent.traceparent().is_sampled() && one(&sent, XRAY).ends_with(";Sampled=1"), "{sent:?}");
    assert_eq!(story.spans().len(), 2);
}

#[test]
fn a_grpc_call_is_answered_too_before_its_status_is_known() {
    let mut story = Story::new(config(&["xray"], 0));
    let mut headers = grpc();
    headers.add(XRAY, format!("{ROOT};Sampled=?"));
    let answered = story.request("inbound", headers).respond(&mut story, tracelift_host::Response::grpc(14));
    assert_eq!(one(&answered.response_headers, XRAY), format!("{ROOT};Sampled=0"), "no later than the headers");
    assert_eq!(story.span().trace_id(), TRACE, "kept all the same");
}

#[test]
fn a_root_has_an_id_of_the_format_that_was_asked_for_and_says_that_it_is_random() {
    for (format, timed) in [("w3c", false), ("xray", true)] {
        let mut settings = config(&["tracecontext", "xray"], 1);
        settings["trace_id_format"] = format.into();
        let mut story = Story::new(settings);
        let began = story.now().as_secs();
        let ids: Vec<_> = (0..40)
            .map(|_| {
                let context = story.hop("inbound", plain("GET", "/items")).traceparent();
                assert_eq!(context.flags, 3, "sampled, and its last 56 bits are random");
                context.trace_id
            })
            .collect();
        for id in &ids {
            let seconds = u64::from_str_radix(&id[..8], 16).unwrap();
            assert_eq!((began..=story.now().as_secs()).contains(&seconds), timed, "{format}: {id}, began at {began}");
        }
        let exported: BTreeSet<_> = story.spans().iter().map(|span| span.trace_id()).collect();
        assert_eq!(exported, ids.iter().cloned().collect());
        let tails: BTreeSet<_> = ids.iter().map(|id| &id[8..]).collect();
        assert_eq!(tails.len(), ids.len(), "96 bits are random in either format");
    }
}

#[test]
fn an_id_that_came_in_is_continued_as_it_is_in_either_format() {
    for format in ["w3c", "xray"] {
        let mut settings = alone(config(&["tracecontext", "xray"], 1));
        settings["trace_id_format"] = format.into();
        let mut story = Story::new(settings);
        let (random, timed) = (trace_of(7), TRACE);
        for trace in [&random, timed] {
            let sent = story.hop("inbound", get([("traceparent", traceparent(trace, 1))]));
            assert_eq!(sent.traceparent().trace_id, *trace);
        }
    }
}
