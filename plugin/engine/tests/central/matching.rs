//! Which rule a request is decided by.

use crate::kit::{Leader, RULES};
use crate::kit::{NOW, cart, rule, rules};
use serde_json::json;
use tracelift::central::{RuleId, RuleSet, Service};
use tracelift::sampling::{Randomness, RequestFacts, Steps};

fn facts<'a>(method: &'a str, host: &'a str, path: &'a str, headers: &'a [(&'a [u8], &'a [u8])]) -> RequestFacts<'a> {
    RequestFacts { path: path.as_bytes(), method: method.as_bytes(), host: host.as_bytes(), headers }
}

/// The name of the rule that decides.
fn decided_by(set: &RuleSet, facts: &RequestFacts<'_>) -> Option<String> {
    let choice = set.decide(facts, Randomness::from_rv(0), NOW, &mut Steps::default(), |_, _| false)?;
    set.find(choice.rule).map(|rule| rule.name.clone())
}

#[test]
fn the_first_rule_by_priority_whose_every_field_matches_decides() {
    let set = Leader::with_rules(RULES).set();
    let gold: &[(&[u8], &[u8])] = &[(b"x-tenant", b"Gold-7")];
    let cases = [
        ("GET", "shop", "/healthz", gold, "probes"),
        ("get", "shop", "/HEALTH", gold, "probes"),
        ("POST", "shop", "/healthz", gold, "Default"),
        ("POST", "eu.shop.example", "/pay/now", gold, "payments"),
        ("POST", "eu.shop.example:8080", "/pay/now?card=1", gold, "payments"),
        ("POST", "EU.Shop.Example", "/Pay/now", gold, "payments"),
        ("POST", "shop.example", "/pay/now", gold, "Default"),
        ("POST", "eu.shop.example", "/pay", gold, "Default"),
        ("POST", "eu.shop.example", "/pay/now", &[], "Default"),
        ("POST", "eu.shop.example", "/pay/now", &[(b"x-tenant", b"silver")], "Default"),
        ("GET", "eu.shop.example", "/pay/now", gold, "Default"),
    ];
    for (method, host, path, headers, wanted) in cases {
        let found = decided_by(&set, &facts(method, host, path, headers));
        assert_eq!(found.as_deref(), Some(wanted), "{method} {host} {path}");
    }
}

#[test]
fn equal_priorities_go_by_name_whatever_the_order_of_arrival() {
    let names = ["beta", "alpha", "gamma"];
    let leader = Leader::with_rules(&rules(names.map(|name| rule(name, json!({})))));
    assert_eq!(leader.names(), ["alpha", "beta", "gamma"]);
    let first = rule("zeta", json!({"Priority": 99}));
    let leader = Leader::with_rules(&rules(names.map(|name| rule(name, json!({}))).into_iter().chain([first])));
    assert_eq!(leader.names(), ["zeta", "alpha", "beta", "gamma"]);
}

#[test]
fn a_rule_for_another_service_is_not_even_kept() {
    let services = [
        (json!({}), true),
        (json!({"ServiceName": "CART"}), true),
        (json!({"ServiceName": "c?rt"}), true),
        (json!({"ServiceName": "stock"}), false),
        (json!({"ServiceType": "AWS::EKS::*"}), true),
        (json!({"ServiceType": "AWS::ECS::Container"}), false),
        (json!({"ResourceARN": "arn:aws:eks:*"}), true),
        (json!({"ResourceARN": "arn:aws:ecs:*"}), false),
    ];
    let eks = Service {
        name: "cart".to_owned(),
        kind: Some("AWS::EKS::Container"),
        arn: Some("arn:aws:eks:eu-central-1:123456789012:cluster/shop".to_owned()),
    };
    for (changes, wanted) in services {
        let leader = Leader::with_rules(&rules([rule("one", changes.clone())]));
        let set = RuleSet::read(&leader.published, &eks).expect("published");
        assert_eq!(set.find(RuleId::of("one")).is_some(), wanted, "{changes}");
    }
    let leader = Leader::with_rules(&rules([rule("one", json!({"ServiceType": "AWS::*"}))]));
    let unknown = RuleSet::read(&leader.published, &cart()).expect("published");
    assert!(unknown.rules().is_empty(), "a service of no type matches * alone");
}

#[test]
fn attributes_are_those_that_a_span_has_when_its_request_begins() {
    let headers: &[(&[u8], &[u8])] =
        &[(b":scheme", b"https"), (b"user-agent", b"curl/8.0"), (b"x-tag", b"blue"), (b"x-empty", b"")];
    let request = facts("GET", "Shop.example:80", "/cart?id=7", headers);
    let cases = [
        (json!({"http.request.method": "get"}), true),
        (json!({"http.method": "POST"}), false),
        (json!({"url.path": "/cart"}), true),
        (json!({"http.target": "/cart?id=*"}), true),
        (json!({"server.address": "shop.*"}), true),
        (json!({"url.scheme": "https"}), true),
        (json!({"user_agent.original": "curl/*"}), true),
        (json!({"http.request.header.x-tag": "b?ue"}), true),
        (json!({"http.request.header.x-none": "*"}), false),
        (json!({"http.request.header.x-empty": "*"}), false),
        (json!({"enduser.id": "*"}), false),
        (json!({"url.path": "/cart", "url.scheme": "http"}), false),
    ];
    for (attributes, wanted) in cases {
        let set = Leader::with_rules(&rules([rule("one", json!({"Attributes": attributes}))])).set();
        assert_eq!(decided_by(&set, &request).is_some(), wanted, "{attributes}");
    }
}
