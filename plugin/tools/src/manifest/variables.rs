//! Environment variables that people set and the filter does not read.

use tracelift::config::{self, VARIABLES};

/// What to do in place of a variable that SDKs read and the filter does not.
pub const INSTEAD: [(&str, &str); 10] = [
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Spans go to an Envoy cluster: name it in `export.cluster`, and give it this address.",
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "As OTEL_EXPORTER_OTLP_ENDPOINT; its path is `export.path`."),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "TLS is the cluster's: its `transport_socket`."),
    ("OTEL_EXPORTER_OTLP_INSECURE", "TLS is the cluster's: its `transport_socket`."),
    ("OTEL_TRACES_EXPORTER", "The filter exports OTLP only; `export.protocol` says how."),
    ("OTEL_SDK_DISABLED", "`sampling.ratio` 0 and `upgrade.traces_per_second` 0 record nothing."),
    ("OTEL_LOG_LEVEL", "The filter logs to Envoy: --component-log-level wasm:info."),
    (
        "OTEL_METRICS_EXPORTER",
        "`metrics.enabled` exports request metrics; the filter's own are at /stats/prometheus of Envoy's admin port.",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "Request metrics go to the cluster of the spans, `export.cluster`; their path is `metrics.path`.",
    ),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "Spans are bounded by the filter itself."),
];

/// Why the filter does not read the variable of this name, and what to do; `None` for one that it reads, and for those of
/// others, which it is not even given.
pub fn unread(name: &str) -> Option<String> {
    let is_given = name.starts_with("OTEL_") || name.starts_with("TRACELIFT_");
    if !is_given || VARIABLES.iter().any(|variable| variable.name == name) {
        return None;
    }
    if let Some((_, instead)) = INSTEAD.iter().find(|(known, _)| *known == name) {
        return Some(format!("the filter does not read it. {instead}"));
    }
    let known: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    let meant = config::nearest(name, &known).map(|near| format!(" Did you mean {near}?"));
    Some(format!(
        "the filter does not read it.{}",
        meant.unwrap_or_else(|| " `tracelift env` lists those it reads.".to_owned())
    ))
}
