//! `cargo xtask mesh`: a mesh of simulated Envoys, judged while it runs.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::commands::build;
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
        build::execute()?;
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-host", "--example", "mesh", "--"]).args(&self.rest);
        println!("Building and running the simulation …");
        run::become_command(cargo.env("TRACELIFT_WASM", workspace::module()))
    }
}
