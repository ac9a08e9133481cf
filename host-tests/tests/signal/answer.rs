//! What an answer says to its caller, and what a caller believes.

use serde_json::json;
use tracelift_host::{LocalReply, Response};

use crate::pods::{Pod, TRACE, drop_all, unsampled, unsampled_trace};

const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_failed_answer_tells_the_caller_behind_the_applications_own_entries() {
    let mut pod = Pod::new("cart", drop_all());
    let request = pod.called(&unsampled());
    let span = request.forwarded_headers(&pod.0).traceparent().parent_id;
    let finished = request.respond(&mut pod.0, Response::status(503).header("server-timing", "db;dur=53"));
    let context = format!("00-{TRACE}-{span}-03");
    assert_eq!(finished.response_headers.text("traceresponse"), Some(&*context));
    let timing = [b"db;dur=53".to_vec(), format!("trace;desc={context}").into_bytes()];
    assert_eq!(finished.response_headers.all("server-timing"), timing);
    assert_eq!(pod.spans()[0].span_id(), span);
}

#[test]
fn envoys_own_answers_tell_it_too() {
    for reply in [LocalReply::connect_failure(), LocalReply::timeout(), LocalReply::no_healthy_upstream()] {
        let mut pod = Pod::new("cart", drop_all());
        let finished = pod.calls(&unsampled()).local_reply(&mut pod.0, reply);
        assert!(finished.response_headers.get("traceresponse").is_some_and(|value| value.ends_with(b"-03")));
        assert_eq!(pod.spans().len(), 1);
    }
}

#[test]
fn a_streaming_grpc_call_tells_it_in_its_trailers() {
    let mut pod = Pod::new("cart", drop_all());
    let finished = pod.called(&unsampled()).respond(&mut pod.0, Response::grpc(13));
    assert_eq!(finished.response_headers.get("traceresponse"), None);
    assert!(finished.response_trailers.get("traceresponse").is_some_and(|value| value.ends_with(b"-03")));

    let mut caller = Pod::new("web", drop_all());
    let told = finished.response_trailers.text("traceresponse").expect("a signal").to_owned();
    let swallowed = Response::grpc(0).trailer("traceresponse", told);
    caller.calls(&unsampled()).respond(&mut caller.0, swallowed);
    assert_eq!(caller.spans()[0].attribute("tracelift.upgrade.trigger"), "signal");
}

#[test]
fn a_fine_answer_says_nothing() {
    let mut pod = Pod::new("cart", drop_all());
    let finished = pod.called(&unsampled()).respond(&mut pod.0, 200);
    assert_eq!(finished.response_headers.get("traceresponse"), None);
    assert_eq!(finished.response_headers.get("server-timing"), None);
    assert!(pod.spans().is_empty());
}

#[test]
fn a_caller_believes_a_signal_for_its_own_trace_only() {
    let ours = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for (told, believed) in [(&*ours, true), (OTHER, false), ("nonsense", false), ("", false)] {
        let mut pod = Pod::new("web", drop_all());
        let answer = Response::status(200).header("traceresponse", told);
        pod.calls(&unsampled()).respond(&mut pod.0, answer);
        assert_eq!(pod.0.counter("tracelift.upgrades.signal"), 0, "counted on a tick");
        let spans = pod.spans();
        assert_eq!((spans.len(), pod.0.counter("tracelift.upgrades.signal")), (believed.into(), believed.into()));
    }
}

#[test]
fn what_was_shed_below_is_not_kept_above_for_the_same_failure() {
    let mut callee = Pod::new("cart", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 0}}));
    let failed = callee.called(&unsampled()).respond(&mut callee.0, 500);
    let told = failed.response_headers.text("traceresponse").expect("a verdict").to_owned();
    assert!(told.ends_with("-02"), "{told}");
    assert!(callee.spans().is_empty());

    let mut caller = Pod::new("web", drop_all());
    caller.calls(&unsampled()).respond(&mut caller.0, Response::status(500).header("traceresponse", told));
    assert!(caller.spans().is_empty());
    assert_eq!(caller.0.counter("tracelift.upgrades.shed"), 1);
}

#[test]
fn what_was_kept_below_is_kept_above_whatever_the_budget_there() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1}}));
    for number in 0..5 {
        let (context, told) = unsampled_trace(number);
        pod.calls(&context).respond(&mut pod.0, Response::status(503).header("traceresponse", told));
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.http_status"), 5, "no failure was charged to the budget of 1");
}

#[test]
fn an_upstream_that_floods_us_with_signals_is_believed_within_bounds() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 2}}));
    for number in 0..100 {
        let (context, told) = unsampled_trace(number);
        pod.calls(&context).respond(&mut pod.0, Response::status(200).header("traceresponse", told));
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.signal"), 20, "ten times the budget");
    assert_eq!(pod.0.counter("tracelift.upgrades.signals_refused"), 80);
}

#[test]
fn signals_can_be_switched_off_each_way() {
    let told = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let with = |signal| json!({"sampling": {"ratio": 0}, "upgrade": {"signal": signal}});

    let mut silent = Pod::new("cart", with(json!({"emit": false})));
    let finished = silent.called(&unsampled()).respond(&mut silent.0, 503);
    assert_eq!(finished.response_headers.get("traceresponse"), None);

    let mut deaf = Pod::new("cart", with(json!({"accept": false})));
    deaf.calls(&unsampled()).respond(&mut deaf.0, Response::status(200).header("traceresponse", told));
    assert!(deaf.spans().is_empty());
    let finished = deaf.called(&unsampled()).respond(&mut deaf.0, 200);
    assert!(!finished.cost.hostcalls.iter().any(|(name, _)| *name == "proxy_get_shared_data"));
}
