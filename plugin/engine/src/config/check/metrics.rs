//! `metrics`: path templates that say one thing each, and names that can be names.

use super::{Findings, marks};
use crate::config::error;
use crate::config::raw;
use crate::metrics::{MAX_ROUTES, Routes, Settings, Temporality};
use crate::span::KindSetting;

/// Reads `metrics`, also where it is switched off: coverage asks for the names of routes.
pub fn settings(raw: raw::Metrics, findings: &mut Findings) -> Settings {
    let mut routes = Routes::default();
    if findings.at_most("metrics.routes", raw.routes.len(), MAX_ROUTES, "templates") {
        for (index, template) in raw.routes.iter().enumerate() {
            if let Err(reason) = routes.add(&template.0) {
                let path = ["metrics.routes[", &index.to_string(), "]"].concat();
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

/// What is odd, though it can be done.
pub fn warn(raw: &raw::Configuration, findings: &mut Findings) {
    let metrics = &raw.metrics;
    let covers = |upgrade: &raw::Upgrade| upgrade.coverage.enabled;
    let covers =
        covers(&raw.upgrade) || raw.shadow.as_ref().and_then(|shadow| shadow.upgrade.as_ref()).is_some_and(covers);
    let is_auto = raw.span_kind == KindSetting::Auto;
    let asks = "with `span_kind` = \"auto\" the listener's direction is asked for at each request; `server` or `client` costs less";
    let unused = "has no effect: neither `metrics.enabled` nor `upgrade.coverage.enabled` is true";
    let named = metrics.max_series.size().saturating_sub(1);
    let named = named.saturating_sub(named / 4);
    let is_delta = metrics.temporality == Temporality::Delta && metrics.exemplars;
    let oddities = [
        (metrics.enabled && is_auto, "metrics.enabled", asks),
        (covers && is_auto && !metrics.enabled, "upgrade.coverage.enabled", asks),
        (!metrics.enabled && !covers && !metrics.routes.is_empty(), "metrics.routes", unused),
        (!metrics.enabled && !covers && metrics.route_header.is_some() && !raw.edge, "metrics.route_header", unused),
        (
            metrics.enabled && named < metrics.routes.len(),
            "metrics.max_series",
            "three quarters of them may have a route, one for each method and status, and `metrics.routes` has more than that",
        ),
        (
            metrics.enabled && is_delta && metrics.interval_ms.get() < raw.export.scheduled_delay_ms.get(),
            "metrics.interval_ms",
            "is below `export.scheduled_delay_ms`: deltas leave out exemplars of spans that wait longer",
        ),
        (metrics.namespace.0.ends_with('.'), "metrics.namespace", "ends in a dot, and gets another one behind it"),
        (
            metrics.enabled && ["/v1/traces", "/v1/logs"].contains(&metrics.path.0.as_str()),
            "metrics.path",
            "is where a collector takes another signal",
        ),
    ];
    for (_, path, oddity) in oddities.into_iter().filter(|(is_odd, ..)| *is_odd) {
        findings.warn(path, oddity);
    }
    for (index, rule) in raw.sampling.rules.iter().enumerate() {
        if !rule.metrics && !metrics.enabled {
            let path = ["sampling.rules[", &index.to_string(), "].metrics"].concat();
            findings.warn(&path, "has no effect: `metrics.enabled` is false");
        }
    }
}
