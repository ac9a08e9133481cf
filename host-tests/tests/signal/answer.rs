//! What an answer says to its caller, and what a caller believes.

use serde_json::json;
use tracelift_host::testing::passed_on;
use tracelift_host::{LocalReply, Response};

use crate::pods::{Pod, SIGNAL, TRACE, drop_all, mark, unsampled, unsampled_trace};

const OTHER: &str = "2;upgraded;0af7651916cd43dd8448eb211c80319c";

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
    assert_eq!(finished.response_headers.text(SIGNAL), Some(&*mark("upgraded")));
    assert_eq!(pod.spans()[0].span_id(), span);
}

#[test]
fn envoys_own_answers_tell_it_too() {
    for reply in [LocalReply::connect_failure(), LocalReply::timeout(), LocalReply::no_healthy_upstream()] {
        let mut pod = Pod::new("cart", drop_all());
        let finished = pod.calls(&unsampled()).local_reply(&mut pod.0, reply);
        assert_eq!(finished.response_headers.text(SIGNAL), Some(&*mark("upgraded")));
        assert_eq!(pod.spans().len(), 1);
    }
}

#[test]
fn a_streaming_grpc_call_tells_it_in_its_trailers() {
    let mut pod = Pod::new("cart", drop_all());
    let finished = pod.called(&unsampled()).respond(&mut pod.0, Response::grpc(13));
    assert_eq!((finished.response_headers.get("traceresponse"), finished.response_headers.get(SIGNAL)), (None, None));
    assert!(finished.response_trailers.get("traceresponse").is_some_and(|value| value.ends_with(b"-03")));

    let mut caller = Pod::new("web", drop_all());
    let told = finished.response_trailers.text(SIGNAL).expect("a signal").to_owned();
    let swallowed = Response::grpc(0).trailer(SIGNAL, told);
    caller.calls(&unsampled()).respond(&mut caller.0, swallowed);
    assert_eq!(caller.spans()[0].attribute("tracelift.upgrade.trigger"), "signal");
}

#[test]
fn a_fine_answer_says_nothing() {
    let mut pod = Pod::new("cart", drop_all());
    let finished = pod.called(&unsampled()).respond(&mut pod.0, 200);
    assert_eq!(finished.response_headers.get(SIGNAL), None);
    assert_eq!(finished.response_headers.get("traceresponse"), None);
    assert_eq!(finished.response_headers.get("server-timing"), None);
    assert!(pod.spans().is_empty());
}

