//! `cargo xtask soak`: hours in minutes, and as many minutes as you like.

use anyhow::Result;
use clap::Args;

use crate::commands::build;
use crate::stage::Stages;
use crate::tools::envoy;
use crate::{run, workspace};

/// How long.
#[derive(Args)]
pub(crate) struct Soak {
    /// Minutes of traffic
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
}

impl Soak {
    /// Builds what it needs, then becomes the soak, whose exit code is the verdict.
    pub(crate) fn execute(&self) -> Result<()> {
        let mut stages = Stages::new(3);
        stages.begin("Building the module that Envoy loads", "about 2 minutes");
        build::execute()?;
        stages.begin("Looking for Envoy", "a download of 37 MB");
        let envoy = envoy::ensure()?;
        stages.begin("Building and starting the soak", "a minute or two");
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-envoy", "--example", "soak", "--"]).arg(self.minutes.to_string());
        run::become_command(cargo.env("TRACELIFT_WASM", workspace::module()).env(envoy::VARIABLE, envoy))
    }
}
