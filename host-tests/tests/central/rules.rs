//! Which requests X-Ray's rules decide, and what goes upstream then.

use crate::kit::{Process, configuration, flat, is_sampled, rule, seconds, tracestate};
use serde_json::json;
use tracelift_host::{RequestSpec, Response, SamplingService};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";

#[test]
fn rules_decide_what_no_caller_has_decided() {
    let mut process = Process::ready([flat("all", 1, "/cart*", 1.0), flat("none", 2, "*", 0.0)]);
    for worker in [0, 1] {
        let kept = process.root(worker, "/cart?id=7");
        assert!(is_sampled(&kept));
        assert_eq!(tracestate(&kept), Some("ot=th:0"));
        let dropped = process.root(worker, "/stock");
        assert!(!is_sampled(&dropped));
        assert_eq!(tracestate(&dropped), None);
    }
    for (flags, path, wanted) in [("03", "/stock", true), ("02", "/cart", false)] {
        let finished = process.request(0, path, &[("traceparent", &format!("{CALLER}{flags}"))], 200);
        assert_eq!(is_sampled(&finished), wanted, "the caller's word stands");
    }
    assert_eq!(["xray", "parent"].map(|by| process.counter(&format!("decisions.sampled.{by}"))), [2, 1]);
    assert_eq!(["xray", "parent"].map(|by| process.counter(&format!("decisions.dropped.{by}"))), [2, 1]);
    process.envoy.advance(seconds(5));
    let spans = process.envoy.exports().spans();
    let by_rule = spans.iter().filter(|span| span.attribute("tracelift.sampling.reason") == "xray");
    assert!(by_rule.clone().all(|span| span.attribute("aws.xray.sampling_rule") == "all"));
    assert_eq!((by_rule.count(), spans.len()), (2, 3));
    process.books();
}

#[test]
fn a_share_of_the_traces_is_sampled_by_r_and_says_so() {
    let mut process = Process::ready([flat("half", 1, "*", 0.5)]);
    let mut kept = 0;
    for n in 0..400 {
        let finished = process.root(n % 2, "/");
        let context = finished.request_headers.traceparent();
        let r = u64::from_str_radix(&context.trace_id[18..], 16).expect("hex");
        assert_eq!(is_sampled(&finished), 1 << 55 <= r, "the trace-id decides");
        assert_eq!(tracestate(&finished), is_sampled(&finished).then_some("ot=th:8"));
        kept += usize::from(is_sampled(&finished));
    }
    assert!((140..=260).contains(&kept), "{kept} of 400 at one half: six sigma");
    process.books();
}

#[test]
fn until_rules_came_and_when_they_are_an_hour_old_the_configuration_decides() {
    let mut own = configuration();
    own["sampling"]["rules"] = json!([{"match": {"path": {"prefix": "/own"}}, "ratio": 1}]);
    let service = SamplingService::with_rules([flat("all but own", 1, "/own*", 0.0), flat("rest", 2, "*", 1.0)]);
    let mut process = Process::with(service, |builder| builder.inbound(own.to_string()));
    let decided = |process: &mut Process| ["/own", "/other"].map(|path| is_sampled(&process.root(0, path)));
    assert_eq!(decided(&mut process), [true, false], "by the configuration");
    process.envoy.advance(seconds(5));
    assert_eq!(decided(&mut process), [false, true], "by X-Ray");
    process.service().trouble(usize::MAX >> 40, 503, "");
    process.envoy.advance(seconds(3500));
    assert_eq!(decided(&mut process), [false, true], "by X-Ray still");
    process.envoy.advance(seconds(200));
    assert_eq!(decided(&mut process), [true, false], "by the configuration again");
    assert_eq!(process.counter("central.fallback"), 4);
    process.service().heal();
    process.envoy.advance(seconds(400));
    assert_eq!(decided(&mut process), [false, true], "by X-Ray again");
    process.books();
}

