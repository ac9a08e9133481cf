//! Where spans go, and in which batches.

use super::{Reader, limits};
use crate::config::bounded::HeaderName;
use crate::config::check::{MAX_EXPORT_HEADERS, header_value_fault};
use crate::config::raw::Export;
use crate::config::{error, percent};
use crate::json::Tree;
use crate::otlp::Settings;

impl Reader<'_> {
    /// `OTEL_EXPORTER_OTLP_*`; the name with `TRACES` is stronger.
    pub(super) fn exporter(&mut self) {
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
    pub(super) fn batch(&mut self) {
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
}
