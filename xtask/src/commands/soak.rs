//! `cargo xtask soak`: hours in minutes, and as many minutes as you like.

use anyhow::Result;
use clap::Args;

use crate::commands::build;
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
        build::execute()?;
        let envoy = envoy::ensure()?;
        println!("Building and starting the soak …");
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-envoy", "--example", "soak", "--"]).arg(self.minutes.to_string());
        run::become_command(cargo.env("TRACELIFT_WASM", workspace::module()).env(envoy::VARIABLE, envoy))
    }
}
