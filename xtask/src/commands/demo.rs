//! `cargo xtask demo`: the shop, its mesh and its collector, on this machine.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::commands::{build, options};
use crate::stage::Stages;
use crate::tools::tracelift_otel::TraceliftOtel;
use crate::tools::{collector, envoy, moto};
use crate::{run, workspace};

/// What to do where the packages cannot be had, as without a network.
const WITHOUT_PYTHON: &str =
    "the shop's Python service cannot be set up. To run the demo without it:\n  cargo xtask demo --without-python";

/// The shop's own options go through as they are.
#[derive(Args)]
#[command(after_help = other_options())]
pub(crate) struct Demo {
    /// Stop after this many requests instead of running until Ctrl-C
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// No live view: fail if an error's span is missing or a decision is inconsistent
    #[arg(long)]
    check: bool,
    /// All the way into AWS X-Ray: the shop, its Envoys, an OpenTelemetry Collector, and moto as X-Ray's API
    ///
    /// With credentials and AWS_REGION in the environment, `--xray --aws` writes to the real service instead.
    #[arg(long, conflicts_with = "check")]
    xray: bool,
    /// Run the filter as Envoy's dynamic module instead of the wasm module
    #[arg(long)]
    dynamic_module: bool,
    /// More options, listed below
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    rest: Vec<OsString>,
}

/// Lists what the shop and the demo of X-Ray take, for `--help`.
fn other_options() -> String {
    let shop = options::list::<options::shop::Options>("Options of the shop");
    let xray = options::list::<options::xray::Options>("With --xray");
    format!("{shop}\n\n{xray}")
}

impl Demo {
    /// The unattended run that the tests end with.
    pub(crate) fn checked(requests: u64) -> Self {
        Self { requests: Some(requests), check: true, xray: false, dynamic_module: false, rest: Vec::new() }
    }

    /// A scenario in which the rate steers itself, verified.
    pub(crate) fn scenario(name: &str) -> Self {
        let rest = vec!["--scenario".into(), name.into()];
        Self { requests: None, check: true, xray: false, dynamic_module: false, rest }
    }

    /// Builds what it needs, then becomes the shop: a Ctrl-C is the shop's alone to handle.
    pub(crate) fn execute(&self) -> Result<()> {
        let python = if self.xray {
            options::read::<options::xray::Options>("cargo xtask demo --xray", &self.arguments());
            false
        } else {
            let shop = options::read::<options::shop::Options>("cargo xtask demo", &self.arguments());
            shop.port.filter(|port| *port != 0).map_or(Ok(()), options::check_port)?;
            !shop.without_python
        };
        let mut stages = Stages::new(if self.xray { 5 } else { 3 + usize::from(python) });
        stages.begin("Building the module that Envoy loads", "about 2 minutes");
        build::execute()?;
        if self.dynamic_module {
            build::dynamic_module()?;
        }
        stages.begin("Looking for Envoy", "a download of 37 MB");
        let envoy = envoy::ensure()?;
        if self.xray {
            return self.execute_xray(&envoy, &mut stages);
        }
        let package = if python {
            stages.begin("Looking for OpenTelemetry for Python, which one service uses", "a download of 30 MB");
            Some(TraceliftOtel::ensure().context(WITHOUT_PYTHON)?)
        } else {
            None
        };
        stages.begin("Building and starting the shop", "a minute or two");
        run::become_command(&mut self.command(&envoy, package.as_ref()))
    }

    fn execute_xray(&self, envoy: &Path, stages: &mut Stages) -> Result<()> {
        let mut demo = self.cargo_run("tracelift-xray", envoy);
        stages.begin("Looking for moto, which stands in for X-Ray", "a download of 30 MB");
        demo.env(moto::VARIABLE, moto::ensure()?);
        stages.begin("Looking for an OpenTelemetry Collector", "a few minutes: Go builds it");
        demo.env(collector::XRAY.variable, collector::XRAY.ensure()?);
        stages.begin("Building and starting the shop", "a minute or two");
        run::become_command(&mut demo)
    }

    /// The shop's command line. The dev profile: it compiles in a fraction of the time, and Envoy does the work.
    pub(crate) fn command(&self, envoy: &Path, package: Option<&TraceliftOtel>) -> Command {
        let mut shop = self.cargo_run("tracelift-shop", envoy);
        shop.envs(package.into_iter().flat_map(TraceliftOtel::variables));
        shop
    }

    fn cargo_run(&self, package: &str, envoy: &Path) -> Command {
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", package, "--"]).args(self.arguments());
        cargo.env("TRACELIFT_WASM", workspace::module()).env(envoy::VARIABLE, envoy);
        if self.dynamic_module {
            println!("The Envoys run the dynamic module.");
            cargo.env(build::DYNAMIC_MODULE, workspace::dynamic_module());
        }
        cargo
    }

    /// What the program is started with.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if let Some(requests) = self.requests {
            arguments.extend(["--requests".into(), requests.to_string().into()]);
        }
        if self.check {
            arguments.push("--check".into());
        }
        arguments.extend(self.rest.iter().cloned());
        arguments
    }
}
