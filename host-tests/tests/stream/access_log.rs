//! What an access log can print of a request.

use serde_json::json;
use tracelift_host::LocalReply;

use crate::kit::{DROPPED, SAMPLED, Story, get, keep_all, plain};

const KEY: &str = "tracelift.decision";

#[test]
fn the_log_shows_trace_span_and_decision_of_every_request() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0}}));
    for (header, status, decision) in [
        (SAMPLED, 200, Some("sampled")),
        (DROPPED, 200, None),
        (DROPPED, 503, Some("upgraded.http_status")),
        (SAMPLED, 503, Some("upgraded.http_status")),
    ] {
        let finished = story.request("inbound", get([("traceparent", header)])).respond(&mut story, status);
        assert_eq!(finished.filter_state(KEY), decision.map(str::as_bytes), "{header} {status}");
        let logged = finished.request_headers.traceparent(); // %REQ(TRACEPARENT)%
        for span in story.spans() {
            assert_eq!((span.trace_id(), span.span_id()), (logged.trace_id.clone(), logged.parent_id.clone()));
        }
    }
    let finished = story.request("inbound", plain("GET", "/")).client_disconnect(&mut story);
    assert_eq!(finished.filter_state(KEY), Some(&b"upgraded.response_flags"[..]));
    let finished = story.request("inbound", plain("GET", "/")).local_reply(&mut story, LocalReply::timeout());
    assert_eq!(finished.filter_state(KEY), Some(&b"upgraded.response_flags"[..]));
}

#[test]
fn the_request_reaches_the_upstream_and_the_client_with_nothing_else_changed() {
    let mut story = Story::new(keep_all());
    let headers = get([("x-b", "2"), ("x-a", "1"), ("x-b", "3"), ("cookie", "a=b"), ("x-empty", "")]);
    let request = story.request("inbound", headers.clone());
    let mut sent = request.forwarded_headers(&story);
    let finished = request.respond(&mut story, 200);
    sent.remove("traceparent");
    sent.remove("tracestate");
    assert_eq!(sent, headers);
    assert_eq!(finished.response_headers, [(":status", "200")][..].into());
}
