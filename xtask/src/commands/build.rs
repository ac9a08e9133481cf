//! `cargo xtask build`: the module, at `target/tracelift.wasm`, or the dynamic module, at `target/libtracelift.so`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::artefact::elf::Elf;
use crate::artefact::sizes::Sizes;
use crate::artefact::{digest, library, module};
use crate::tools::binaryen::Binaryen;
use crate::tools::machine::Machine;
use crate::tools::wasm_toolchain::{TARGET, WasmToolchain};
use crate::{run, workspace};

/// Bytes that the module may have. Envoy compiles it for each update, so that growth is a decision and not an accident.
pub(crate) const SIZE_LIMIT: usize = 620_000;

/// Names the dynamic module for tests whose Envoys are to have it.
pub(crate) const DYNAMIC_MODULE: &str = "TRACELIFT_DYNAMIC_MODULE";

/// How much to say.
#[derive(Args)]
pub(crate) struct Build {
    /// Print what the bytes are spent on: code of each room and library, and the largest functions
    #[arg(long, conflicts_with = "dynamic_module")]
    sizes: bool,
    /// Build Envoy's dynamic module instead, target/libtracelift.so, and check what it needs of a system
    #[arg(long)]
    dynamic_module: bool,
}

impl Build {
    /// Builds the module.
    pub(crate) fn execute(&self) -> Result<()> {
        if self.dynamic_module {
            return dynamic_module().map(|_| ());
        }
        let (_, sizes) = build()?;
        if self.sizes {
            println!("\n{}", sizes.whole());
        } else {
            println!("{}", sizes.short());
            println!("  `cargo xtask build --sizes` prints all of them, and the largest functions.");
        }
        Ok(())
    }
}

/// Builds the module, for a command that needs it, and returns its size in bytes.
pub(crate) fn execute() -> Result<usize> {
    let (bytes, sizes) = build()?;
    println!("{}", sizes.short());
    Ok(bytes)
}

/// Builds the dynamic module, for a command that needs it, and returns what it needs itself.
pub(crate) fn dynamic_module() -> Result<Elf> {
    let started = Instant::now();
    println!("Building the dynamic module …");
    let built = library::build(Machine::host()?, None)?;
    let needs = Elf::read(&built)?;
    library::check(&needs)?;
    let written = write_if_changed(&workspace::dynamic_module(), &built)?;
    println!(
        "target/libtracelift.so  {} bytes  sha256 {}  ({}, {:.1} s)\n  loads with glibc {} or later and needs no other library",
        built.len(),
        digest::sha256(&built),
        if written { "written" } else { "unchanged" },
        started.elapsed().as_secs_f32(),
        library::GLIBC,
    );
    Ok(needs)
}

fn build() -> Result<(usize, Sizes)> {
    let started = Instant::now();
    let named = named(None)?;
    let built = module::without_names(&named)?;
    let written = write_if_changed(&workspace::module(), &built)?;
    let state = if written { "written" } else { "unchanged" };
    println!(
        "target/tracelift.wasm  {} bytes  sha256 {}  ({state}, {:.1} s)",
        built.len(),
        digest::sha256(&built),
        started.elapsed().as_secs_f32()
    );
    if SIZE_LIMIT < built.len() {
        println!("Warning: that is above the limit of {SIZE_LIMIT} bytes.");
    }
    Ok((built.len(), Sizes::of(&named)?))
}

/// The optimised module with the names of its functions. It says that it was built from `commit`.
pub(crate) fn named(commit: Option<&str>) -> Result<Vec<u8>> {
    let toolchain = WasmToolchain::ensure()?;
    let binaryen = Binaryen::ensure()?;
    println!("Building the module with {} and {} …", toolchain.describe(), binaryen.describe());
    fetch_dependencies()?;
    run::run(&mut toolchain.build(commit)).context("the module did not build")?;
    binaryen.optimise(&toolchain.artifact())
}

/// Sources of dependencies, before their folders go into flags of the compiler.
fn fetch_dependencies() -> Result<()> {
    let mut fetch = workspace::native_cargo();
    run::run(fetch.args(["fetch", "--target", TARGET])).context("could not fetch dependencies")
}

/// Leaves a file with the same content alone, so that nothing that depends on it is done again; else replaces it in one step,
/// because an Envoy or a test may be reading it.
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    fs::write(&partial, content)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("could not write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_module_is_not_touched() {
        let path = std::env::temp_dir().join(format!("tracelift-module-{}", std::process::id()));
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_file(path).unwrap();
    }
}
