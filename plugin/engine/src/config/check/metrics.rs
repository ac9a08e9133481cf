//! `metrics`: path templates that say one thing each, and names that can be names.

use super::{Findings, marks};
use crate::config::error;
use crate::config::raw;
use crate::metrics::{MAX_ROUTES, Routes, Settings, Temporality};
use crate::sampling::pace::By;
use crate::span::KindSetting;
use crate::upgrade::Per;

/// Reads `metrics`, also where it is switched off: coverage asks for the names of routes.
pub fn settings(raw: raw::Metrics, findings: &mut Findings) -> Settings {
    let mut routes = Routes::default();
    if findings.at_most("metrics.routes", raw.routes.len(), MAX_ROUTES, "templates") {
        for (index, template) in raw.routes.iter().enumerate() {
            let path = ["metrics.routes[", &index.to_string(), "]"].concat();
            if let Some(segment) = of_another_router(&template.0) {
                let oddity = [&error::quoted(segment), " is literal text here; a parameter is written `{id}`"].concat();
                findings.warn(&path, &oddity);
            }
            if let Err(reason) = routes.add(&template.0) {
                let found = [&error::quoted(&template.0), ": ", reason.words()].concat();
                findings.refuse(&path, &found, "a path template such as `/users/{id}/orders`, each shape once");
            }
        }
    }
    if !raw.path.0.starts_with('/') || !raw.path.0.bytes().all(|byte| byte.is_ascii_graphic()) {
        let allowed = "a path that begins with `/`, visible ASCII without spaces";
        findings.refuse("metrics.path", &error::quoted(&raw.path.0), allowed);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let namespace = raw.namespace.0;
    let starts = namespace.bytes().next().is_none_or(|byte| byte.is_ascii_alphabetic());
    if !starts || !namespace.bytes().all(legal) {
        let allowed = "a letter, then letters, digits, `_`, `.` and `-`";
        findings.refuse("metrics.namespace", &error::quoted(&namespace), allowed);
    }
    if let Some(name) = &raw.route_header {
        marks::judge("metrics.route_header", &name.0, findings);
    }
    Settings {
        routes,
        route_header: raw.route_header.map(|name| name.0),
        temporality: raw.temporality,
        histogram: raw.histogram,
        interval_ms: raw.interval_ms.get(),
        max_series: raw.max_series.size(),
        exemplars: raw.exemplars,
        namespace,
        path: raw.path.0,
    }
}

/// A segment that is a parameter in the templates of other routers.
fn of_another_router(template: &str) -> Option<&str> {
    let is_theirs = |segment: &&str| segment.starts_with([':', '<', '*']);
    template.split('/').find(is_theirs)
}

/// What is odd, though it can be done.
pub fn warn(raw: &raw::Configuration, findings: &mut Findings) {
    let metrics = &raw.metrics;
    let shadow = raw.shadow.as_ref().and_then(|shadow| shadow.upgrade.as_ref());
    let any = |is_on: fn(&raw::Upgrade) -> bool| is_on(&raw.upgrade) || shadow.is_some_and(is_on);
    let learns = any(|upgrade| upgrade.slow.enabled);
    let covers = any(|upgrade| upgrade.coverage.enabled) || learns;
    let shadow = raw.shadow.as_ref().and_then(|shadow| shadow.sampling.as_ref());
    let is_paced = |sampling: &raw::Sampling| sampling.target.by == By::Route;
    let paces = is_paced(&raw.sampling) || shadow.is_some_and(is_paced);
    let by_route = |upgrade: &raw::Upgrade| upgrade.slow.enabled && upgrade.slow.per == Per::Route;
    // A warning names the shadow's key where the live policy does not ask.
    let key = |is_live: bool, path: &str| if is_live { path.to_owned() } else { ["shadow.", path].concat() };
    if any(by_route) && metrics.routes.is_empty() && metrics.route_header.is_none() {
        let oddity = "without `metrics.routes` or `metrics.route_header` all requests of a method are one route, but for gRPC: what is \
                      usual for the slowest of them is usual for all";
        findings.warn(&key(by_route(&raw.upgrade), "upgrade.slow.per"), oddity);
    }
    if !metrics.enabled {
        without_metrics(raw, (covers, paces), findings);
    } else {
        with_metrics(raw, findings);
    }
    if raw.span_kind == KindSetting::Auto && (metrics.enabled || covers) {
        let path = match metrics.enabled {
            true => "metrics.enabled".to_owned(),
            false if learns => key(raw.upgrade.slow.enabled, "upgrade.slow.enabled"),
            false => key(raw.upgrade.coverage.enabled, "upgrade.coverage.enabled"),
        };
        let oddity = "with `span_kind` = \"auto\" the listener's direction is asked for at each request; `server` or `client` \
                      costs less";
        findings.warn(&path, oddity);
    }
}

fn without_metrics(raw: &raw::Configuration, (covers, paces): (bool, bool), findings: &mut Findings) {
    let is_unused = |path: &str, findings: &mut Findings| {
        findings.warn(
            path,
            "has no effect: none of `metrics.enabled`, `upgrade.coverage.enabled` and `upgrade.slow.enabled` is true",
        );
    };
    if !covers && !paces && !raw.metrics.routes.is_empty() {
        is_unused("metrics.routes", findings);
    }
    if !covers && raw.metrics.route_header.is_some() && !raw.edge {
        is_unused("metrics.route_header", findings);
    }
    for (index, _) in raw.sampling.rules.iter().enumerate().filter(|(_, rule)| !rule.metrics) {
        let path = ["sampling.rules[", &index.to_string(), "].metrics"].concat();
        findings.warn(&path, "has no effect: `metrics.enabled` is false");
    }
}

fn with_metrics(raw: &raw::Configuration, findings: &mut Findings) {
    let metrics = &raw.metrics;
    let all = metrics.max_series.size().saturating_sub(1);
    if all.saturating_sub(all / 4) < metrics.routes.len() {
        let oddity = "three quarters of them may have a route, one for each method and status, and `metrics.routes` has more \
                      than that";
        findings.warn("metrics.max_series", oddity);
    }
    let is_short = metrics.interval_ms.get() <= raw.export.scheduled_delay_ms.get();
    if is_short && metrics.exemplars && metrics.temporality == Temporality::Delta {
        let oddity = "is not above `export.scheduled_delay_ms`: deltas leave out exemplars of spans that wait longer";
        findings.warn("metrics.interval_ms", oddity);
    }
    if metrics.namespace.0.ends_with('.') {
        findings.warn("metrics.namespace", "ends in a dot, and gets another one behind it");
    }
    if metrics.path.0 == "/v1/traces" {
        findings.warn("metrics.path", "is where a collector takes spans");
    }
}
