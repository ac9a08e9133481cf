//! Miri, the interpreter that finds undefined behaviour. A component of a nightly Rust alone.

use std::process::Command;

use anyhow::{Result, bail};

use crate::tools::rustup;
use crate::{run, workspace};

/// The toolchain that has it.
const TOOLCHAIN: &str = "nightly";
/// Random cases of a property: each instruction costs a hundred times what it does natively.
const CASES: &str = "4";
/// What runs: modules of the engine that work on bytes and numbers, some of it unsafe in its dependencies.
const MODULES: [&str; 7] =
    ["http::", "json::", "otlp::", "span::redaction", "trace_context::", "upgrade::recall::", "upgrade::slots"];

/// The command that runs the unit tests of these modules. Makes sure that there is a Miri.
pub(crate) fn tests() -> Result<Command> {
    ensure()?;
    let mut cargo = cargo();
    cargo.args(["miri", "test", "--package", workspace::ENGINE, "--lib", "--"]).args(MODULES);
    // Proptest reads its environment and the directory that it is in.
    cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", CASES);
    Ok(cargo)
}

fn ensure() -> Result<()> {
    let here = || run::output(cargo().args(["miri", "--version"])).is_ok();
    if here() {
        return Ok(());
    }
    const COMPONENTS: [&str; 5] = ["component", "add", "--toolchain", TOOLCHAIN, "miri"];
    if rustup::may_download() {
        rustup::download(&["toolchain", "install", TOOLCHAIN, "--profile", "minimal"])?;
        rustup::download(&[&COMPONENTS[..], &["rust-src"]].concat())?;
    }
    if here() {
        return Ok(());
    }
    let how = format!("rustup toolchain install {TOOLCHAIN} --component miri --component rust-src");
    match rustup::unreachable_note() {
        Some(note) => bail!("Miri is missing. {note}. Where rustup reaches its server, run:\n  {how}"),
        None => bail!("Miri is missing. Run:\n  {how}"),
    }
}

/// rustup's own `cargo`: the one that runs us belongs to another toolchain, which it would pass on.
fn cargo() -> Command {
    let mut rustup = Command::new("rustup");
    rustup
        .args(["run", TOOLCHAIN, "cargo"])
        .current_dir(workspace::root())
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    rustup
}
