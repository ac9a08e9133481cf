//! The standard OTel environment variables (`vm_config.environment_variables`): they fill what the JSON leaves out. As the
//! specification has it, a value that cannot be read is a warning and otherwise as good as unset.
//! OTel "Environment Variable Specification", "Batch Span Processor", "OpenTelemetry Protocol Exporter".

use super::bounded::{HeaderName, Ratio, Whole, whole_allowed};
use super::check::{MAX_EXPORT_HEADERS, TOKEN_ALLOWED, header_value_fault, is_token};
use super::error;
use super::percent;
use super::raw::{Export, Metrics};
use crate::json::{Named, Tree, number};
use crate::otlp::Settings;
use crate::span::bounds;
use crate::trace_context::Propagator;

/// What the filter does with a configuration that is refused.
pub const ON_INVALID_CONFIG: &str = "TRACELIFT_ON_INVALID_CONFIG";
/// What comes of an argument of the sampler that cannot be read, as its warning says.
pub const EVERYTHING_IS_RECORDED: &str = "100 % is recorded now";

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
pub const VARIABLES: [Variable; 24] = {
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
        variable("OTEL_BSP_SCHEDULE_DELAY", "export.scheduled_delay_ms", "Milliseconds that a span waits for company."),
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
        Variable {
            name: ON_INVALID_CONFIG,
            fills: None,
            weaker_than: None,
            meaning: "refuse (a wrong configuration is refused) or pass_through (the filter does nothing then).",
        },
    ]
};

/// The variables of the VM whose names begin with `OTEL_` or `TRACELIFT_`. Empty ones count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

/// What to do with a refused configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalidConfig {
    /// Tell Envoy, which keeps the previous configuration, or does not start.
    #[default]
    Refuse,
    /// Do nothing but say so in the log and in a counter: for fleets that prefer traffic over tracing.
    PassThrough,
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with("OTEL_") || name.starts_with("TRACELIFT_");
        Self(variables.into_iter().filter(|(name, value)| ours(name) && !value.trim().is_empty()).collect())
    }
}

impl Environment {
    /// The value without the space around it; `None` when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// What the variable `TRACELIFT_ON_INVALID_CONFIG` asks for, `refuse` when it asks for nothing; the text is a warning
    /// about a value that is neither `refuse` nor `pass_through`. [`super::load`] gives that warning as well.
    pub fn on_invalid_config(&self) -> (OnInvalidConfig, Option<String>) {
        match self.get(ON_INVALID_CONFIG) {
            None | Some("refuse") => (OnInvalidConfig::Refuse, None),
            Some("pass_through") => (OnInvalidConfig::PassThrough, None),
            Some(other) => {
                let warning = ignored(ON_INVALID_CONFIG, &error::quoted(other), "`refuse` or `pass_through`");
                (OnInvalidConfig::Refuse, Some(warning))
            }
        }
    }
}

/// What of the environment is no key of the configuration, because it is weaker than every key of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentResource {
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, decoded.
    pub attributes: Vec<(String, String)>,
}

/// Puts into the tree what it leaves out and the environment has.
pub fn fill(environment: &Environment, tree: &mut Tree, warnings: &mut Vec<String>) -> EnvironmentResource {
    let mut reader = Reader { environment, tree, warnings };
    reader.sampler();
    reader.propagators();
    reader.exporter();
    reader.batch();
    reader.metrics();
    reader.tokens();
    reader.warnings.extend(environment.on_invalid_config().1);
    reader.resource()
}

fn limits<const MIN: u64, const MAX: u64>(_: Whole<MIN, MAX>) -> (u64, u64) {
    Whole::<MIN, MAX>::RANGE
}

fn ignored(name: &str, found: &str, allowed: &str) -> String {
    ["environment variable ", name, ": found ", found, "; allowed is ", allowed, ". The variable is ignored."].concat()
}

