//! What an upgrade is: its class, its budget, and how head-sampled failures stay countable.

use serde_json::json;
use tracelift_host::otlp::Value;
use tracelift_host::{LocalReply, RequestSpec};

use crate::kit::{CALLER, SAMPLED, Story, TRACE, builder, get, grpc, keep_all, keep_failures, plain};

#[test]
fn an_upgraded_span_counts_for_itself_and_passes_later_stages() {
    let mut story = Story::new(keep_failures());
    let headers =
        get([("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"), ("tracestate", "a=b")]);
    let request = story.request("inbound", headers);
    let sent = request.forwarded_headers(&story);
    assert_eq!(sent.text("tracestate"), Some("a=b"), "upstream is told of no probability");
    request.respond(&mut story, 503);
    let span = story.span();
    assert_eq!((&span.trace_id()[..], &span.parent_span_id()[..]), (TRACE, CALLER));
    assert_eq!(span.span_id(), sent.traceparent().parent_id);
    assert_eq!(span.span.trace_state, "ot=th:0,a=b");
    assert_eq!(span.span.flags & 0xff, 3, "sampled, and random as before");
    assert_eq!(span.attribute("sampling.priority"), 1);
    assert_eq!(span.attribute("tracelift.upgrade.trigger"), "http_status");
    assert_eq!(span.attribute("tracelift.sampling.reason"), "parent");
    assert_eq!(span.attribute("tracelift.sampling.adjusted_count"), Value::Double(1.0));
    assert_eq!(story.counts_under("decisions."), [("decisions.dropped.parent".to_owned(), 1)]);
    assert_eq!(story.counts_under("upgrades."), [("upgrades.http_status".to_owned(), 1)]);
}

#[test]
fn a_failure_that_the_head_had_sampled_belongs_to_the_same_class() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0.5}}));
    let th = "ot=th:8,foo=1";
    let context = "00-aaaaaaaaaaaaaaaaaaffffffffffffff-b7ad6b7169203331-01";
    for (status, state, trigger) in [(200, th, ""), (503, "ot=th:0,foo=1", "http_status")] {
        let request = story.request("inbound", get([("traceparent", context), ("tracestate", th)]));
        assert_eq!(request.forwarded_headers(&story).text("tracestate"), Some(th), "children keep the head's");
        request.respond(&mut story, status);
        let span = story.span();
        assert_eq!(span.span.trace_state, state, "{status}");
        let found = span.attribute("tracelift.upgrade.trigger");
        assert_eq!(
            (found.is_present(), span.attribute("sampling.priority").is_present()),
            (status == 503, status == 503)
        );
        assert!(trigger.is_empty() || found == trigger);
    }
    assert_eq!(story.counts_under("upgrades."), [], "nothing was dropped, so nothing was upgraded");
}

#[test]
fn what_the_budget_does_not_admit_is_shed_and_keeps_the_heads_probability() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 3}}));
    for number in 0..10 {
        let headers = if number % 2 == 0 { get([("traceparent", SAMPLED)]) } else { plain("GET", "/") };
        let finished = story.request("inbound", headers).respond(&mut story, 503);
        let expected = match (number < 3, number % 2 == 0) {
            (true, true) => Some(&b"upgraded.http_status"[..]),
            (true, false) => Some(&b"upgraded.http_status"[..]),
            (false, true) => Some(&b"sampled"[..]),
            (false, false) => None,
        };
        assert_eq!(finished.filter_state("tracelift.decision"), expected, "{number}");
    }
    // Charged in order of arrival: two sampled and one dropped request spent the budget of the second.
    assert_eq!(story.count("upgrades.http_status"), 1);
    assert_eq!(story.count("upgrades.shed"), 4);
    let spans = story.spans();
    assert_eq!(spans.len(), 6);
    let (admitted, rest): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.attribute("tracelift.upgrade.trigger").is_present());
    assert_eq!((admitted.len(), rest.len()), (3, 3));
    assert!(admitted.iter().all(|span| span.span.trace_state == "ot=th:0"));
    assert!(
        rest.iter().all(|span| span.span.trace_state.is_empty() && !span.attribute("sampling.priority").is_present())
    );
}

#[test]
fn a_budget_that_is_spent_is_there_again_a_second_later() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 2}}));
    for _ in 0..3 {
        for _ in 0..5 {
            story.request("inbound", plain("GET", "/")).respond(&mut story, 500);
        }
        assert_eq!(story.spans().len(), 2);
    }
    assert_eq!(story.count("upgrades.shed"), 9);
}

#[test]
fn one_request_is_charged_once_whatever_else_goes_wrong() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1, "latency_ms": 1}}));
    let request = story.request("inbound", grpc());
    story.advance(std::time::Duration::from_secs(5));
    request.response_headers(&mut story, [(":status", "500")], false);
    request.response_trailers(&mut story, [("grpc-status", "14")]);
    request.client_disconnect(&mut story);
    assert_eq!(story.span().attribute("tracelift.upgrade.trigger"), "http_status", "the first trigger counts");
    assert_eq!(story.counts_under("upgrades."), [("upgrades.http_status".to_owned(), 1)]);
}

#[test]
fn every_worker_and_listener_upgrades_and_all_of_it_adds_up() {
    let text = keep_failures().to_string();
    let mut story = Story::start(builder().inbound(&text).outbound(&text).workers(3));
    for number in 0..60 {
        let listener = ["inbound", "outbound"][number % 2];
        let request = story.open(RequestSpec::new(listener, plain("GET", "/")).worker(number % 3));
        match number % 4 {
            0 => request.respond(&mut story, 503),
            1 => request.local_reply(&mut story, LocalReply::timeout()),
            2 => request.client_disconnect(&mut story),
            _ => request.respond(&mut story, 200),
        };
    }
    let balance = story.assert_conservation();
    assert_eq!(balance.offered, 45);
    assert_eq!(story.spans().len(), 45);
    assert_eq!(story.count("upgrades.http_status"), 15);
    assert_eq!(story.count("upgrades.response_flags"), 30);
    assert_eq!(story.count("decisions.dropped.ratio"), 60);
}

#[test]
fn what_was_sampled_and_went_well_is_no_upgrade() {
    let mut story = Story::new(keep_all());
    let finished = story.request("inbound", plain("GET", "/")).respond(&mut story, 200);
    assert_eq!(finished.filter_state("tracelift.decision"), Some(&b"sampled"[..]));
    let span = story.span();
    for key in ["tracelift.upgrade.trigger", "sampling.priority", "error.type"] {
        assert!(!span.attribute(key).is_present(), "{key}");
    }
}

#[test]
fn requests_in_progress_that_were_dropped_are_pending() {
    let mut story = Story::new(keep_failures());
    let open: Vec<_> = (0..5).map(|_| story.request("inbound", plain("GET", "/"))).collect();
    story.tick_all();
    assert_eq!(story.gauge("tracelift.pending.spans"), 5);
    for (number, request) in open.into_iter().enumerate() {
        request.respond(&mut story, if number == 0 { 500 } else { 200 });
    }
    story.tick_all();
    assert_eq!(story.gauge("tracelift.pending.spans"), 0);
    story.span();
}
