//! The commands, one file each.

mod build;
mod clean_cache;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and shows Tracelift. Each command fetches what it lacks and says so.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Xtask {
    #[command(subcommand)]
    pub(crate) command: XtaskCommand,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum XtaskCommand {
    /// Build the module that Envoy loads: target/tracelift.wasm
    ///
    /// Uses the Rust that runs this command when it has the target wasm32-wasip1, else Debian's Rust packages; fetches one of
    /// the two when neither is here. Prints the module's size in bytes and its SHA-256. The same sources give the same
    /// bytes wherever the tree is.
    Build,
    /// Fetch what is missing (a Rust for wasm, Envoy) and print where everything is
    Tools,
    /// Remove what was fetched into the cache folder
    ///
    /// The folder is $TRACELIFT_CACHE, else $XDG_CACHE_HOME/tracelift or ~/.cache/tracelift.
    CleanCache,
}

impl XtaskCommand {
    /// Runs the command to its end.
    pub(crate) fn execute(self) -> Result<()> {
        match self {
            Self::Build => build::execute().map(drop),
            Self::Tools => tools::execute(),
            Self::CleanCache => clean_cache::execute(),
        }
    }
}