#[test]
fn a_caller_believes_a_signal_for_its_own_trace_only() {
    for (told, believed) in [(&*mark("upgraded"), true), (OTHER, false), ("nonsense", false), ("", false)] {
        let mut pod = Pod::new("web", drop_all());
        let answer = Response::status(200).header(SIGNAL, told);
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
    assert!(failed.response_headers.text("traceresponse").is_some_and(|context| context.ends_with("-02")));
    let told = failed.response_headers.text(SIGNAL).expect("a verdict").to_owned();
    assert_eq!(told, mark("shed"));
    assert!(callee.spans().is_empty());

    let mut caller = Pod::new("web", drop_all());
    caller.calls(&unsampled()).respond(&mut caller.0, Response::status(500).header(SIGNAL, told));
    assert!(caller.spans().is_empty());
    assert_eq!(caller.0.counter("tracelift.upgrades.shed"), 1);
}

#[test]
fn what_an_sdk_answers_by_the_w3c_draft_loses_nothing_and_upgrades_nothing() {
    // OpenTelemetry's TraceResponsePropagator answers the context of its span: flag 0 wherever the head has dropped the trace.
    let mut pod = Pod::new("web", drop_all());
    for number in 0..100 {
        let (context, _) = unsampled_trace(number);
        let told = format!("00-{:032x}-00f067aa0ba902b7-00", u128::from(number) + 1);
        let answer =
            Response::status(500).header("traceresponse", &told).header("server-timing", format!("trace;desc={told}"));
        pod.called(&context).respond(&mut pod.0, answer);
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.http_status"), 100);
    assert_eq!(pod.0.counter("tracelift.upgrades.shed"), 0);
    // One that samples for itself answers flag 1, on an answer that is fine.
    for number in 200..300 {
        let (context, _) = unsampled_trace(number);
        let told = format!("00-{:032x}-00f067aa0ba902b7-01", u128::from(number) + 1);
        let finished = pod.called(&context).respond(&mut pod.0, Response::status(200).header("traceresponse", &told));
        assert_eq!(finished.response_headers.text("traceresponse"), Some(&*told), "passed on as it is");
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.signal"), 0);
}

#[test]
fn an_applications_own_mark_upgrades_its_sidecar_and_every_hop_above() {
    let mut pods = ["gateway", "web"].map(|name| Pod::new(name, drop_all()));
    let [gateway, web] = &mut pods;
    let to_web = gateway.calls(&unsampled());
    let in_web = web.called(&to_web.forwarded_headers(&gateway.0));
    // The application has caught an exception, and answers 200.
    let finished = in_web.respond(&mut web.0, Response::status(200).header(SIGNAL, mark("upgraded")));
    assert_eq!(finished.response_headers.text(SIGNAL), Some(&*mark("upgraded")));
    assert_eq!(finished.response_headers.all("server-timing").len(), 1, "the application wrote none");
    let finished = to_web.respond(&mut gateway.0, passed_on(&finished));
    assert_eq!(finished.response_headers.all("server-timing").len(), 1);
    for pod in &mut pods {
        let spans = pod.spans();
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].attribute("tracelift.upgrade.trigger"), "signal");
    }
}

#[test]
fn a_rollout_from_the_previous_version_understands_its_signal() {
    let previous = json!({"sampling": {"ratio": 0}, "upgrade": {"signal": {"accept_previous": true}}});
    let told = |flag| format!("00-{TRACE}-00f067aa0ba902b7-{flag}");
    for (code, flag, kept) in [(200, "01", 1), (500, "00", 0)] {
        let mut pod = Pod::new("web", previous.clone());
        let answer = Response::status(code)
            .header("traceresponse", told(flag))
            .header("server-timing", format!("trace;desc={}", told(flag)));
        pod.calls(&unsampled()).respond(&mut pod.0, answer);
        assert_eq!(pod.spans().len(), kept, "{code}");
    }
}

#[test]
fn what_was_kept_below_is_kept_above_whatever_the_budget_there() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1}}));
    for number in 0..5 {
        let (context, told) = unsampled_trace(number);
        pod.calls(&context).respond(&mut pod.0, Response::status(503).header(SIGNAL, told));
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.http_status"), 5, "no failure was charged to the budget of 1");
}

#[test]
fn an_upstream_that_floods_us_with_signals_is_believed_within_bounds() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 2}}));
    for number in 0..100 {
        let (context, told) = unsampled_trace(number);
        // Each of the two listeners on a worker of its own.
        let request = if number % 2 == 0 { pod.calls(&context) } else { pod.called(&context) };
        request.respond(&mut pod.0, Response::status(200).header(SIGNAL, told));
    }
    pod.spans();
    assert_eq!(pod.0.counter("tracelift.upgrades.signal"), 20, "ten times the budget of the Envoy");
    assert_eq!(pod.0.counter("tracelift.upgrades.signals_refused"), 80);
}

#[test]
fn signals_can_be_switched_off_each_way() {
    let with = |signal| json!({"sampling": {"ratio": 0}, "upgrade": {"signal": signal}});

    let mut silent = Pod::new("cart", with(json!({"emit": false})));
    let finished = silent.called(&unsampled()).respond(&mut silent.0, 503);
    assert_eq!((finished.response_headers.get("traceresponse"), finished.response_headers.get(SIGNAL)), (None, None));

    let mut deaf = Pod::new("cart", with(json!({"accept": false})));
    deaf.calls(&unsampled()).respond(&mut deaf.0, Response::status(200).header(SIGNAL, mark("upgraded")));
    assert!(deaf.spans().is_empty());
    let finished = deaf.called(&unsampled()).respond(&mut deaf.0, 200);
    assert!(!finished.cost.hostcalls.iter().any(|(name, _)| *name == "proxy_get_shared_data"));
}
