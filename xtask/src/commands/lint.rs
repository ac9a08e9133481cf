//! `cargo xtask lint`: what a reviewer should never have to say.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::commands::deny::{self, Advisories};
use crate::commands::schema;
use crate::tools::wasm_toolchain::WasmToolchain;
use crate::tools::{cxx, rustup};
use crate::{run, workspace};

/// What is checked, and how.
type Check = (&'static str, fn() -> Result<()>);

/// Runs every check, also after one has failed, and fails when any did.
pub(crate) fn execute() -> Result<()> {
    ensure_components()?;
    cxx::ensure()?; // Clippy sees the fuzzer, whose libFuzzer is compiled for that.
    let checks: [Check; 6] = [
        ("Cargo.lock is up to date", || run::run(&mut cargo(&["fetch", "--locked"]))),
        ("formatting", || run::run(&mut cargo(&["fmt", "--all", "--check"]))),
        ("Clippy, native", || {
            run::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
        }),
        ("Clippy, the module", || run::run(&mut WasmToolchain::ensure()?.clippy()?)),
        ("configuration schema", || schema::execute(true)),
        ("dependencies", || deny::execute(Advisories::IfThere)),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        println!("-- {name}");
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

/// rustup's minimal profile has neither of them.
fn ensure_components() -> Result<()> {
    let here = || ["fmt", "clippy"].iter().all(|tool| run::output(&mut cargo(&[tool, "--version"])).is_ok());
    if here() {
        return Ok(());
    }
    const HOW: &str = "rustfmt or Clippy is missing. Run:\n  rustup component add rustfmt clippy";
    if !rustup::may_download() {
        bail!(HOW);
    }
    rustup::download(&["component", "add", "rustfmt", "clippy"]).context(HOW)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = workspace::native_cargo();
    cargo.args(arguments);
    cargo
}
