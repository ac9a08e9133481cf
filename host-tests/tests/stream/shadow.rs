//! A second policy looks on: it counts what it would do, and exports nothing.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::Response;

use crate::kit::{DROPPED, Story, get, keep_failures, plain};

/// The live policy drops everything and upgrades what fails; beside it this shadow.
fn beside(shadow: Value) -> Story {
    let mut configuration = keep_failures();
    configuration["shadow"] = shadow;
    Story::new(configuration)
}

fn answered(story: &mut Story, statuses: &[u16]) {
    for status in statuses {
        let request = story.request("inbound", plain("GET", "/items"));
        request.respond(story, *status);
    }
}

fn counted(story: &mut Story) -> Vec<(String, u64)> {
    let counts = story.counts_under("shadow.").into_iter();
    counts.filter(|(name, _)| name != "shadow.bytes").map(|(name, n)| (name["shadow.".len()..].to_owned(), n)).collect()
}

fn named(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

#[test]
fn a_wider_shadow_counts_what_it_would_keep_and_exports_nothing() {
    let mut story = beside(json!({ "sampling": { "ratio": 1 } }));
    let forwarded = story.hop("inbound", plain("GET", "/items"));
    assert_eq!(forwarded.traceparent().flags & 1, 0, "what leaves is the live decision");
    answered(&mut story, &[200, 503, 500]);
    let spans = story.spans();
    assert_eq!(spans.len(), 2, "the failures, which the live policy upgrades");
    assert_eq!(counted(&mut story), named(&[("decisions.sampled", 4), ("disagreements.kept", 2), ("spans", 4)]));
    let before_the_first_span = 700;
    assert!(before_the_first_span * 2 < story.count("shadow.bytes"));
}

#[test]
fn a_narrower_shadow_counts_what_it_would_lose_and_upgrade() {
    let mut story = Story::new(json!({
        "sampling": { "ratio": 1 },
        "shadow": { "sampling": { "ratio": 0 }, "upgrade": { "http_status": [429] } },
    }));
    answered(&mut story, &[200, 429, 503]);
    assert_eq!(story.spans().len(), 3);
    let wanted = [("decisions.dropped", 3), ("disagreements.dropped", 2), ("spans", 1), ("upgrades", 1)];
    assert_eq!(counted(&mut story), named(&wanted));
}

#[test]
fn the_shadow_has_a_budget_of_its_own() {
    let mut story = beside(json!({ "upgrade": { "traces_per_second": 1 } }));
    answered(&mut story, &[500; 5]);
    assert_eq!(story.spans().len(), 5);
    let wanted =
        [("decisions.dropped", 5), ("disagreements.dropped", 4), ("spans", 1), ("upgrades", 1), ("upgrades_shed", 4)];
    assert_eq!(counted(&mut story), named(&wanted));
}

#[test]
fn rules_and_latency_of_the_shadow_are_its_own() {
    let rules = json!([
        { "match": { "headers": { "x-tenant": { "exact": "gold" } } }, "ratio": 1 },
        { "match": { "path": { "prefix": "/slow" } }, "latency_ms": 100 },
    ]);
    let mut story = beside(json!({ "sampling": { "ratio": 0, "rules": rules } }));
    story.hop("inbound", get([("x-tenant", "gold")]));
    for (path, took) in [("/slow", 100), ("/slow", 99), ("/items", 100)] {
        let request = story.request("inbound", plain("GET", path));
        story.advance(Duration::from_millis(took));
        request.respond(&mut story, 200);
    }
    assert_eq!(story.spans().len(), 0);
    let wanted =
        [("decisions.dropped", 3), ("decisions.sampled", 1), ("disagreements.kept", 2), ("spans", 2), ("upgrades", 1)];
    assert_eq!(counted(&mut story), named(&wanted));
}

#[test]
fn without_a_shadow_nothing_is_counted_and_with_one_a_dropped_request_costs_no_hostcall_more() {
    let cost = |story: &mut Story| {
        for _ in 0..20 {
            story.hop("inbound", get([("traceparent", DROPPED)]));
        }
        let request = story.request("inbound", get([("traceparent", DROPPED)]));
        request.respond(story, Response::status(200).body("a page")).cost
    };
    let mut without = Story::new(keep_failures());
    let mut with = beside(json!({ "sampling": { "ratio": 0.5 }, "upgrade": { "http_status": ["4xx", "5xx"] } }));
    let (cheap, dear) = (cost(&mut without), cost(&mut with));
    assert_eq!(dear.hostcalls, cheap.hostcalls);
    assert_eq!(dear.returning, cheap.returning);
    assert!(dear.fuel < cheap.fuel + 2_500, "{} instead of {}", dear.fuel, cheap.fuel);
    assert_eq!(counted(&mut without), []);
    assert_eq!(counted(&mut with), named(&[("decisions.dropped", 21)]));
}

#[test]
fn a_shadow_that_goes_with_a_new_configuration_leaves_its_requests_alone() {
    let mut story = beside(json!({ "sampling": { "ratio": 1 } }));
    let request = story.request("inbound", plain("GET", "/items"));
    let without = keep_failures().to_string();
    story.update_config("inbound", without).unwrap_or_else(|refused| panic!("{refused}"));
    request.respond(&mut story, 503);
    story.drain();
    answered(&mut story, &[200]);
    assert_eq!(story.spans().len(), 1);
    assert_eq!(counted(&mut story), named(&[("decisions.sampled", 1), ("spans", 1)]));
}
