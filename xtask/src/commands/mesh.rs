//! `cargo xtask mesh`: a mesh of simulated Envoys, judged while it runs.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::commands::build;
use crate::commands::options::{self, mesh::Arguments};
use crate::stage::Stages;
use crate::{run, workspace};

/// Options go to the simulation, `--help` too.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Mesh {
    /// Options of the simulation: `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    rest: Vec<OsString>,
}

impl Mesh {
    /// Builds the module, then becomes the simulation.
    pub(crate) fn execute(&self) -> Result<()> {
        options::read::<Arguments>("cargo xtask mesh", &self.rest);
        let mut stages = Stages::new(2);
        stages.begin("Building the module that every simulated Envoy runs", "about 2 minutes");
        build::execute()?;
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-host", "--example", "mesh", "--"]).args(&self.rest);
        stages.begin("Building and running the simulation", "3 minutes: it brings a WebAssembly compiler");
        run::become_command(cargo.env("TRACELIFT_WASM", workspace::module()))
    }
}
