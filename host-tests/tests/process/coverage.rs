//! Coverage, marks and the audit of the release module, over the workers of a process.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Envoy, Headers, RequestSpec, Response};

use crate::kit::{COLLECTOR, closed_books, get, process, seconds, started};

fn with(upgrade: Value, workers: usize) -> Envoy {
    let configuration = json!({
        "span_kind": "server", "sampling": {"ratio": 0}, "upgrade": upgrade,
        "metrics": {"routes": ["/users/{id}", "/exports/{id}/rare"], "route_header": "x-route"},
    });
    started(process(configuration.to_string()).workers(workers).collector(COLLECTOR, Duration::from_millis(20)))
}

/// What a request to that path is kept for.
fn kept(envoy: &mut Envoy, worker: usize, path: &str, answer: Response) -> Option<String> {
    let finished = envoy.open(RequestSpec::new("inbound", get(path)).worker(worker)).respond(envoy, answer);
    assert!(!finished.vm_failed);
    finished.filter_state("tracelift.decision").map(|note| String::from_utf8_lossy(note).into_owned())
}

#[test]
fn the_first_of_each_kind_is_kept_once_in_a_process_and_again_in_its_next_window() {
    let mut envoy = with(json!({"coverage": {"enabled": true, "per_window": 2, "window_s": 60}}), 4);
    for round in 1..=2 {
        for number in 0..40 {
            for (path, code) in [("/users/7", 200), ("/users/7", 404), ("/elsewhere", 200)] {
                kept(&mut envoy, number % 4, path, Response::status(code));
            }
        }
        envoy.advance(seconds(61));
        assert_eq!(envoy.counter("tracelift.upgrades.coverage"), round * 6, "three kinds, two of each");
        assert_eq!(envoy.counter("tracelift.coverage.kept"), round * 6);
    }
    let spans = envoy.exports().spans();
    assert_eq!(spans.len(), 12);
    for span in spans {
        assert_eq!(span.attribute("tracelift.upgrade.trigger"), "coverage");
        assert!(span.span.trace_state.contains("th:0"), "{}", span.span.trace_state);
    }
    closed_books(&mut envoy);
}

#[test]
fn what_the_application_marks_is_kept_and_its_caller_hears_of_it() {
    let mut envoy = with(json!({"response_headers": {"x-keep": {"exact": "yes"}}}), 1);
    let marked = |value: &str| Response::status(200).header("x-keep", value);
    assert_eq!(kept(&mut envoy, 0, "/cart", marked("no")), None);
    assert_eq!(kept(&mut envoy, 0, "/cart", marked("yes")).as_deref(), Some("upgraded.response_header"));
    let request = envoy.request("inbound", Headers::from(get("/cart")));
    let finished = request.respond(&mut envoy, marked("yes"));
    let heard = finished.response_headers.text("x-tracelift-signal").map(str::to_owned);
    assert!(heard.is_some_and(|mark| mark.starts_with("2;upgraded;")));
    envoy.advance(seconds(3));
    assert_eq!(envoy.counter("tracelift.upgrades.response_header"), 2);
    closed_books(&mut envoy);
}

#[test]
fn more_kinds_than_a_worker_remembers_cost_the_budget_and_no_more() {
    let mut envoy = with(json!({"coverage": {"enabled": true, "traces_per_minute": 30}}), 2);
    let mut requests = 0;
    for second in 0..60 {
        for number in 0..60 {
            let named = Response::status(200 + number as u16).header("x-route", format!("/{}", second * 7 + number));
            kept(&mut envoy, number % 2, "/cart", named);
            requests += 1;
        }
        envoy.advance(seconds(1));
    }
    let spent = envoy.counter("tracelift.coverage.kept");
    assert!((57..=61).contains(&spent), "a minute's worth at once, and a minute: {spent} of {requests}");
    closed_books(&mut envoy);
}

#[test]
fn a_route_of_one_in_a_million_is_kept_at_ratio_zero() {
    const REQUESTS: usize = 1_000_000;
    const PLANTED: usize = 613_007;
    let mut envoy = with(json!({"coverage": {"enabled": true, "window_s": 3600}}), 2);
    let mut seen = Vec::new();
    for number in 0..REQUESTS {
        let path = if number == PLANTED { "/exports/9/rare" } else { "/users/7" };
        if let Some(reason) = kept(&mut envoy, number % 2, path, Response::status(200)) {
            seen.push((number, reason));
        }
        if number % 1000 == 0 {
            envoy.advance(seconds(1));
            envoy.forget_callouts();
        }
    }
    // The first of all, and the one; for the others their kind is known, however many there are.
    let reason = || "upgraded.coverage".to_owned();
    assert_eq!(seen, [(0, reason()), (PLANTED, reason())]);
    envoy.advance(seconds(3));
    assert_eq!(envoy.counter("tracelift.decisions.dropped.ratio"), REQUESTS as u64, "the head has sampled none");
    closed_books(&mut envoy);
}

#[test]
fn the_audit_of_all_workers_is_one_and_says_that_counts_are_right() {
    let upgrade = json!({"coverage": {"enabled": true, "window_s": 10}});
    let configuration = json!({"span_kind": "server", "sampling": {"ratio": 0.25}, "upgrade": upgrade});
    let mut envoy =
        started(process(configuration.to_string()).workers(4).collector(COLLECTOR, Duration::from_millis(20)));
    for number in 0..8000 {
        let code = if number % 40 == 0 { 503 } else { 200 };
        kept(&mut envoy, number % 4, "/cart", Response::status(code));
        if number % 100 == 0 {
            envoy.advance(Duration::from_millis(500));
            envoy.forget_callouts();
        }
    }
    envoy.advance(seconds(5));
    let of = |name: &str| envoy.counter(&format!("tracelift.audit.{name}"));
    assert_eq!((of("requests.ok"), of("requests.failed"), of("estimated.failed")), (7800, 200, 200));
    let difference = of("estimated.ok").abs_diff(of("requests.ok"));
    assert!(difference * difference < 16 * of("variance.ok"), "{difference}");
    assert!(envoy.gauge("tracelift.audit.z_centi") < 400);
    closed_books(&mut envoy);
}
