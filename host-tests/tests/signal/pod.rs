//! Across the application: the join of the two listeners, and calls that come after a failure.

use serde_json::json;
use tracelift_host::testing::passed_on;
use tracelift_host::{LocalReply, Response};

use crate::pods::{Pod, SIGNAL, drop_all, mark, unsampled};

#[test]
fn a_failure_that_the_application_swallowed_keeps_its_inbound_hop_and_tells_the_caller() {
    let mut pod = Pod::new("web", drop_all());
    let inbound = pod.called(&unsampled());
    let context = inbound.forwarded_headers(&pod.0);
    pod.calls(&context).local_reply(&mut pod.0, LocalReply::connect_failure());
    let answered = inbound.respond(&mut pod.0, Response::status(200).body("a page without the failed part"));
    assert_eq!(answered.status, Some(200));
    let told = answered.response_headers.text("traceresponse").expect("a signal").to_owned();
    assert!(told.ends_with("-03"), "{told}");
    assert_eq!(answered.response_headers.text(SIGNAL), Some(&*mark("upgraded")));
    assert_eq!(answered.response_headers.all("server-timing"), [format!("trace;desc={told}").into_bytes()]);
    let spans = pod.spans();
    assert_eq!(spans.len(), 2);
    let trigger = |kind: &str| {
        let span = spans.iter().find(|span| format!("{:?}", span.kind()) == kind).expect("a span of each side");
        span.attribute("tracelift.upgrade.trigger")
    };
    assert_eq!(trigger("Client"), "response_flags");
    assert_eq!(trigger("Server"), "signal");
}

#[test]
fn every_ancestor_of_a_deep_failure_is_kept_up_to_the_root() {
    // gateway -> web -> cart -> stock; stock fails, cart swallows it.
    let mut pods = ["gateway", "web", "cart", "stock"].map(|name| Pod::new(name, drop_all()));
    let [gateway, web, cart, stock] = &mut pods;
    let to_web = gateway.calls(&unsampled());
    let in_web = web.called(&to_web.forwarded_headers(&gateway.0));
    let to_cart = web.calls(&in_web.forwarded_headers(&web.0));
    let in_cart = cart.called(&to_cart.forwarded_headers(&web.0));
    let to_stock = cart.calls(&in_cart.forwarded_headers(&cart.0));
    let in_stock = stock.called(&to_stock.forwarded_headers(&cart.0));

    let answer = passed_on(&in_stock.respond(&mut stock.0, 500));
    to_stock.respond(&mut cart.0, answer);
    let answer = passed_on(&in_cart.respond(&mut cart.0, 200));
    to_cart.respond(&mut web.0, answer);
    let answer = passed_on(&in_web.respond(&mut web.0, 200));
    to_web.respond(&mut gateway.0, answer);

    let spans: Vec<_> = pods.iter_mut().flat_map(Pod::spans).collect();
    assert_eq!(spans.len(), 6, "one hop of the gateway, two of each pod between, one of the last");
    let ids: Vec<String> = spans.iter().map(|span| span.span_id()).collect();
    let roots = spans.iter().filter(|span| !ids.contains(&span.parent_span_id())).count();
    assert_eq!(roots, 1, "each span hangs below another of the trace");
}

#[test]
fn calls_that_follow_a_failure_leave_sampled() {
    let mut pod = Pod::new("web", drop_all());
    let inbound = pod.called(&unsampled());
    let context = inbound.forwarded_headers(&pod.0);
    let before = pod.calls(&context);
    assert!(!sampled(&before.forwarded_headers(&pod.0).text("traceparent")));
    before.respond(&mut pod.0, 503);
    let after = pod.calls(&context);
    assert!(sampled(&after.forwarded_headers(&pod.0).text("traceparent")));
    after.respond(&mut pod.0, 200);
    inbound.respond(&mut pod.0, 200);
    assert_eq!(pod.spans().len(), 3);
    assert_eq!(pod.0.counter("tracelift.decisions.sampled.upgraded"), 1);
}

fn sampled(traceparent: &Option<&str>) -> bool {
    traceparent.is_some_and(|value| value.ends_with("-03") || value.ends_with("-01"))
}

#[test]
fn an_upgrade_is_forgotten_after_its_time() {
    let mut pod = Pod::new("web", drop_all());
    pod.calls(&unsampled()).respond(&mut pod.0, 503);
    pod.0.advance(std::time::Duration::from_secs(61));
    let later = pod.called(&unsampled()).respond(&mut pod.0, 200);
    assert_eq!(later.response_headers.get(SIGNAL), None);
    assert_eq!(pod.spans().len(), 1);
}

#[test]
fn twenty_thousand_failed_traces_fill_a_fixed_number_of_slots() {
    let mut pod = Pod::new("web", drop_all());
    for number in 1..=20_000_u64 {
        let traceparent = format!("00-{:032x}-00f067aa0ba902b7-02", u128::from(number) * 0x9e37_79b9_7f4a_7c15);
        let context = tracelift_host::Headers::from([("traceparent", &*traceparent)]);
        pod.calls(&context).respond(&mut pod.0, 503);
    }
    let shared = pod.0.shared_data();
    let slots: Vec<_> = shared.keys().filter(|key| key.starts_with(b"tracelift.verdicts.")).collect();
    assert!((3_000..=4_096).contains(&slots.len()), "{}", slots.len());
    assert!(slots.iter().all(|slot| shared.get(slot).is_some_and(|(value, _)| value.len() <= 84)));
}

#[test]
fn one_trace_that_fails_for_ever_is_kept_within_a_bound_of_the_envoy() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 5}}));
    for _ in 0..150 {
        pod.called(&unsampled()).respond(&mut pod.0, 500);
        pod.calls(&unsampled()).respond(&mut pod.0, 500);
    }
    // One by the budget, fifty behind it; calls that may not join are charged to the budget of their own listener.
    let kept = pod.spans().len();
    assert!((51..=56).contains(&kept), "{kept} of 300");
    assert!(244 <= pod.0.counter("tracelift.joins.refused"));
}

#[test]
fn a_dropped_request_pays_at_most_two_hostcalls_for_it() {
    let mut off = drop_all();
    off["upgrade"]["signal"] = serde_json::json!({"emit": false, "accept": false});
    let (mut with, mut without) = (Pod::new("web", drop_all()), Pod::new("web", off));
    for _ in 0..20 {
        for pod in [&mut with, &mut without] {
            pod.called(&unsampled()).respond(&mut pod.0, 200);
        }
    }
    let hostcalls = |finished: &tracelift_host::Finished| finished.cost.hostcalls.iter().map(|(_, n)| n).sum::<u64>();
    let (dear, cheap) = (
        with.called(&unsampled()).respond(&mut with.0, 200),
        without.called(&unsampled()).respond(&mut without.0, 200),
    );
    assert!(hostcalls(&dear) <= hostcalls(&cheap) + 2, "{:?} {:?}", dear.cost, cheap.cost);
    assert_eq!(dear.cost.returning, cheap.cost.returning);
}
