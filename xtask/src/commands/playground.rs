//! `cargo xtask playground`: the engine on one page.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;

use crate::commands::options;
use crate::stage::Stages;
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
    /// Port on 127.0.0.1; 0 takes a free one [default: 7879, or a free one when that is taken]
    #[arg(long)]
    port: Option<u16>,
}

/// The page, and the program that makes and serves it.
pub(crate) struct Built {
    pub(crate) page: PathBuf,
    program: PathBuf,
}

impl Playground {
    /// Makes the page, then becomes its server.
    pub(crate) fn execute(&self) -> Result<()> {
        self.port.filter(|port| *port != 0).map_or(Ok(()), options::check_port)?;
        let built = build(false)?;
        if self.build {
            println!("The page is {}", built.page.display());
            return Ok(());
        }
        let mut serve = Command::new(built.program);
        serve.arg("serve").arg("--page").arg(built.page);
        if let Some(port) = self.port {
            serve.arg("--port").arg(port.to_string());
        }
        run::become_command(&mut serve)
    }
}

/// Makes the page and says where it is. With what its tests need, the bundler is built only once: what they share has other
/// features without them.
pub(crate) fn build(with_tests: bool) -> Result<Built> {
    let mut stages = Stages::new(3);
    let toolchain = WasmToolchain::ensure_for_page()?;
    stages.begin(&format!("Building the engine for browsers with {}", toolchain.describe()), "a minute");
    let mut fetch = workspace::native_cargo();
    run::run(fetch.args(["fetch", "--target", PAGE_TARGET])).context("could not fetch dependencies")?;
    run::run(&mut toolchain.build_page()).context("the engine did not build")?;
    stages.begin("Building what makes the page", "two minutes");
    let page = workspace::target_dir().join("playground").join("index.html");
    let mut cargo = workspace::native_cargo();
    cargo.args(["build", "--message-format", "json-render-diagnostics", "--package", workspace::PLAYGROUND, "--bins"]);
    if with_tests {
        cargo.arg("--tests");
    }
    let messages = run::output(cargo.stderr(Stdio::inherit()))?;
    let program = workspace::built_program(&messages, workspace::PLAYGROUND)?;
    stages.begin("Making the page", "a second");
    let mut bundle = Command::new(&program);
    run::run(bundle.arg("bundle").arg("--engine").arg(toolchain.page_artifact()).arg("--page").arg(&page))?;
    Ok(Built { page, program })
}
