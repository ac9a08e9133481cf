//! `cargo xtask playground`: the engine on one page.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::tools::wasm_toolchain::{PAGE_TARGET, WasmToolchain};
use crate::{run, workspace};

/// Names the page to the tests.
pub(crate) const VARIABLE: &str = "TRACELIFT_PLAYGROUND";

/// What to do with the page.
#[derive(Args)]
pub(crate) struct Playground {
    /// Make the page and do not serve it
    #[arg(long)]
    build: bool,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 7879)]
    port: u16,
}

impl Playground {
    /// Makes the page, then becomes its server.
    pub(crate) fn execute(&self) -> Result<()> {
        let page = build(false)?;
        if self.build {
            return Ok(());
        }
        let mut serve = Command::new(program());
        serve.arg("serve").arg("--page").arg(page).arg("--port").arg(self.port.to_string());
        run::become_command(&mut serve)
    }
}

/// Makes the page and says where it is. With what its tests need, the bundler is built only once: what they share has other
/// features without them.
pub(crate) fn build(with_tests: bool) -> Result<PathBuf> {
    let toolchain = WasmToolchain::ensure_for_page()?;
    println!("Building the engine for browsers with {} …", toolchain.describe());
    let mut fetch = workspace::native_cargo();
    run::run(fetch.args(["fetch", "--quiet", "--target", PAGE_TARGET])).context("could not fetch dependencies")?;
    run::run(&mut toolchain.build_page()).context("the engine did not build")?;
    println!("Making the page …");
    let page = workspace::root().join("target").join("playground").join("index.html");
    let mut cargo = workspace::native_cargo();
    cargo.args(["build", "--quiet", "--package", workspace::PLAYGROUND, "--bins"]);
    if with_tests {
        cargo.arg("--tests");
    }
    run::run(&mut cargo)?;
    let mut bundle = Command::new(program());
    run::run(bundle.arg("bundle").arg("--engine").arg(toolchain.page_artifact()).arg("--page").arg(&page))?;
    Ok(page)
}

/// The bundler and server, built.
fn program() -> PathBuf {
    workspace::root().join("target").join("debug").join(workspace::PLAYGROUND)
}
