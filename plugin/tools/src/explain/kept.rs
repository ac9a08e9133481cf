//! How coverage decides about a request, and in which series it is counted, in words.

use super::facts::Facts;
use super::{Answer, Request};
use tracelift::http::GrpcStatus;
use tracelift::metrics::{Waiting, is_name};
use tracelift::policy::Policy;
use tracelift::span::{Value, is_grpc};
use tracelift::upgrade::coverage::CoveragePolicy;
use tracelift::upgrade::{Per, SlowPolicy, Trigger};

/// A series as its attributes say it, without the namespace.
pub fn series(waiting: &Waiting) -> String {
    let name = String::from_utf8_lossy(&waiting.name);
    let mut attributes = Vec::new();
    waiting.labels.attributes(&name, &mut |key, value| {
        attributes.push(match value {
            Value::Text(text) => format!("{key}={text}"),
            Value::Int(number) => format!("{key}={number}"),
            other => format!("{key}={other:?}"),
        });
    });
    format!("{}{{{}}}", waiting.labels.instrument().name(), attributes.join(", "))
}

/// Where the route of a request comes from, or why it has none.
pub fn route(policy: &Policy, request: &Request, answer: &Answer) -> String {
    if is_grpc(request.header("content-type").map(str::as_bytes)) {
        return "gRPC: by its method, once an answer has shown that the server knows it".to_owned();
    }
    let Some(settings) = policy.routes() else { return String::new() };
    let named = settings.route_header.as_deref().and_then(|name| {
        let (_, route) = answer.headers.iter().find(|(known, _)| known == name)?;
        Some((name, route.as_str()))
    });
    let unusable = match named {
        Some((name, route)) => match unusable(route) {
            None => return format!("route {route}: the answer says so in `{name}`"),
            Some(reason) => format!(" (the value of `{name}` in the answer is not a route: {reason})"),
        },
        None => String::new(),
    };
    let said = match settings.routes.find(request.path.as_bytes()) {
        Some(place) => format!("route {}: metrics.routes[{place}]", settings.routes.template(place)),
        None if settings.routes.templates().is_empty() => "no route: `metrics.routes` is empty".to_owned(),
        None => "no route: no template of `metrics.routes` matches the path".to_owned(),
    };
    said + &unusable
}

/// Why the filter does not take what an answer says for a route.
fn unusable(route: &str) -> Option<&'static str> {
    if !route.starts_with('/') {
        Some("it does not begin with `/`")
    } else if !is_name(route.as_bytes()) {
        Some("it has more than 256 bytes, or others than visible ASCII")
    } else {
        None
    }
}

/// What coverage says; nothing where it is off.
pub fn covered(policy: &Policy, facts: &Facts, answer: &Answer, route: impl Fn() -> String) -> Option<String> {
    let coverage = policy.upgrade.coverage.as_ref()?;
    if policy.sampling.rule(facts.rule).is_some_and(|rule| !rule.upgrade) {
        return Some("not looked at: its rule switches upgrades off".to_owned());
    }
    let is_success = match (answer.status, answer.grpc_status) {
        (Some(200), Some(status)) => status == GrpcStatus::OK,
        (Some(status), None) => (100..400).contains(&status),
        _ => false,
    };
    let is_root = policy.edge || facts.came.parent.is_none();
    if !coverage.looks(is_root, is_success) {
        let place = if is_success { "a success at a hop" } else { "a hop" };
        return Some(format!("not looked at: {place} where no trace begins (`upgrade.coverage.where`)"));
    }
    Some(format!("{}. Its kind: its method, {}, and its status{}", judged(facts, coverage), route(), octave(coverage)))
}

/// What is slow for a request like this one; nothing where that is not learned.
pub fn slow(policy: &Policy, facts: &Facts, route: impl Fn() -> String) -> Option<String> {
    let SlowPolicy { factor, quantile, min_ms, per } = policy.upgrade.slow?;
    if policy.sampling.rule(facts.rule).is_some_and(|rule| !rule.upgrade) {
        return Some("not judged: its rule switches upgrades off".to_owned());
    }
    let of = match per {
        Per::Route => format!("its method, and {}", route()),
        Per::Side => "every request on this side".to_owned(),
    };
    Some(format!(
        "not judged: this Envoy has just started. In a running one the time to the answer's head is slow above {min_ms} ms and {factor} \
         times the {quantile} quantile of all requests, once 1,000 are known. They are counted by: {of}"
    ))
}

fn octave(coverage: &CoveragePolicy) -> &'static str {
    if coverage.latency { ", and the octave of the time to its answer" } else { "" }
}

fn judged(facts: &Facts, coverage: &CoveragePolicy) -> String {
    let CoveragePolicy { per_window, window_s, .. } = coverage;
    match facts.covered {
        Some(true) => format!(
            "kept: in an Envoy that has just started it is one of the first {per_window} of its kind in {window_s} s; \
             `upgrade.coverage.traces_per_minute` had room"
        ),
        Some(false) => "refused: `upgrade.coverage.traces_per_minute` is spent".to_owned(),
        None if facts.trigger.is_some_and(|name| name != Trigger::Coverage.name()) => {
            "nothing to keep: another trigger keeps it, and it is an example of its kind without a charge".to_owned()
        }
        None => "nothing to keep: this Envoy has had its examples".to_owned(),
    }
}

/// In which series the request is counted, or why in none; nothing where metrics are off.
pub fn counted(policy: &Policy, facts: &Facts, series: Option<String>, route: impl Fn() -> String) -> Option<String> {
    let settings = policy.metrics.as_ref()?;
    let rule = policy.sampling.rule(facts.rule).filter(|rule| !rule.metrics);
    let dot = if settings.namespace.is_empty() { "" } else { "." };
    Some(match (series, rule) {
        (Some(series), _) => format!("counted in {}{dot}{series}; {}", settings.namespace, route()),
        (None, Some(rule)) => format!("not counted: rule \"{}\" says `metrics`: false", rule.name),
        (None, None) => "not counted: the filter answered it itself".to_owned(),
    })
}
