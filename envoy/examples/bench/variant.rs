//! What is compared: nothing, an empty filter, Tracelift in several settings, and what Envoy has built in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tracelift_envoy::Filter;

/// One Envoy's tracing.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// As the report names it; unique.
    pub name: String,
    /// What does the tracing.
    pub tracer: Tracer,
    /// Share of the traces that is sampled, and of the callers with a context that had sampled theirs.
    pub share: f64,
    /// The bootstrap has slots for the headers that tracing reads.
    pub inline_headers: bool,
}

/// What the name of a variant with such slots ends with.
const INLINE: &str = ", inline headers";

/// What does the tracing.
#[derive(Clone, Debug, PartialEq)]
pub enum Tracer {
    /// Nothing.
    None,
    /// A wasm filter that is entered and does nothing.
    EmptyFilter,
    /// Any other wasm filter without settings, by its module.
    Filter(PathBuf),
    /// A build of ours.
    Tracelift {
        /// Which of its two forms.
        form: Form,
        /// The build; none is the one just built.
        build: Option<PathBuf>,
        /// What differs from the defaults.
        settings: Settings,
    },
    /// Envoy's own, OTLP over gRPC.
    OpenTelemetry {
        /// `tracing.opentelemetry.min_flush_spans`; Envoy's default is 5.
        min_flush_spans: u32,
    },
    /// Envoy's own, to a daemon over UDP.
    XRay,
    /// Envoy's own, JSON over HTTP.
    Zipkin,
}

/// What a row of ours sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `upgrade.signal`, both ways.
    pub signal: bool,
    /// `upgrade.recall.enabled`.
    pub recall: bool,
    /// `upgrade.coverage.enabled`.
    pub coverage: bool,
    /// `metrics.enabled`, with so many route templates.
    pub routes: Option<usize>,
    /// Wrapped in a matcher as `wrapped.yaml` has it.
    pub wrapped: bool,
}

impl Settings {
    /// Ours.
    const DEFAULT: Self = Self { signal: true, recall: false, coverage: false, routes: None, wrapped: false };

    /// The configuration of a filter that samples this share. What is off is left out: older builds do not know every key.
    fn configuration(self, share: f64) -> Value {
        let mut settings = json!({
            "service_name": "cart",
            "span_kind": "server",
            "sampling": { "ratio": share },
            "upgrade": {
                "signal": { "emit": self.signal, "accept": self.signal },
                "recall": { "enabled": self.recall, "token": "a-secret-of-the-bench" },
            },
            "export": { "cluster": "collector_http" },
        });
        if self.coverage {
            // Long enough that the one kind there is has its example before anything is counted.
            settings["upgrade"]["coverage"] = json!({ "enabled": true, "window_s": 86_400 });
        }
        if let Some(routes) = self.routes {
            // One of them is the path that is asked for.
            let route =
                |place| if place == 7 { "/cart/{list}".to_owned() } else { format!("/users/{{id}}/list{place}") };
            let templates: Vec<_> = (0..routes).map(route).collect();
            settings["metrics"] = json!({ "enabled": true, "routes": templates });
            if 100 < routes {
                settings["metrics"]["max_series"] = (4 * routes).into(); // Three quarters of them may have a route.
            }
        }
        settings
    }
}

/// In which form an Envoy runs our filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `tracelift.wasm`.
    Wasm,
    /// `libtracelift.so`.
    Dynamic,
}

/// What everything is measured against.
pub const NONE: &str = "none";

/// A share by which no request here is kept, but by chance: what is done for those that chance decides is done for all.
const NEARLY_NEVER: f64 = 1e-15;
/// Envoy's default.
const MIN_FLUSH_SPANS: u32 = 5;
/// So many spans leave together where Envoy's own tracer has batches: what Tracelift has by default.
const BATCH: u32 = 512;
/// What quotients are made with: the OpenTelemetry tracer that is part of Envoy, as it is and in batches.
pub const YARDSTICKS: [Tracer; 2] =
    [Tracer::OpenTelemetry { min_flush_spans: MIN_FLUSH_SPANS }, Tracer::OpenTelemetry { min_flush_spans: BATCH }];

impl Variant {
    /// The wasm module at 0 %, without request metrics or with so many routes.
    pub fn counting(routes: Option<usize>) -> Self {
        let settings = Settings { routes, ..Settings::DEFAULT };
        let name = routes.map_or_else(|| "no metrics".to_owned(), |routes| format!("metrics by {routes} routes"));
        let tracer = Tracer::Tracelift { form: Form::Wasm, build: None, settings };
        Self { name, tracer, share: 0.0, inline_headers: false }
    }

