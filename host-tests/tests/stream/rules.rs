//! Rules: what they match, which one counts, and what they set.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::Headers;

use crate::kit::{SAMPLED, Story, get, keep_failures, plain};

fn with_rules(rules: Value) -> Value {
    json!({
        "sampling": {"ratio": 0, "rules": rules},
        "upgrade": {"http_status": ["5xx"], "latency_ms": 2_000, "traces_per_second": 1_000_000},
    })
}

fn request(method: &str, path: &str, host: &str, more: &[(&str, &str)]) -> Headers {
    let pseudo = [(":method", method), (":path", path), (":authority", host), (":scheme", "https")];
    pseudo.iter().chain(more).copied().collect()
}

#[test]
fn the_first_rule_that_matches_in_all_its_parts_decides() {
    let mut story = Story::new(with_rules(json!([
        {"name": "probes", "match": {"path": {"exact": "/healthz"}}, "ratio": 0, "upgrade": false},
        {"name": "gold", "match": {"path": {"prefix": "/pay"}, "method": ["POST", "PUT"],
            "host": {"suffix": ".shop.example"}, "headers": {"X-Tenant": {"exact": "gold"}}}, "ratio": 1},
        {"name": "pay", "match": {"path": {"prefix": "/pay"}}, "ratio": 0},
        {"name": "orders", "match": {"path": {"regex": "/orders/[0-9]+"}}, "ratio": 1},
        {"name": "debug", "match": {"headers": {"x-debug": {"present": true}, "x-live": {"present": false}}}, "ratio": 1},
        {"name": "search", "match": {"path": {"contains": "search"}, "host": {"exact": "www.shop.example"}}, "ratio": 1},
        {"name": "deletes", "match": {"method": ["DELETE"]}},
    ])));
    let gold = [("x-tenant", "gold")];
    let cases: [(Headers, Option<&str>); 22] = [
        (request("GET", "/healthz", "a", &[]), None),
        (request("GET", "/healthz?deep=1", "a", &[]), None),
        (request("POST", "/pay/now", "eu.shop.example", &gold), Some("gold")),
        (request("PUT", "/pay", "EU.Shop.Example:8443", &gold), Some("gold")),
        (request("GET", "/pay/now", "eu.shop.example", &gold), None),
        (request("POST", "/pay/now", "eu.shop.example", &[]), None),
        (request("POST", "/pay/now", "eu.shop.example", &[("x-tenant", "golden")]), None),
        (request("POST", "/pay/now", "shop.example", &gold), None),
        (request("POST", "/pay/now", "eu.shop.example", &[("x-tenant", "gold"), ("x-tenant", "tin")]), None),
        (request("GET", "/orders/42", "a", &[]), Some("orders")),
        (request("GET", "/orders/42?page=2", "a", &[]), Some("orders")),
        (request("GET", "/orders/42/items", "a", &[]), None),
        (request("GET", "/v1/orders/42", "a", &[]), None),
        (request("GET", "/", "a", &[("x-debug", "")]), Some("debug")),
        (request("GET", "/", "a", &[("x-debug", "1"), ("x-live", "1")]), None),
        (request("GET", "/pay", "a", &[("x-debug", "1")]), None),
        (request("GET", "/v1/search", "www.shop.example", &[]), Some("search")),
        (request("GET", "/v1/search", "WWW.shop.example:80", &[]), Some("search")),
        (request("GET", "/v1/?search", "www.shop.example", &[]), None),
        (request("DELETE", "/", "a", &[]), None),
        (Headers::new(), None),
        (Headers::from([(":path", &b"/orders/4\xff2"[..]), (":method", b"G\0T"), (":authority", b"\xfe")]), None),
    ];
    let (mut by_rule, mut dropped_by_rule) = (0, 0);
    for (headers, rule) in cases {
        let sent = story.hop("inbound", headers.clone());
        assert_eq!(sent.traceparent().is_sampled(), rule.is_some(), "{headers:?}");
        assert_eq!(sent.text("tracestate"), rule.map(|_| "ot=th:0"));
        let spans = story.spans();
        assert_eq!(spans.len(), usize::from(rule.is_some()));
        for span in spans {
            assert_eq!(span.attribute("tracelift.sampling.rule"), rule.unwrap_or_default(), "{headers:?}");
            assert_eq!(span.attribute("tracelift.sampling.reason"), "rule");
        }
        by_rule += u64::from(rule.is_some());
        let path = headers.get(":path").unwrap_or_default();
        let dropping = rule.is_none() && (path.starts_with(b"/healthz") || path.starts_with(b"/pay"));
        dropped_by_rule += u64::from(dropping);
    }
    assert_eq!(story.count("decisions.sampled.rule"), by_rule);
    assert_eq!(story.count("decisions.dropped.rule"), dropped_by_rule);
}

