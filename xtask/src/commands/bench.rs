//! `cargo xtask bench`: what the module costs, counted exactly by our proxy-wasm host.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::commands::build;
use crate::{run, workspace};

/// Options go to the report.
#[derive(Args)]
pub(crate) struct Bench {
    /// Options of the report
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

impl Bench {
    /// Builds the module, then becomes the report. The dev profile will do: what is counted does not depend on it.
    pub(crate) fn execute(&self) -> Result<()> {
        build::execute()?;
        let mut cargo = workspace::native_cargo();
        cargo.args(["run", "--package", "tracelift-host", "--example", "cost", "--"]).args(&self.rest);
        println!("Building and running the cost report …");
        run::become_command(cargo.env("TRACELIFT_WASM", workspace::module()))
    }
}