#[test]
fn a_change_of_rules_is_in_force_after_the_next_report() {
    let mut process = Process::ready([flat("first", 1, "*", 0.0)]);
    assert_eq!(process.roots(4, "/"), 0);
    let now = process.now();
    process.service().change_rules([flat("second", 1, "*", 1.0)], now);
    process.envoy.advance(seconds(12));
    assert_eq!(process.roots(4, "/"), 4);
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 2);
    let now = process.now();
    process.service().change_rules([], now);
    process.envoy.advance(seconds(12));
    assert_eq!(process.roots(4, "/"), 0, "no rules are left, so the ratio decides");
    assert_eq!(process.counter("decisions.dropped.ratio"), 4);
    assert_eq!(process.envoy.gauge("tracelift.central.rules"), 0);
    process.books();
}

#[test]
fn forty_rules_in_pages_of_seven_are_one_set() {
    let rules = (1..=40).map(|n| flat(&format!("rule {n}"), n, &format!("/{n}"), f64::from(n % 2)));
    let mut service = SamplingService::with_rules(rules);
    service.page_size = 7;
    let mut process = Process::with(service, |builder| builder.inbound(configuration().to_string()));
    process.envoy.advance(seconds(5));
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 6);
    assert_eq!(process.envoy.gauge("tracelift.central.rules"), 40);
    for n in 1..=40 {
        assert_eq!(is_sampled(&process.root(n % 2, &format!("/{n}"))), n % 2 == 1, "/{n}");
    }
    process.envoy.advance(seconds(10));
    assert_eq!(process.service().calls_of("/SamplingTargets"), 2, "25 rules and 15");
    process.books();
}

#[test]
fn the_edge_asks_the_rules_whatever_a_client_says() {
    let mut edge = configuration();
    edge["edge"] = true.into();
    let service = SamplingService::with_rules([flat("all", 1, "*", 1.0)]);
    let mut process = Process::with(service, |builder| builder.inbound(edge.to_string()));
    process.envoy.advance(seconds(5));
    let finished = process.request(0, "/", &[("traceparent", &format!("{CALLER}02"))], 200);
    assert!(is_sampled(&finished));
    process.books();
}

#[test]
fn a_caller_of_x_ray_that_defers_is_decided_by_the_rules() {
    let mut asked = configuration();
    asked["propagators"] = json!(["xray", "tracecontext"]);
    let service = SamplingService::with_rules([flat("all", 1, "*", 1.0)]);
    let mut process = Process::with(service, |builder| builder.inbound(asked.to_string()));
    process.envoy.advance(seconds(5));
    for (sampled, wanted) in [("?", true), ("0", false), ("1", true)] {
        let header = format!("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled={sampled}");
        let finished = process.request(0, "/", &[("x-amzn-trace-id", &header)], 200);
        assert_eq!(is_sampled(&finished), wanted, "{sampled}");
    }
    assert_eq!(process.counter("decisions.sampled.xray"), 1);
    process.books();
}

#[test]
fn listeners_of_one_service_ask_once_and_share_what_they_know() {
    let service = SamplingService::with_rules([rule(json!({"ReservoirSize": 3, "FixedRate": 0.0}))]);
    let mut outbound = configuration();
    outbound["span_kind"] = "client".into();
    let mut process =
        Process::with(service, |builder| builder.inbound(configuration().to_string()).outbound(outbound.to_string()));
    process.envoy.advance(seconds(13));
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 1);
    let mut sampled = 0;
    for n in 0..20 {
        let listener = if n % 2 == 0 { "inbound" } else { "outbound" };
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "cart")];
        let request = process.envoy.open(RequestSpec::new(listener, headers).worker(n / 10));
        let finished = request.respond(&mut process.envoy, Response::status(200));
        sampled += usize::from(is_sampled(&finished));
    }
    assert_eq!(sampled, 3);
    process.envoy.advance(seconds(12));
    assert_eq!(process.service().reported("Default"), (20, 3, 0));
    process.books();
}