    /// All of them; `against` are further builds to compare ours with, in its default settings: dynamic modules by `.so`.
    pub fn all(against: &[PathBuf]) -> Vec<Self> {
        let variant = |name: &str, tracer, share| {
            let inline_headers = name.ends_with(INLINE);
            Self { name: name.to_owned(), tracer, share, inline_headers }
        };
        let ours = |settings| Tracer::Tracelift { form: Form::Wasm, build: None, settings };
        let dynamic = |settings| Tracer::Tracelift { form: Form::Dynamic, build: None, settings };
        let default = Settings::DEFAULT;
        let recall = Settings { recall: true, ..default };
        let coverage = Settings { coverage: true, ..default };
        let wrapped = Settings { wrapped: true, ..default };
        let counted = |routes| Settings { routes: Some(routes), ..default };
        let native = |min_flush_spans| Tracer::OpenTelemetry { min_flush_spans };
        let mut all = vec![
            variant(NONE, Tracer::None, 0.05),
            variant("none again (noise)", Tracer::None, 0.05),
            variant("empty wasm filter", Tracer::EmptyFilter, 0.05),
            variant("Tracelift 0 %", ours(default), 0.0),
            variant("Tracelift 0 %, coverage", ours(coverage), 0.0),
            variant("Tracelift 0 %, metrics", ours(counted(0)), 0.0),
            variant("Tracelift 0 %, metrics by 20 routes", ours(counted(20)), 0.0),
            variant("Tracelift by chance", ours(default), NEARLY_NEVER),
            variant("Tracelift 1 %", ours(default), 0.01),
            variant("Tracelift 5 %", ours(default), 0.05),
            variant("Tracelift 5 %, no signal", ours(Settings { signal: false, ..default }), 0.05),
            variant("Tracelift 5 %, recall", ours(recall), 0.05),
            variant("Tracelift 100 %", ours(default), 1.0),
            variant("Tracelift 0 %, inline headers", ours(default), 0.0),
            variant("Tracelift 5 %, inline headers", ours(default), 0.05),
            variant("Tracelift 100 %, inline headers", ours(default), 1.0),
            variant("Tracelift wrapped 0 %", ours(wrapped), 0.0),
            variant("Tracelift wrapped 5 %", ours(wrapped), 0.05),
            variant("Tracelift wrapped 100 %", ours(wrapped), 1.0),
            variant("Tracelift wrapped 0 %, inline headers", ours(wrapped), 0.0),
            variant("Tracelift wrapped 5 %, inline headers", ours(wrapped), 0.05),
            variant("Tracelift wrapped 100 %, inline headers", ours(wrapped), 1.0),
            variant("Tracelift dynamic 0 %", dynamic(default), 0.0),
            variant("Tracelift dynamic 0 %, metrics by 20 routes", dynamic(counted(20)), 0.0),
            variant("Tracelift dynamic 5 %", dynamic(default), 0.05),
            variant("Tracelift dynamic 5 %, recall", dynamic(recall), 0.05),
            variant("Tracelift dynamic 100 %", dynamic(default), 1.0),
            variant("native OpenTelemetry 0 %", native(MIN_FLUSH_SPANS), 0.0),
            variant("native OpenTelemetry 5 %", native(MIN_FLUSH_SPANS), 0.05),
            variant("native OpenTelemetry 5 %, batches of 512", native(BATCH), 0.05),
            variant("native OpenTelemetry 100 %", native(MIN_FLUSH_SPANS), 1.0),
            variant("native OpenTelemetry 100 %, batches of 512", native(BATCH), 1.0),
            variant("native OpenTelemetry 0 %, inline headers", native(MIN_FLUSH_SPANS), 0.0),
            variant("native OpenTelemetry 5 %, inline headers", native(MIN_FLUSH_SPANS), 0.05),
            variant("native OpenTelemetry 100 %, inline headers", native(MIN_FLUSH_SPANS), 1.0),
            variant("native X-Ray 5 %", Tracer::XRay, 0.05),
            variant("native Zipkin 5 %", Tracer::Zipkin, 0.05),
        ];
        for build in against {
            let form = if build.extension().is_some_and(|end| end == "so") { Form::Dynamic } else { Form::Wasm };
            for (label, share) in [("0 %", 0.0), ("by chance", NEARLY_NEVER), ("5 %", 0.05), ("100 %", 1.0)] {
                let tracer = Tracer::Tracelift { form, build: Some(build.clone()), settings: default };
                all.push(variant(&format!("{} {label}", build.display()), tracer, share));
            }
        }
        all
    }

    /// Those whose names contain one of these texts, with what they are compared with: the plain Envoy, and the yardsticks that
    /// sample as much.
    pub fn chosen(against: &[PathBuf], only: &[String]) -> Vec<Self> {
        let all = Self::all(against);
        let named = |variant: &Self| only.iter().any(|text| variant.name.contains(text.as_str()));
        let shares: Vec<f64> = all.iter().filter(|variant| named(variant)).map(|variant| variant.share).collect();
        let compares = |variant: &Self| {
            variant.name == NONE || YARDSTICKS.contains(&variant.tracer) && shares.contains(&variant.share)
        };
        all.into_iter().filter(|variant| only.is_empty() || named(variant) || compares(variant)).collect()
    }

