//! `cargo xtask bench`: what Tracelift costs, on seven levels, as one report.

use std::ffi::{OsStr, OsString};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::commands::{build, options};
use crate::stage::Stages;
use crate::tools::{envoy, valgrind};
use crate::{run, workspace};

/// The levels, and options for those that need a real Envoy.
#[derive(Args)]
#[command(after_help = options::list::<options::bench::Options>("Options of the report"))]
pub(crate) struct Bench {
    /// Measure and report this level only; may be given more than once [default: all]
    #[arg(long, value_name = "LEVEL")]
    level: Vec<Level>,
    /// Minutes instead of half an hour: fewer rounds, wider intervals
    #[arg(long)]
    quick: bool,
    /// Make today's counts of instructions and hostcalls those that the tests compare with
    #[arg(long)]
    accept: bool,
    /// More options for the levels of real Envoys, listed below
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Instructions and hostcalls of a request, counted exactly on Wasmtime
    Instructions,
    /// The hot paths, natively
    Micro,
    /// Processor time of real Envoys, beside what Envoy has built in
    Envoy,
    /// Memory of real Envoys over many requests, and their start
    Memory,
    /// Throughput and memory of real Envoys with 1 to 8 workers
    Workers,
    /// Processor time of a worker's tick in real Envoys, with and without request metrics
    Ticks,
    /// Instructions of real Envoys, counted by Valgrind: repeatable where time is not
    Callgrind,
}

impl Bench {
    /// Builds the module, measures level after level, and becomes the report.
    pub(crate) fn execute(&self) -> Result<()> {
        let levels = self.levels()?;
        options::read::<options::bench::Options>("cargo xtask bench", &self.rest);
        if levels.contains(&Level::Callgrind) {
            valgrind::ensure()?;
        }
        let native = levels.iter().filter(|level| !level.runs_envoy()).count();
        let mut stages = Stages::new(2 + native);
        stages.begin("Building the module, and the dynamic module", "about 4 minutes");
        build::execute()?;
        if levels.iter().any(|level| level.runs_envoy()) {
            build::dynamic_module()?;
        }
        if levels.contains(&Level::Instructions) {
            stages.begin("Counting instructions, half a minute", "3 minutes: it brings a WebAssembly compiler");
            self.count_instructions()?;
        }
        if levels.contains(&Level::Micro) {
            stages.begin("Measuring the hot paths natively, a minute", "2 minutes");
            self.run_micro()?;
        }
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--profile", "bench", "--package", "tracelift-envoy", "--example", "bench", "--"]);
        for level in &levels {
            cargo.arg("--level").arg(level.name());
        }
        if self.quick {
            cargo.arg("--quick");
        }
        if levels.iter().any(|level| level.runs_envoy()) {
            cargo.env(envoy::VARIABLE, envoy::ensure()?);
        }
        stages.begin("Building and running the report", "minutes, optimised");
        run::become_command(cargo.args(&self.rest).env("TRACELIFT_WASM", workspace::module()))
    }

    fn levels(&self) -> Result<Vec<Level>> {
        let levels = if self.level.is_empty() { Level::value_variants().to_vec() } else { self.level.clone() };
        if self.accept && !levels.contains(&Level::Instructions) {
            bail!("--accept is about instructions, which --level leaves out; add `--level instructions`");
        }
        Ok(levels)
    }

    /// The dev profile will do: what is counted does not depend on it.
    fn count_instructions(&self) -> Result<()> {
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-host", "--example", "cost"]);
        if self.accept {
            cargo.args(["--", "--accept"]);
        }
        run::run(cargo.env("TRACELIFT_WASM", workspace::module()))
    }

    fn run_micro(&self) -> Result<()> {
        let mut cargo = workspace::native_cargo();
        cargo.args(["bench", "--package", workspace::ENGINE, "--bench", "micro"]);
        if self.quick {
            cargo.args(["--", "--quick"]);
        }
        run::run(&mut cargo)
    }
}

impl Level {
    fn runs_envoy(self) -> bool {
        matches!(self, Self::Envoy | Self::Memory | Self::Workers | Self::Ticks | Self::Callgrind)
    }

    fn name(self) -> OsString {
        self.to_possible_value().map(|value| OsStr::new(value.get_name()).to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(level: &[Level], accept: bool) -> Bench {
        Bench { level: level.to_vec(), quick: false, accept, rest: Vec::new() }
    }

    #[test]
    fn all_levels_are_measured_unless_some_are_named() {
        assert_eq!(bench(&[], false).levels().unwrap(), Level::value_variants());
        assert_eq!(bench(&[Level::Micro], false).levels().unwrap(), [Level::Micro]);
    }

    #[test]
    fn nothing_is_accepted_that_was_not_counted() {
        assert!(bench(&[Level::Instructions], true).levels().is_ok());
        let error = bench(&[Level::Envoy], true).levels().unwrap_err().to_string();
        assert!(error.contains("--level instructions"), "{error}");
    }
}