struct Reader<'a> {
    environment: &'a Environment,
    tree: &'a mut Tree,
    warnings: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name)
    }

    fn warn(&mut self, name: &str, found: &str, allowed: &str) {
        self.warnings.push(ignored(name, found, allowed));
    }

    fn text(&mut self, path: &[&str], text: &str) {
        self.tree.fill(path, Tree::Text(text.to_owned()));
    }

    /// `OTEL_TRACES_SAMPLER` and its argument. The sampler says how much, so `traceidratio` means `consistent`.
    fn sampler(&mut self) {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        const KNOWN: [&str; 6] = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ];
        let Some(name) = self.get(NAME).map(str::to_ascii_lowercase) else {
            if let Some(argument) = self.get(ARGUMENT) {
                self.warn(ARGUMENT, &error::quoted(argument), "an argument of OTEL_TRACES_SAMPLER, which is not set");
            }
            return;
        };
        if !KNOWN.contains(&name.as_str()) {
            return self.warn(NAME, &error::quoted(&name), &error::one_of(&KNOWN));
        }
        let (mode, root) = match name.strip_prefix("parentbased_") {
            Some(root) => ("parent_based", root),
            None => ("independent", name.as_str()),
        };
        let ratio = match root {
            "always_on" => "1",
            "always_off" => "0",
            _ => self.sampler_argument(ARGUMENT),
        };
        self.text(&["sampling", "mode"], mode);
        self.tree.fill(&["sampling", "ratio"], Tree::Number(ratio.to_owned()));
    }

    /// Unset or unreadable, it is 1: "TraceIdRatioBased ... default 1.0". Where the configuration has no ratio either, that
    /// is the opposite of what whoever wrote 5 for 5 % meant, so the warning says what comes of it.
    fn sampler_argument(&mut self, name: &str) -> &'a str {
        let Some(text) = self.get(name) else { return "1" };
        if number(text).and_then(Ratio::new).is_some() {
            return text;
        }
        let found = error::quoted(text);
        if self.tree.get(&["sampling", "ratio"]).is_some() {
            self.warn(name, &found, Ratio::ALLOWED);
        } else {
            let rule = "; one that cannot be read means 1 by the specification: ";
            let warning = ["environment variable ", name, ": found ", &found, "; allowed is ", Ratio::ALLOWED, rule];
            self.warnings.push([&warning.concat(), EVERYTHING_IS_RECORDED, "."].concat());
        }
        "1"
    }

    /// `OTEL_PROPAGATORS`. `baggage` passes untouched anyway, and `none` asks for nothing.
    fn propagators(&mut self) {
        const NAME: &str = "OTEL_PROPAGATORS";
        let mut names: Vec<&str> = Vec::new();
        for name in self.get(NAME).unwrap_or_default().split(',').map(str::trim) {
            if Propagator::from_name(name).is_some() {
                if !names.contains(&name) {
                    names.push(name);
                }
            } else if !["", "baggage", "none"].contains(&name) {
                let known = error::one_of(Propagator::NAMES);
                let warning =
                    ["environment variable ", NAME, ": found ", &error::quoted(name), "; allowed is ", &known];
                self.warnings.push([warning.concat().as_str(), ". That name is ignored."].concat());
            }
        }
        if !names.is_empty() {
            let list = names.into_iter().map(|name| Tree::Text(name.to_owned())).collect();
            self.tree.fill(&["propagators"], Tree::List(list));
        }
    }

    /// `OTEL_EXPORTER_OTLP_*`; the name with `TRACES` is stronger.
    fn exporter(&mut self) {
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            self.name(name, &["export", "protocol"], &["http/protobuf", "grpc"]);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] {
            self.name(name, &["export", "compression"], &["none", "gzip"]);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] {
            if self.headers(name) {
                break; // The one with `TRACES` replaces the other whole.
            }
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            if self.get(name).is_some() {
                self.warn(name, "an endpoint", "an Envoy cluster, in `export.cluster` of the configuration");
            }
        }
    }

    fn name(&mut self, variable: &str, path: &[&str], known: &[&str]) {
        self.name_for(variable, path, known, known);
    }

    /// The same where the configuration calls it otherwise; `meant` has a name for each of those known.
    fn name_for(&mut self, variable: &str, path: &[&str], known: &[&str], meant: &[&str]) {
        let Some(found) = self.get(variable) else { return };
        match known.iter().zip(meant).find(|(name, _)| name.eq_ignore_ascii_case(found)) {
            Some((_, meant)) => self.text(path, meant),
            None => self.warn(variable, &error::quoted(found), &error::one_of(known)),
        }
    }

    /// What is counted of requests. "Metrics SDK", "OpenTelemetry Protocol Exporter": `lowmemory` is delta for what we have.
    fn metrics(&mut self) {
        self.name_for(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            &["metrics", "temporality"],
            &["cumulative", "delta", "lowmemory"],
            &["cumulative", "delta", "delta"],
        );
        self.name_for(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            &["metrics", "histogram"],
            &["explicit_bucket_histogram", "base2_exponential_bucket_histogram"],
            &["explicit", "exponential"],
        );
        if let Some(interval) = self.number("OTEL_METRIC_EXPORT_INTERVAL", limits(Metrics::default().interval_ms)) {
            self.tree.fill(&["metrics", "interval_ms"], Tree::Number(interval.to_string()));
        }
    }

    /// A header that the JSON has, whatever its case, is left as it is there. True when the variable counts.
    fn headers(&mut self, variable: &str) -> bool {
        let Some(text) = self.get(variable) else { return false };
        let pairs = match percent::pairs(text) {
            Ok(pairs) if pairs.len() + self.configured_headers().len() <= MAX_EXPORT_HEADERS => pairs,
            Ok(_) => {
                self.warn(variable, "too many headers", "at most 32 with those of the configuration");
                return false;
            }
            Err(fault) => {
                self.warn(variable, fault, "name=value pairs, joined by commas, percent-encoded");
                return false;
            }
        };
        for (name, value) in pairs {
            let Some(name) = HeaderName::new(&name).filter(|name| !Settings::reserves(&name.0)) else {
                self.warn(
                    variable,
                    &error::quoted(&name),
                    "the name of a header that the exporter does not write itself",
                );
                return false;
            };
            if let Some(fault) = header_value_fault(&value) {
                self.warn(variable, &["for ", &name.0, " ", fault].concat(), "visible ASCII, spaces and tabs inside");
                return false;
            }
            if !self.configured_headers().iter().any(|(known, _)| known.eq_ignore_ascii_case(&name.0)) {
                self.text(&["export", "headers", &name.0], &value);
            }
        }
        true
    }

    fn configured_headers(&self) -> &[(String, Tree)] {
        match self.tree.get(&["export", "headers"]) {
            Some(Tree::Object(entries)) => entries,
            _ => &[],
        }
    }

    /// `OTEL_BSP_*` and the timeout of an attempt, which the export timeout of the batch processor can only shorten.
    fn batch(&mut self) {
        let defaults = Export::default();
        let timeouts = limits(defaults.timeout_ms);
        let attempt = self
            .number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", timeouts)
            .or_else(|| self.number("OTEL_EXPORTER_OTLP_TIMEOUT", timeouts));
        let batch = self.number("OTEL_BSP_EXPORT_TIMEOUT", timeouts);
        if let Some(timeout) = attempt.into_iter().chain(batch).min() {
            self.tree.fill(&["export", "timeout_ms"], Tree::Number(timeout.to_string()));
        }
        if let Some(delay) = self.number("OTEL_BSP_SCHEDULE_DELAY", limits(defaults.scheduled_delay_ms)) {
            self.tree.fill(&["export", "scheduled_delay_ms"], Tree::Number(delay.to_string()));
        }
        const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
        if let Some(size) = self.number(QUEUE, limits(defaults.max_queue_size)) {
            let batch = self.tree.get(&["export", "max_export_batch_size"]).and_then(Tree::whole);
            match batch.filter(|&batch| size < batch) {
                Some(batch) => {
                    let allowed = ["at least ", &batch.to_string(), ", the configured `export.max_export_batch_size`"];
                    self.warn(QUEUE, &size.to_string(), &allowed.concat());
                }
                None => self.tree.fill(&["export", "max_queue_size"], Tree::Number(size.to_string())),
            }
        }
        const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
        if let Some(size) = self.number(BATCH, limits(defaults.max_export_batch_size)) {
            let queue = self.tree.get(&["export", "max_queue_size"]).and_then(Tree::whole);
            let queue = queue.unwrap_or(defaults.max_queue_size.get());
            if queue < size {
                let allowed = ["at most ", &queue.to_string(), ", the size of the queue"].concat();
                self.warn(BATCH, &size.to_string(), &allowed);
            } else {
                self.tree.fill(&["export", "max_export_batch_size"], Tree::Number(size.to_string()));
            }
        }
    }

    /// `TRACELIFT_*_TOKEN`. No warning shows a value.
    fn tokens(&mut self) {
        for (variable, part, key) in [
            ("TRACELIFT_RECALL_TOKEN", "recall", "token"),
            ("TRACELIFT_RECALL_PREVIOUS_TOKEN", "recall", "previous_token"),
            ("TRACELIFT_APPLICATION_TOKEN", "applications", "token"),
        ] {
            match self.get(variable) {
                Some(secret) if is_token(secret) => self.text(&["upgrade", part, key], secret),
                Some(_) => self.warn(variable, "a text that is longer or has other characters", TOKEN_ALLOWED),
                None => {}
            }
        }
    }

    fn number(&mut self, variable: &str, (min, max): (u64, u64)) -> Option<u64> {
        let text = self.get(variable)?;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.warn(variable, &error::quoted(text), &whole_allowed(min, max));
        }
        number
    }

    fn resource(&mut self) -> EnvironmentResource {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let attributes = match percent::pairs(self.get(NAME).unwrap_or_default()) {
            Ok(attributes) if attributes.len() <= bounds::RESOURCE => attributes,
            Ok(_) => {
                self.warn(NAME, "more than 128 attributes", "at most 128");
                Vec::new()
            }
            Err(fault) => {
                self.warn(NAME, fault, "key=value pairs, joined by commas, percent-encoded");
                Vec::new()
            }
        };
        EnvironmentResource { service_name: self.get("OTEL_SERVICE_NAME").map(str::to_owned), attributes }
    }
}