    /// Where among `all` the yardstick is that samples as much as this variant.
    pub fn compared_with(&self, (yardstick, inline_headers): (&Tracer, bool), all: &[Self]) -> Option<usize> {
        let is = |other: &Self| other.tracer == *yardstick && other.inline_headers == inline_headers;
        all.iter().position(|other| is(other) && other.share == self.share)
    }

    /// Puts the dynamic module in the place of the wasm filter, where that is what is measured.
    pub fn form(&self, modules: &Modules) -> Filter {
        match &self.tracer {
            Tracer::Tracelift { form: Form::Dynamic, build, .. } => {
                Filter::Dynamic(build.as_ref().unwrap_or(&modules.dynamic).clone())
            }
            Tracer::Tracelift { settings: Settings { wrapped: true, .. }, .. } => {
                Filter::Wrapped { inline_headers: self.inline_headers }
            }
            _ => Filter::Wasm,
        }
    }

    /// The HTTP filter, if the tracer is one; in the form of a wasm filter, which [`Self::form`] changes.
    pub fn filter(&self, modules: &Modules) -> Option<Value> {
        match &self.tracer {
            Tracer::EmptyFilter => Some(wasm("empty", &modules.empty, "{}")),
            Tracer::Filter(module) => Some(wasm("step", module, "{}")),
            Tracer::Tracelift { build, settings, .. } => {
                let mut settings = settings.configuration(self.share);
                if self.inline_headers {
                    settings["envoy"]["inline_headers"] = true.into();
                }
                let settings = settings.to_string();
                Some(wasm("tracelift", build.as_ref().unwrap_or(&modules.tracelift), &settings))
            }
            _ => None,
        }
    }

    /// `tracing` of the connection manager, if the tracer is Envoy's. `xray` is where its daemon listens.
    pub fn tracing(&self, xray: SocketAddr) -> Option<Value> {
        let percent = self.share * 100.0;
        let (name, config, random_sampling) = match &self.tracer {
            Tracer::OpenTelemetry { .. } => ("opentelemetry", open_telemetry(percent), 100.0),
            Tracer::XRay => ("xray", x_ray(self.share, xray), 100.0),
            Tracer::Zipkin => ("zipkin", zipkin(), percent),
            _ => return None,
        };
        Some(json!({
            "random_sampling": { "value": random_sampling },
            "provider": { "name": format!("envoy.tracers.{name}"), "typed_config": config },
        }))
    }

    /// The runtime values of this variant.
    pub fn runtime(&self) -> Value {
        match self.tracer {
            Tracer::OpenTelemetry { min_flush_spans } => {
                json!({ "tracing.opentelemetry.min_flush_spans": min_flush_spans })
            }
            _ => json!({}),
        }
    }

    /// Fails when it did not sample what its name says: luck aside, and a batch that has not left yet.
    pub fn check_spans(&self, found: f64, requests: f64) -> Result<()> {
        let waiting = match self.tracer {
            Tracer::OpenTelemetry { min_flush_spans } => f64::from(min_flush_spans),
            _ => 5.0,
        };
        // Coverage keeps an example of a kind, and another one when a busy machine makes a request late.
        let examples =
            if matches!(&self.tracer, Tracer::Tracelift { settings, .. } if settings.coverage) { 3.0 } else { 0.0 };
        let luck = (5.0 * (self.share * requests).sqrt() + examples) / requests;
        let (least, most) = (self.share - luck - waiting / requests, self.share + luck);
        ensure!(
            (least..=most).contains(&found),
            "{:?} sent {found:.4} spans a request, not {least:.4} to {most:.4}: it is not what its name says",
            self.name
        );
        Ok(())
    }

    /// After so long without an export all spans have left, but for a handful that waits for company.
    pub fn longest_wait(&self) -> Duration {
        match self.tracer {
            // What Valgrind's level sets `export.scheduled_delay_ms` to, and a tick or two.
            Tracer::Tracelift { .. } => Duration::from_millis(6500),
            // `tracing.opentelemetry.flush_interval_ms`, 5 s by default, and a little.
            Tracer::OpenTelemetry { min_flush_spans } if MIN_FLUSH_SPANS < min_flush_spans => {
                Duration::from_millis(5500)
            }
            _ => Duration::from_millis(500),
        }
    }

