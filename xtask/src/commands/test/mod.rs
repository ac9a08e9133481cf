//! `cargo xtask test`: everything, in stages, each with its time.

mod report;
mod stage;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use report::{Outcome, Report, summarise};
use stage::{Stage, planned};

use crate::commands::counts::Counts;
use crate::commands::demo::Demo;
use crate::commands::fuzz::Fuzz;
use crate::commands::package::Package;
use crate::commands::{build, dynamic, earlier, lint, playground, python, wrapped};
use crate::tools::envoy_gateway::ENVOY_GATEWAY;
use crate::tools::go::RENDERERS;
use crate::tools::istio::ISTIO;
use crate::tools::prometheus::PROMETHEUS;
use crate::tools::registry::Registry;
use crate::tools::tracelift_otel::TraceliftOtel;
use crate::tools::{chromium, collector, envoy, miri, moto, node, rollout};
use crate::unchanged::{self, Known};
use crate::{run, workspace};

/// Requests of the demo's check: enough that one percent of them is a number to compare.
const DEMO_REQUESTS: u64 = 2000;
/// What the stage `scenarios` plays.
const SCENARIOS: [&str; 3] = ["load-step", "outage", "slow"];

/// Which stages to run.
#[derive(Args)]
pub(crate) struct Test {
    /// Run this stage and what it needs; may be given more than once
    #[arg(long, value_name = "STAGE")]
    only: Vec<Stage>,
    /// Write into xtask/passed.json that the seldom stages passed, so that runs elsewhere leave them out until what they depend on
    /// changes; without --only, none of them is left out here
    #[arg(long)]
    record: bool,
    /// Run the stories of real Envoys in all of the releases that the module is promised to run in, rather than some in the oldest
    #[arg(long)]
    envoy: Option<Envoys>,
}

/// Which Envoys before the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Envoys {
    /// Every one that has V8
    All,
}

