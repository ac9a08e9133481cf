//! `metrics`: path templates that say one thing each, and names that can be names.

use super::Findings;
use crate::config::error;
use crate::config::raw;
use crate::metrics::{MAX_ROUTES, Routes, Settings};
use crate::span::KindSetting;

/// Reads `metrics`, also where it is switched off: coverage asks for the names of routes.
pub fn settings(raw: raw::Metrics, kind: KindSetting, findings: &mut Findings) -> Settings {
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
    if raw.enabled && kind == KindSetting::Auto {
        let oddity = "with `span_kind` = \"auto\" the listener's direction is asked for at each request; `server` or `client` \
                      costs less";
        findings.warn("metrics.enabled", oddity);
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
