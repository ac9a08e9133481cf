//! `cargo xtask demo`: the shop, its mesh and its collector, on this machine.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::commands::build;
use crate::tools::{collector, envoy, moto};
use crate::{run, workspace};

/// The shop's own options go through as they are.
#[derive(Args)]
pub(crate) struct Demo {
    /// Stop after this many requests instead of running until Ctrl-C
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// No live view: fail if an error's span is missing or a decision is inconsistent
    #[arg(long)]
    check: bool,
    /// All the way into AWS X-Ray: the shop, its Envoys, an OpenTelemetry Collector, and moto as X-Ray's API
    ///
    /// With credentials and AWS_REGION in the environment, `-- --aws` writes to the real service instead.
    #[arg(long, conflicts_with = "check")]
    xray: bool,
    /// More options for the shop, or for the demo of X-Ray; `-- --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

impl Demo {
    /// The unattended run that the tests end with.
    pub(crate) fn checked(requests: u64) -> Self {
        Self { requests: Some(requests), check: true, xray: false, rest: Vec::new() }
    }

    /// Builds what it needs, then becomes the shop: a Ctrl-C is the shop's alone to handle.
    pub(crate) fn execute(&self) -> Result<()> {
        build::execute()?;
        let envoy = envoy::ensure()?;
        if self.xray {
            return self.execute_xray(&envoy);
        }
        println!("Building and starting the shop …");
        run::become_command(&mut self.command(&envoy))
    }

    fn execute_xray(&self, envoy: &Path) -> Result<()> {
        let mut demo = self.cargo_run("tracelift-xray", envoy);
        demo.env(moto::VARIABLE, moto::ensure()?).env(collector::VARIABLE, collector::ensure()?);
        println!("Building and starting the shop …");
        run::become_command(&mut demo)
    }

    /// The shop's command line. The dev profile: it compiles in a fraction of the time, and Envoy does the work.
    pub(crate) fn command(&self, envoy: &Path) -> Command {
        self.cargo_run("tracelift-shop", envoy)
    }

    fn cargo_run(&self, package: &str, envoy: &Path) -> Command {
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", package, "--"]);
        if let Some(requests) = self.requests {
            cargo.arg("--requests").arg(requests.to_string());
        }
        if self.check {
            cargo.arg("--check");
        }
        cargo.args(&self.rest).env("TRACELIFT_WASM", workspace::module()).env(envoy::VARIABLE, envoy);
        cargo
    }
}
