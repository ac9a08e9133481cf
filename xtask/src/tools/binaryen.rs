//! `wasm-opt`, which takes from a module what the linker leaves: about a seventh of ours, and as much of Envoy's time to load it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;
use crate::tools::debian;

const PROGRAM: &str = "wasm-opt";
const PACKAGE: &str = "binaryen";

/// What Rust's wasm targets may use. Named one by one, because versions of `wasm-opt` differ in what they take for granted.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// The program and its version.
pub(crate) struct Binaryen {
    program: PathBuf,
    version: String,
}

impl Binaryen {
    /// Takes the one on `PATH`, or installs it where we may.
    pub(crate) fn ensure() -> Result<Self> {
        if run::find_on_path(PROGRAM).is_none() && debian::can_install() {
            debian::install(&[PACKAGE])?;
        }
        let Some(program) = run::find_on_path(PROGRAM) else {
            let line =
                if debian::is_debian() { debian::install_line(&[PACKAGE]) } else { format!("brew install {PACKAGE}") };
            bail!("{PROGRAM} is not on PATH; it makes the module small enough. It is part of Binaryen. Run:\n  {line}");
        };
        let version = run::output(Command::new(&program).arg("--version"))?;
        Ok(Self { program, version })
    }

    /// One line for a person.
    pub(crate) fn describe(&self) -> &str {
        &self.version
    }

    /// The module, optimised for size, with the names of its functions and without other debug sections.
    pub(crate) fn optimise(&self, module: &Path) -> Result<Vec<u8>> {
        let optimised = module.with_extension("optimised.wasm");
        let mut command = Command::new(&self.program);
        command
            .args(FEATURES)
            .args(["-Oz", "-g", "--strip-dwarf", "--strip-producers"])
            // Below 1 KB is the far end of the stack and never data, so that constants may be folded into addresses.
            .arg("--low-memory-unused")
            .arg(module)
            .arg("-o")
            .arg(&optimised);
        run::run(&mut command).context("the module could not be optimised")?;
        fs::read(&optimised).with_context(|| format!("{PROGRAM} left no {}", optimised.display()))
    }
}