#[test]
fn a_rule_does_not_overrule_a_parent_but_does_in_independent_mode() {
    let rules = json!([{"name": "probes", "match": {"path": {"exact": "/items"}}, "ratio": 0, "upgrade": false}]);
    let mut story = Story::new(with_rules(rules.clone()));
    assert!(story.hop("inbound", get([("traceparent", SAMPLED)])).traceparent().is_sampled());
    let span = story.span();
    assert_eq!(span.attribute("tracelift.sampling.reason"), "parent");
    assert_eq!(span.attribute("tracelift.sampling.rule"), "probes", "it matched, though it did not decide");

    let independent = json!({"sampling": {"mode": "independent", "ratio": 1, "rules": rules}});
    let mut story = Story::new(independent);
    assert!(!story.hop("inbound", get([("traceparent", SAMPLED)])).traceparent().is_sampled());
    assert!(story.hop("inbound", plain("GET", "/other")).traceparent().is_sampled());
    story.span();
}

#[test]
fn a_probe_is_dropped_and_never_upgraded_however_it_ends() {
    let rules = json!([{"name": "probes", "match": {"path": {"exact": "/healthz"}}, "ratio": 0, "upgrade": false}]);
    let mut story = Story::new(with_rules(rules));
    for path in ["/healthz", "/other"] {
        story.request("inbound", plain("GET", path)).respond(&mut story, 503);
        story.request("inbound", plain("GET", path)).client_disconnect(&mut story);
        let slow = story.request("inbound", plain("GET", path));
        story.advance(Duration::from_secs(3));
        slow.respond(&mut story, 200);
        let kept = if path == "/other" { 3 } else { 0 };
        assert_eq!(story.spans().len(), kept, "{path}");
    }
    let names = ["http_status", "latency", "response_flags"].map(|name| (format!("upgrades.{name}"), 1));
    assert_eq!(story.counts_under("upgrades."), names);
}

#[test]
fn a_sampled_probe_that_fails_is_exported_as_the_head_said_and_not_as_an_upgrade() {
    let rules = json!([{"name": "probes", "match": {"path": {"exact": "/items"}}, "upgrade": false}]);
    let mut story = Story::new(with_rules(rules));
    let headers = get([("traceparent", SAMPLED), ("tracestate", "ot=th:0")]);
    story.request("inbound", headers).respond(&mut story, 503);
    let span = story.span();
    assert!(!span.attribute("tracelift.upgrade.trigger").is_present());
    assert_eq!(span.attribute("error.type"), "503");
}

#[test]
fn a_rule_sets_its_own_latency() {
    let mut story = Story::new(with_rules(json!([
        {"name": "payments", "match": {"path": {"prefix": "/pay"}}, "latency_ms": 800},
        {"name": "reports", "match": {"path": {"prefix": "/reports"}}, "latency_ms": 30_000},
        {"name": "streams", "match": {"path": {"prefix": "/stream"}}, "upgrade": false},
    ])));
    for (path, milliseconds, upgraded) in [
        ("/pay", 799, false),
        ("/pay", 800, true),
        ("/reports", 29_999, false),
        ("/reports", 30_000, true),
        ("/stream", 60_000, false),
        ("/", 1_999, false),
        ("/", 2_000, true),
    ] {
        let request = story.request("inbound", plain("GET", path));
        story.advance(Duration::from_millis(milliseconds));
        request.respond(&mut story, 200);
        let spans = story.spans();
        assert_eq!(spans.len(), usize::from(upgraded), "{path} in {milliseconds} ms");
        for span in spans {
            assert_eq!(span.attribute("tracelift.upgrade.trigger"), "latency");
            assert_eq!(span.span.trace_state, "ot=th:0");
            let took = span.span.end_time_unix_nano - span.span.start_time_unix_nano;
            assert_eq!(took, milliseconds * 1_000_000);
        }
    }
}

#[test]
fn without_a_latency_limit_nothing_is_too_slow() {
    let mut story = Story::new(keep_failures());
    let request = story.request("inbound", plain("GET", "/"));
    story.advance(Duration::from_secs(3_600));
    request.respond(&mut story, 200);
    assert_eq!(story.spans(), []);
}
