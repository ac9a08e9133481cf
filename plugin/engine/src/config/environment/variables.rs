//! Every variable that the filter reads.

use super::ON_INVALID_CONFIG;

/// One variable that the filter reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of the configuration that it fills; `None` where it fills none.
    pub fills: Option<&'static str>,
    /// A stronger variable of the same meaning.
    pub weaker_than: Option<&'static str>,
    /// What it does.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, fills: &'static str, meaning: &'static str) -> Variable {
    Variable { name, fills: Some(fills), weaker_than: None, meaning }
}

/// Every variable that the filter reads. A table for tools and tests: the module, which does not look at it, is without it.
pub const VARIABLES: [Variable; 26] = {
    const TRACES_WINS: &str = "The same, weaker than the one with TRACES in its name.";
    const fn weaker(name: &'static str, fills: &'static str, than: &'static str) -> Variable {
        Variable { name, fills: Some(fills), weaker_than: Some(than), meaning: TRACES_WINS }
    }
    [
        variable("OTEL_SERVICE_NAME", "service_name", "service.name of the exported spans."),
        variable(
            "OTEL_RESOURCE_ATTRIBUTES",
            "resource",
            "Attributes of the resource: key=value pairs, joined by commas.",
        ),
        variable(
            "OTEL_TRACES_SAMPLER",
            "sampling.ratio",
            "Mode and ratio: (parentbased_)always_on, always_off or traceidratio.",
        ),
        variable(
            "OTEL_TRACES_SAMPLER_ARG",
            "sampling.ratio",
            "The ratio of traceidratio, which means `consistent` here.",
        ),
        variable("OTEL_PROPAGATORS", "propagators", "tracecontext, xray, b3, b3multi; joined by commas."),
        variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "export.protocol", "http/protobuf or grpc."),
        weaker("OTEL_EXPORTER_OTLP_PROTOCOL", "export.protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
        variable("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "export.compression", "none or gzip."),
        weaker("OTEL_EXPORTER_OTLP_COMPRESSION", "export.compression", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"),
        variable(
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "export.headers",
            "Headers of each export: key=value pairs, joined by commas.",
        ),
        weaker("OTEL_EXPORTER_OTLP_HEADERS", "export.headers", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "export.timeout_ms", "Milliseconds for one attempt."),
        weaker("OTEL_EXPORTER_OTLP_TIMEOUT", "export.timeout_ms", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"),
        variable("OTEL_BSP_EXPORT_TIMEOUT", "export.timeout_ms", "Milliseconds for one attempt, where that is less."),
        variable(
            "OTEL_BSP_SCHEDULE_DELAY",
            "export.scheduled_delay_ms",
            "Longest wait before a partial batch is sent, in milliseconds.",
        ),
        variable("OTEL_BSP_MAX_QUEUE_SIZE", "export.max_queue_size", "Spans that wait for export, a worker."),
        variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "export.max_export_batch_size", "Spans in one request."),
        variable(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "metrics.temporality",
            "cumulative, delta or lowmemory, which is delta for histograms.",
        ),
        variable(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "metrics.histogram",
            "explicit_bucket_histogram or base2_exponential_bucket_histogram.",
        ),
        variable("OTEL_METRIC_EXPORT_INTERVAL", "metrics.interval_ms", "Milliseconds between two exports of metrics."),
        variable(
            "TRACELIFT_RECALL_TOKEN",
            "upgrade.recall.token",
            "The secret that the mesh shares for recall; among host_env_keys it is in no /config_dump.",
        ),
        variable(
            "TRACELIFT_RECALL_PREVIOUS_TOKEN",
            "upgrade.recall.previous_token",
            "The secret before it, while it is changed.",
        ),
        variable(
            "TRACELIFT_APPLICATION_TOKEN",
            "upgrade.applications.token",
            "The secret that the pod's own application shares for the list of upgrades; else recall's is taken.",
        ),
        variable(
            "TRACELIFT_FORCE_KEYS",
            "force.keys",
            "Keys of tokens that force a request to be recorded: id=secret pairs, joined by commas.",
        ),
        variable(
            "TRACELIFT_SESSION_KEY",
            "sampling.session.key",
            "The secret of sessions that are recorded together, where the configuration has sampling.session.",
        ),
        Variable {
            name: ON_INVALID_CONFIG,
            fills: None,
            weaker_than: None,
            meaning: "refuse (a wrong configuration is refused) or pass_through (the filter does nothing then).",
        },
    ]
};
