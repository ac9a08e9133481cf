//! Adaptive sampling: anomalies reported below the rule that decided, boosts while they last, the rule in `tracestate`.

use crate::kit::{Process, configuration, is_sampled, rule, seconds, tracestate};
use serde_json::{Value, json};
use tracelift_host::{RequestSpec, Response, SamplingService};

/// The first eight bytes of the SHA-256 of `checkout`, as `sha256sum` says.
const CHECKOUT: &str = "xrsr=c7761e58969f7edd";

fn checkout(rate: f64) -> Value {
    rule(json!({"RuleName": "checkout", "FixedRate": rate, "ReservoirSize": 0,
                "SamplingRateBoost": {"MaxRate": 1.0, "CooldownWindowMinutes": 10}}))
}

#[test]
fn the_rule_travels_with_the_trace_also_where_it_is_dropped() {
    let mut process = Process::ready([checkout(0.0)]);
    let dropped = process.root(0, "/");
    assert_eq!((is_sampled(&dropped), tracestate(&dropped)), (false, Some(CHECKOUT)));
    let mut process = Process::ready([checkout(1.0)]);
    assert_eq!(tracestate(&process.root(0, "/")), Some(&*format!("ot=th:0,{CHECKOUT}")));
    let mut plain = Process::ready([rule(json!({"RuleName": "checkout", "FixedRate": 0.0, "ReservoirSize": 0}))]);
    assert_eq!(tracestate(&plain.root(0, "/")), None, "a rule without a boost has no use for it");
    for process in [&mut process, &mut plain] {
        process.books();
    }
}

#[test]
fn failures_are_reported_below_the_rule_that_decided_the_trace() {
    // Nothing failed is kept beyond one a second: the report counts those that were shed as well.
    let mut limited = configuration();
    limited["upgrade"] = json!({"traces_per_second": 1});
    let service = SamplingService::with_rules([checkout(0.0)]);
    let mut process = Process::with(service, |builder| builder.inbound(limited.to_string()));
    process.envoy.advance(seconds(5));
    for status in [200, 200, 404, 500, 503, 500] {
        process.request(0, "/", &[], status);
    }
    // Hops of traces that began elsewhere: below a rule of ours, below an unknown one, below none.
    let caller = |sampled| ("traceparent", if sampled { SAMPLED } else { DROPPED });
    for (state, sampled, status) in [
        (Some(CHECKOUT), false, 200),
        (Some(CHECKOUT), false, 500),
        (Some(CHECKOUT), true, 500),
        (Some("xrsr=0123456789abcdef"), true, 500),
        (Some("xrsr=nonsense"), true, 500),
        (None, true, 500),
    ] {
        let mut headers = vec![caller(sampled)];
        headers.extend(state.map(|state| ("tracestate", state)));
        process.request(1, "/", &headers, status);
    }
    process.envoy.advance(seconds(12));
    assert_eq!(process.service().reported("checkout"), (6, 0, 0), "roots alone are requests of the rule");
    assert_eq!(process.service().reported_anomalies("checkout"), (9, 5, 1));
    assert!(process.service().boost_reports.iter().all(|report| report.service == "cart"));
    assert!(0 < process.counter("upgrades.shed"), "the limit on captured failures holds");
    process.books();
}

const DROPPED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-03";

#[test]
fn a_pod_counts_a_request_once_and_not_again_on_its_way_out() {
    let service = SamplingService::with_rules([checkout(0.0)]);
    let mut process = Process::with(service, |builder| {
        let mut auto = configuration();
        auto["span_kind"] = "auto".into();
        builder.inbound(auto.to_string()).outbound(auto.to_string())
    });
    process.envoy.advance(seconds(5));
    let inbound = process.root(0, "/");
    let context = inbound.request_headers.text("traceparent").expect("a context").to_owned();
    let headers = [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "stock"),
        ("traceparent", &context),
        ("tracestate", CHECKOUT),
    ];
    let call = process.envoy.open(RequestSpec::new("outbound", headers).worker(1));
    call.respond(&mut process.envoy, Response::status(500));
    process.envoy.advance(seconds(12));
    assert_eq!(process.service().reported_anomalies("checkout"), (1, 0, 0));
    process.books();
}

#[test]
fn a_boost_raises_the_rate_until_its_end() {
    let mut process = Process::ready([checkout(0.0)]);
    assert_eq!(process.roots(10, "/"), 0);
    let now = process.now();
    process.service().boost("checkout", 0.5, now, seconds(40));
    process.envoy.advance(seconds(12));
    let boosted = process.roots(200, "/");
    assert!((58..=142).contains(&boosted), "{boosted} of 200 at one half: six sigma");
    let kept = (0..50).map(|_| process.root(0, "/")).find(is_sampled).expect("one of fifty");
    assert_eq!(tracestate(&kept), Some(&*format!("ot=th:8,{CHECKOUT}")));
    process.envoy.advance(seconds(40));
    assert_eq!(process.roots(50, "/"), 0);
    process.books();
}

#[test]
fn an_exported_span_names_the_rule_at_the_root_and_below() {
    let mut process = Process::ready([checkout(1.0)]);
    process.root(0, "/");
    process.request(0, "/", &[("traceparent", SAMPLED), ("tracestate", CHECKOUT)], 200);
    process.request(0, "/", &[("traceparent", SAMPLED)], 200);
    process.envoy.advance(seconds(5));
    let spans = process.envoy.exports().spans();
    let names: Vec<_> = spans.iter().map(|span| span.attribute("aws.xray.sampling_rule").is_present()).collect();
    assert_eq!(names, [true, true, false]);
    process.books();
}