impl Test {
    /// Runs the stages and prints the summary, whose last line is the sums.
    pub(crate) fn execute(&self) -> ExitCode {
        let mut run = Run {
            reports: Vec::new(),
            asked_for: self.only.clone(),
            record: self.record,
            all_envoys: self.envoy.is_some(),
            envoy: None,
            renderers: Vec::new(),
        };
        for stage in planned(&self.only) {
            run.stage(stage);
        }
        let total = summarise(&run.reports);
        let not_passed = || run.reports.iter().filter(|report| !report.outcome.is_well());
        for Report { stage, error, .. } in &run.reports {
            if let Some(error) = error {
                println!("\n{}: {error}", stage.name()); // Thousands of lines after it was first said.
            }
        }
        if let Some(first) = not_passed().next() {
            println!(
                "\n{} of {} stages did not pass. To repeat the first of them:",
                not_passed().count(),
                run.reports.len()
            );
            println!("  cargo xtask test --only {}", first.stage.name());
        }
        println!("\n{} passed, {} failed", total.passed, total.failed);
        if not_passed().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

struct Run {
    reports: Vec<Report>,
    asked_for: Vec<Stage>,
    /// Whether seldom stages that pass are recorded in the tree.
    record: bool,
    all_envoys: bool,
    envoy: Option<PathBuf>,
    /// What renders manifests, by the variables that name it to the tests.
    renderers: Vec<(&'static str, PathBuf)>,
}

impl Run {
    fn stage(&mut self, stage: Stage) {
        let failed =
            |needed: &Stage| self.reports.iter().any(|report| report.stage == *needed && !report.outcome.is_well());
        if stage.needs().iter().any(failed) {
            return self.reports.push(Report::of_none(stage, Outcome::Skipped));
        }
        println!("\n== {} ==", stage.name());
        if self.is_unchanged(stage) {
            return self.reports.push(Report::of_none(stage, Outcome::Unchanged));
        }
        let started = Instant::now();
        let mut counts = Counts::default();
        let result = self.run(stage, &mut counts).and_then(|()| self.remember(stage));
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        let error = result.err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("{}: {error}", stage.name());
            if counts.failed == 0 {
                counts.failed = 1; // The last line must not read as if nothing had failed.
            }
        }
        self.reports.push(Report { stage, outcome, counts, took: started.elapsed(), error });
    }

    /// Says so where a stage is left out because nothing that it depends on has changed.
    fn is_unchanged(&self, stage: Stage) -> bool {
        if self.record || self.asked_for.contains(&stage) {
            return false;
        }
        let Some(known) = unchanged::has_passed(&stage.name(), stage.inputs()) else { return false };
        let (name, inputs) = (stage.name(), stage.inputs().join(", "));
        let known = match known {
            Known::Here => "it passed on this machine".to_owned(),
            Known::Recorded => format!("{} records that it passed", unchanged::RECORD),
        };
        println!("Not run: {known} with these {inputs}.\nTo run it: cargo xtask test --only {name}");
        true
    }

    /// Remembers that a stage passed that runs seldom.
    fn remember(&self, stage: Stage) -> Result<()> {
        let (name, inputs) = (stage.name(), stage.inputs());
        if inputs.is_empty() {
            return Ok(());
        }
        unchanged::passed(&name, inputs)?;
        if self.record { unchanged::record(&name, inputs) } else { Ok(()) }
    }

    fn run(&mut self, stage: Stage, counts: &mut Counts) -> Result<()> {
        match stage {
            Stage::Lint => lint::execute(),
            Stage::Build => check_size(build::execute()?),
            Stage::Tools => {
                let envoy = self.envoy.insert(envoy::ensure()?);
                println!("Envoy: {}", envoy.display());
                Ok(())
            }
            Stage::Package => {
                rollout::ensure()?;
                let found = RENDERERS.iter().map(|program| Ok((program.variable, program.ensure()?)));
                self.renderers = found.collect::<Result<_>>()?;
                let registry = Registry::start()?;
                Package::tested(registry.repository()).execute()
            }
            Stage::Plugin => {
                let packages = ["--package", workspace::ENGINE, "--package", workspace::TOOLS];
                self.cargo_test(&[&packages[..], &["--all-features"]].concat(), counts)
            }
            Stage::Miri => count(&mut miri::tests()?, counts),
            Stage::Xtask => self.cargo_test(&["--package", "xtask"], counts),
            Stage::Python => python::execute(|line| {
                if let Some(said) = Counts::parse_pytest(line) {
                    counts.add(said);
                }
            }),
            Stage::Host => self.cargo_test(&["--package", "tracelift-host"], counts),
            Stage::Fuzz => {
                self.cargo_test(&["--package", "tracelift-fuzz", "--features", "streams"], counts)?;
                Fuzz::minute().execute()
            }
            Stage::Envoy => {
                let variables = TraceliftOtel::ensure()?.variables();
                let failed = self.cargo_test_with(&["--package", "tracelift-envoy"], &variables, counts).err();
                println!("The filter in a matcher (envoy/wrapped.yaml):");
                let wrapped = [(wrapped::VARIABLE, PathBuf::from("yes"))];
                let run = |arguments: Vec<&str>| self.cargo_test_with(&arguments, &wrapped, counts).err();
                wrapped::runs().filter_map(run).fold(failed, |failed, error| failed.or(Some(error))).map_or(Ok(()), Err)
            }
            Stage::Earlier => {
                rollout::ensure()?;
                self.earlier_envoys(counts)
            }
            Stage::Dynamic => {
                rollout::ensure()?;
                let envoy = self.envoy.as_deref().context("the tools stage ran before")?;
                count(&mut dynamic::models(), counts)?;
                self.dynamic_module(&dynamic::checked(envoy)?, counts)
            }
            Stage::Node => {
                let test = ["--package", "tracelift-envoy", "--features", "node", "--test", "node"];
                self.cargo_test_with(&test, &[(node::VARIABLE, node::ensure()?)], counts)
            }
            Stage::Metrics => {
                let (collector, prometheus) = (collector::METRICS.ensure()?, PROMETHEUS.ensure()?);
                let test = ["--package", "tracelift-envoy", "--features", "metrics", "--test", "metrics"];
                let variables = [(collector::METRICS.variable, collector), (PROMETHEUS.variable, prometheus)];
                self.cargo_test_with(&test, &variables, counts)
            }
            Stage::Mesh => {
                let test = ["--package", "tracelift-envoy", "--features", "mesh", "--test", "mesh"];
                self.cargo_test_with(&test, &[(ENVOY_GATEWAY.variable, ENVOY_GATEWAY.ensure()?)], counts)
            }
            Stage::Istio => {
                let test = ["--package", "tracelift-envoy", "--features", "istio", "--test", "istio"];
                self.cargo_test_with(&test, &[(ISTIO.variable, ISTIO.ensure()?)], counts)
            }
            Stage::Playground => {
                let (page, driver) = (playground::build(true)?.page, chromium::ensure()?);
                let variables = [(playground::VARIABLE, page), (chromium::VARIABLE, driver)];
                self.cargo_test_with(&["--package", workspace::PLAYGROUND], &variables, counts)
            }
            Stage::Shop => {
                let [python, package] = TraceliftOtel::ensure()?.variables();
                let variables = [(chromium::VARIABLE, chromium::ensure()?), python, package];
                self.cargo_test_with(&["--package", "tracelift-shop"], &variables, counts)
            }
            Stage::Demo => {
                let envoy = self.envoy.as_deref().context("the tools stage ran before")?;
                let package = TraceliftOtel::ensure()?;
                run::run(&mut Demo::checked(DEMO_REQUESTS).command(envoy, Some(&package)))
            }
            Stage::Scenarios => {
                let envoy = self.envoy.as_deref().context("the tools stage ran before")?;
                let package = TraceliftOtel::ensure()?;
                SCENARIOS
                    .into_iter()
                    .map(Demo::scenario)
                    .try_for_each(|scenario| run::run(&mut scenario.command(envoy, Some(&package))))
            }
            Stage::Xray => {
                let collector = collector::XRAY.ensure()?;
                println!("Collector: {}", collector.display());
                let variables = [(moto::VARIABLE, moto::ensure()?), (collector::XRAY.variable, collector)];
                self.cargo_test_with(&["--package", "tracelift-xray"], &variables, counts)?;
                build::dynamic_module()?;
                let library = [(build::DYNAMIC_MODULE, workspace::dynamic_module())];
                self.cargo_test_with(&dynamic::XRAY.arguments(), &[&variables[..], &library].concat(), counts)
            }
        }
    }

    /// Runs each suite in each of the Envoys, and fails if one of them does.
    fn earlier_envoys(&self, counts: &mut Counts) -> Result<()> {
        earlier::print_what_is_left_out();
        let mut failed = None;
        for run in earlier::runs(self.all_envoys) {
            println!("Envoy {}:", run.envoy.version());
            let variables = [(envoy::VARIABLE, run.envoy.ensure()?)];
            failed = self.cargo_test_with(&run.arguments, &variables, counts).err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Runs each suite, so that the last says what all of them have found, and fails if one of them does.
    fn dynamic_module(&self, library: &Path, counts: &mut Counts) -> Result<()> {
        dynamic::print_what_is_left_out();
        let with_faults = dynamic::with_faults()?;
        let mut failed = None;
        for suite in &dynamic::SUITES {
            let library = if suite.with_faults { with_faults.clone() } else { library.to_owned() };
            failed =
                self.cargo_test_with(&suite.arguments(), &[(build::DYNAMIC_MODULE, library)], counts).err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    fn cargo_test(&self, arguments: &[&str], counts: &mut Counts) -> Result<()> {
        self.cargo_test_with(arguments, &[], counts)
    }

    fn cargo_test_with(&self, arguments: &[&str], variables: &[(&str, PathBuf)], counts: &mut Counts) -> Result<()> {
        let mut cargo = workspace::native_cargo();
        cargo.args(["test", "--no-fail-fast"]).args(arguments).env("TRACELIFT_WASM", workspace::module());
        if let Some(envoy) = &self.envoy {
            cargo.env(envoy::VARIABLE, envoy);
        }
        cargo.envs(variables.iter().map(|(name, value)| (name, value)));
        cargo.envs(self.renderers.iter().map(|(name, program)| (name, program)));
        count(&mut cargo, counts)
    }
}

/// Runs tests and adds up what their binaries say.
fn count(cargo: &mut Command, counts: &mut Counts) -> Result<()> {
    let status = run::run_seen(cargo, |line| {
        if let Some(said) = Counts::parse(line) {
            counts.add(said);
        }
    })?;
    run::check(cargo, status)
}

fn check_size(bytes: usize) -> Result<()> {
    if build::SIZE_LIMIT < bytes {
        bail!("the module has {bytes} bytes; its limit is {}", build::SIZE_LIMIT);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_needs_a_failed_stage_is_skipped_and_adds_no_failure() {
        let report = Report {
            stage: Stage::Build,
            outcome: Outcome::Failed,
            counts: Counts { passed: 0, failed: 1 },
            took: Duration::ZERO,
            error: Some("it does not compile".to_owned()),
        };
        let mut run = Run {
            reports: vec![report],
            asked_for: Vec::new(),
            record: false,
            all_envoys: false,
            envoy: None,
            renderers: Vec::new(),
        };
        run.stage(Stage::Host);
        assert_eq!(run.reports[1].outcome, Outcome::Skipped);
        assert_eq!(summarise(&run.reports), Counts { passed: 0, failed: 1 });
    }
}
