//! The stages of `cargo xtask test`: what each needs, and what those depend on that run seldom.

use clap::ValueEnum;

/// In the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    /// Formatting, Clippy (native and wasm), the published schema
    Lint,
    /// The module, within its size
    Build,
    /// Tests of the engine and the tools, native
    Plugin,
    /// Tests of the engine's pure parts in Miri, which finds undefined behaviour; only when asked for
    Miri,
    /// Unit tests of xtask
    Xtask,
    /// The Python package: formatting, types, its tests, its services under `opentelemetry-instrument`
    Python,
    /// The module in our proxy-wasm host
    Host,
    /// Kept inputs of the fuzzers, then a minute of fuzzing
    Fuzz,
    /// Envoy, fetched when missing
    Tools,
    /// The release's module and images, pushed to a registry and built a second time, and the programs that its tests need
    Package,
    /// The module in real Envoys, and applications in Python behind them
    Envoy,
    /// Stories of the wasm module in the oldest Envoy that it is promised to run in; with `--envoy all` all of them in all
    Earlier,
    /// The dynamic module: models of what its threads share, its callbacks in every Envoy that it is promised for, then the stories of
    /// real Envoys with it
    Dynamic,
    /// An application in Node behind a real Envoy; when it or what it shows has changed since it passed, or when asked for
    Node,
    /// Request metrics beside a real collector's and in a real Prometheus; when they or what they are compared with have changed
    /// since it passed, or when asked for
    Metrics,
    /// The shipped manifests in a real Envoy Gateway, whose Envoys get them by xDS and the module from a registry; when the manifests or
    /// the controller have changed since it passed, or when asked for
    Mesh,
    /// The shipped manifests in Istio's own control plane and agent, which fetches the module and runs a real Envoy; when the manifests or
    /// the program around them have changed since it passed, or when asked for
    Istio,
    /// The playground's page, clicked through in a real Chromium; when it or what it shows has changed since it passed, or when asked for
    Playground,
    /// The demo's own tests, its page clicked through in a real Chromium
    Shop,
    /// The demo, unattended, its traces checked
    Demo,
    /// The demo's scenarios of a rate that steers itself, some seven minutes; when the shop or the controller have changed since they
    /// passed, or when asked for
    Scenarios,
    /// Traces in X-Ray: Envoys with either filter, a collector, and moto as X-Ray's API; when they or what they send have changed since
    /// it passed, or when asked for
    Xray,
}

impl Stage {
    /// As `--only` has it.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Part of a run without `--only`. Miri takes minutes and a nightly Rust.
    fn is_usual(self) -> bool {
        self != Self::Miri
    }

    /// What must have passed before it.
    pub(super) fn needs(self) -> &'static [Self] {
        match self {
            Self::Lint
            | Self::Build
            | Self::Plugin
            | Self::Miri
            | Self::Xtask
            | Self::Python
            | Self::Tools
            | Self::Package
            | Self::Playground => &[],
            Self::Host | Self::Fuzz => &[Self::Build],
            Self::Envoy | Self::Mesh | Self::Istio => &[Self::Build, Self::Tools, Self::Package],
            Self::Earlier
            | Self::Dynamic
            | Self::Shop
            | Self::Demo
            | Self::Scenarios
            | Self::Node
            | Self::Metrics
            | Self::Xray => &[Self::Build, Self::Tools],
        }
    }

    /// What a stage depends on that runs seldom: files and folders. A usual run leaves it out while they are as they were when it
    /// passed on this machine or was recorded; a stage without inputs always runs.
    pub(super) fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Node => &[
                "envoy/tests/applications",
                "envoy/tests/node",
                "examples/node",
                "plugin/engine/src/process",
                "plugin/engine/src/upgrade",
                "xtask/src/tools/node.rs",
            ],
            Self::Metrics => &[
                "docs/metrics.md",
                "envoy/src/collector",
                "envoy/tests/metrics",
                "examples/dashboards/grafana.json",
                "examples/dashboards/scrape.yaml",
                "examples/dashboards/tracelift.rules.yaml",
                "plugin/engine/src/metrics",
                "plugin/engine/src/otlp",
                "plugin/engine/src/process/metering",
                "plugin/engine/src/request/measure.rs",
                "plugin/engine/src/shared",
                "xtask/src/tools/collector.rs",
                "xtask/src/tools/prometheus.rs",
            ],
            Self::Mesh => &[
                "envoy/chart",
                "envoy/gateway-api",
                "envoy/tests/mesh",
                "xtask/src/artefact/image.rs",
                "xtask/src/tools/envoy_gateway.rs",
                "xtask/src/tools/locked.rs",
            ],
            Self::Istio => &[
                "envoy/chart",
                "envoy/istio",
                "envoy/tests/istio",
                "xtask/src/artefact/image.rs",
                "xtask/src/tools/istio.rs",
                "xtask/src/tools/locked.rs",
            ],
            Self::Playground => &[
                "examples/browser",
                "examples/playground",
                "plugin/engine/src/config",
                "plugin/engine/src/json",
                "plugin/engine/src/sampling",
                "plugin/engine/src/trace_context",
                "plugin/tools/src",
            ],
            Self::Scenarios => &[
                "examples/shop",
                "plugin/engine/src/process/steer.rs",
                "plugin/engine/src/sampling/pace",
                "plugin/engine/src/shared/rates.rs",
                "plugin/engine/src/shared/slow.rs",
            ],
            Self::Xray => &[
                "envoy/src/collector",
                "examples/xray",
                "plugin/engine/src/central",
                "plugin/engine/src/export",
                "plugin/engine/src/otlp",
                "plugin/engine/src/sampling",
                "plugin/engine/src/span",
                "plugin/engine/src/trace_context",
                "xtask/src/tools/collector.rs",
                "xtask/src/tools/moto.rs",
            ],
            _ => &[],
        }
    }
}

/// All usual stages in order, or those asked for after what they need.
pub(super) fn planned(only: &[Stage]) -> Vec<Stage> {
    let asked_for = |stage| only.iter().any(|asked: &Stage| *asked == stage || asked.needs().contains(&stage));
    let wanted = |stage: Stage| if only.is_empty() { stage.is_usual() } else { asked_for(stage) };
    Stage::value_variants().iter().copied().filter(|stage| wanted(*stage)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{unchanged, workspace};

    #[test]
    fn the_record_names_stages_that_run_seldom() {
        let record = std::fs::read_to_string(workspace::root().join(unchanged::RECORD)).unwrap();
        let recorded: std::collections::BTreeMap<String, String> = serde_json::from_str(&record).unwrap();
        for name in recorded.keys() {
            let stage = Stage::from_str(name, false).unwrap();
            assert!(!stage.inputs().is_empty(), "{name} always runs");
        }
    }

    #[test]
    fn a_stage_runs_after_everything_that_it_needs() {
        let usual = Stage::value_variants().iter().copied().filter(|stage| *stage != Stage::Miri);
        assert_eq!(planned(&[]), usual.collect::<Vec<_>>());
        assert_eq!(planned(&[Stage::Miri]), [Stage::Miri]);
        assert_eq!(planned(&[Stage::Demo]), [Stage::Build, Stage::Tools, Stage::Demo]);
        assert_eq!(planned(&[Stage::Xtask, Stage::Host]), [Stage::Build, Stage::Xtask, Stage::Host]);
        for (position, stage) in Stage::value_variants().iter().enumerate() {
            assert!(
                stage.needs().iter().all(|needed| Stage::value_variants()[..position].contains(needed)),
                "{stage:?}"
            );
        }
    }
}