    /// Who counts the spans that left.
    pub fn counts_spans(&self) -> Counted {
        match self.tracer {
            Tracer::Tracelift { form: Form::Wasm, .. } => Counted::ByEnvoy("wasmcustom.tracelift.spans.offered"),
            Tracer::Tracelift { form: Form::Dynamic, .. } => {
                Counted::ByEnvoy("dynamicmodulescustom.tracelift.spans.offered")
            }
            Tracer::OpenTelemetry { .. } => Counted::ByEnvoy("tracing.opentelemetry.spans_sent"),
            Tracer::Zipkin => Counted::ByEnvoy("tracing.zipkin.spans_sent"),
            Tracer::XRay => Counted::ByDaemon,
            Tracer::None | Tracer::EmptyFilter | Tracer::Filter(_) => Counted::Nowhere,
        }
    }
}

/// Who counts spans.
pub enum Counted {
    /// A counter of Envoy's.
    ByEnvoy(&'static str),
    /// The X-Ray daemon; there is one variant that sends to it.
    ByDaemon,
    /// There are none.
    Nowhere,
}

/// Where the modules are.
pub struct Modules {
    /// The one just built.
    pub tracelift: PathBuf,
    /// The dynamic module just built.
    pub dynamic: PathBuf,
    /// The one that does nothing.
    pub empty: PathBuf,
}

fn wasm(name: &str, module: &Path, settings: &str) -> Value {
    json!({ "name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": { "vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": module } } },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings },
        },
    }})
}

/// Parent-based, and a ratio of the traces that begin here: what Tracelift does. `random_sampling` alone would sample half.
fn open_telemetry(percent: f64) -> Value {
    let sampler = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3";
    json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "grpc_service": { "envoy_grpc": { "cluster_name": "collector_grpc" }, "timeout": "1s" },
        "service_name": "cart",
        "sampler": {
            "name": "envoy.tracers.opentelemetry.samplers.parent_based",
            "typed_config": {
                "@type": format!("{sampler}.ParentBasedSamplerConfig"),
                "wrapped_sampler": {
                    "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
                    "typed_config": {
                        "@type": format!("{sampler}.TraceIdRatioBasedSamplerConfig"),
                        "sampling_percentage": { "numerator": (percent * 10_000.0).round(), "denominator": "MILLION" },
                    },
                },
            },
        },
    })
}

fn x_ray(share: f64, daemon: SocketAddr) -> Value {
    let rules = json!({ "version": 2, "rules": [], "default": { "fixed_target": 0, "rate": share } });
    json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.XRayConfig",
        "daemon_endpoint": { "protocol": "UDP", "address": daemon.ip().to_string(), "port_value": daemon.port() },
        "segment_name": "cart",
        "sampling_rule_manifest": { "inline_string": rules.to_string() },
    })
}

fn zipkin() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
        "collector_cluster": "collector_zipkin",
        "collector_endpoint": "/api/v2/spans",
        "collector_endpoint_version": "HTTP_JSON",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_yardsticks_are_among_them() {
        let all = Variant::all(&["old.wasm".into()]);
        let mut names: Vec<_> = all.iter().map(|variant| variant.name.as_str()).collect();
        assert!(names.contains(&NONE) && names.contains(&"old.wasm 100 %"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn what_is_chosen_comes_with_the_plain_envoy_and_the_tracers_that_sample_as_much() {
        let chosen = Variant::chosen(&["old.so".into()], &["dynamic 100".to_owned(), "old.so 5".to_owned()]);
        let names: Vec<_> = chosen.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(
            names,
            [
                NONE,
                "Tracelift dynamic 100 %",
                "native OpenTelemetry 5 %",
                "native OpenTelemetry 5 %, batches of 512",
                "native OpenTelemetry 100 %",
                "native OpenTelemetry 100 %, batches of 512",
                "native OpenTelemetry 5 %, inline headers",
                "native OpenTelemetry 100 %, inline headers",
                "old.so 5 %"
            ]
        );
        let places = YARDSTICKS.map(|yardstick| chosen[1].compared_with((&yardstick, false), &chosen));
        assert_eq!(places, [Some(4), Some(5)]);
        let modules = Modules { tracelift: "a.wasm".into(), dynamic: "a.so".into(), empty: "empty.wasm".into() };
        assert_eq!(chosen[1].form(&modules), Filter::Dynamic("a.so".into()));
        assert_eq!(chosen[8].form(&modules), Filter::Dynamic("old.so".into()));
        assert_eq!(chosen[2].form(&modules), Filter::Wasm);
    }

    #[test]
    fn a_tracer_that_samples_nothing_or_twice_as_much_is_found_out() {
        let all = Variant::all(&[]);
        let zipkin = all.iter().find(|variant| variant.tracer == Tracer::Zipkin).unwrap();
        assert!(zipkin.check_spans(0.051, 10_000.0).is_ok());
        assert!(zipkin.check_spans(0.0, 10_000.0).is_err() && zipkin.check_spans(0.1, 10_000.0).is_err());
    }
}
