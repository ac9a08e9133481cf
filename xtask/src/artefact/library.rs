//! The dynamic module: how it is built, and what it may ask of the Envoy and the system that load it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::artefact::digest;
use crate::artefact::elf::Elf;
use crate::artefact::sbom::Subject;
use crate::tools::machine::Machine;
use crate::tools::wasm_toolchain;
use crate::{run, workspace};

/// Of Cargo: native code, optimised, which unwinds.
const PROFILE: &str = "dynamic";
/// Tells the crates which commit they are built from.
const COMMIT: &str = "TRACELIFT_COMMIT";
/// The oldest C library that loads it: what `dl_iterate_phdr`'s successor `_dl_find_object` came with, by which GCC 12's unwinder
/// finds frames.
pub(crate) const GLIBC: &str = "2.35";
/// All that it may load: what every image that has an Envoy built with glibc has. The loader itself has another name on each
/// architecture.
const LIBRARIES: [&str; 2] = ["libc.so.6", "ld-linux-"];
/// What Envoy itself must export.
const CALLBACKS: &str = "envoy_dynamic_module_callback_";

/// Builds the library for a machine, stripped. It says that it was built from `commit`.
pub(crate) fn build(machine: Machine, commit: Option<&str>) -> Result<Vec<u8>> {
    machine.ensure()?;
    let mut cargo = workspace::native_cargo();
    cargo.args([
        "rustc",
        "--package",
        workspace::DYNAMIC,
        "--lib",
        "--profile",
        PROFILE,
        "--target",
        &machine.target(),
    ]);
    match commit {
        Some(commit) => cargo.env(COMMIT, commit),
        None => cargo.env_remove(COMMIT),
    };
    cargo.envs(machine.linker_variable());
    let remaps = wasm_toolchain::remaps(&wasm_toolchain::sysroot()?);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remaps.join("\u{1f}"));
    cargo.arg("--").arg("-L").arg(format!("native={}", static_unwinder()?.display()));
    run::run(&mut cargo).context("the dynamic module did not build")?;
    built(&workspace::target_dir().join(machine.target()).join(PROFILE))
}

/// Builds the library of the tests, whose hooks panic when they are asked to: quickly, and for this machine only.
pub(crate) fn build_with_faults() -> Result<Vec<u8>> {
    let mut cargo = workspace::native_cargo();
    cargo.args(["build", "--package", workspace::DYNAMIC, "--lib", "--features", "faults"]);
    run::run(&mut cargo).context("the dynamic module with faults did not build")?;
    built(&workspace::target_dir().join("debug"))
}

fn built(folder: &Path) -> Result<Vec<u8>> {
    let library = folder.join(format!("lib{}.so", workspace::DYNAMIC.replace('-', "_")));
    fs::read(&library).with_context(|| format!("Cargo left no {}", library.display()))
}

/// A library of a release.
pub(crate) struct Library {
    machine: Machine,
    pub(crate) bytes: Vec<u8>,
}

impl Library {
    /// Builds one, and checks what it needs and that it says its commit.
    pub(crate) fn build(machine: Machine, commit: &str) -> Result<Self> {
        println!("Building the dynamic module for {} …", machine.name());
        let bytes = build(machine, Some(commit))?;
        check(&Elf::read(&bytes)?)?;
        if !bytes.windows(commit.len()).any(|part| part == commit.as_bytes()) {
            bail!("the dynamic module for {} does not say commit {commit}", machine.name());
        }
        Ok(Self { machine, bytes })
    }

    /// Another name for each version: a process does not read a file again that it has loaded.
    pub(crate) fn file(&self, version: &str) -> String {
        format!("libtracelift-{version}-{}.so", self.machine.name())
    }

    /// For its bill of materials; `file` is its name in the release.
    pub(crate) fn subject<'a>(&'a self, file: &'a str, version: &'a str, time: &'a str) -> Subject<'a> {
        Subject::library(file, &self.bytes, self.machine.target(), version, time)
    }

    /// For programs.
    pub(crate) fn summary(&self, version: &str) -> Value {
        json!({
            "file": self.file(version),
            "machine": self.machine.name(),
            "glibc": GLIBC,
            "bytes": self.bytes.len(),
            "sha256": digest::sha256(&self.bytes),
        })
    }
}

/// What release notes say of the libraries.
pub(crate) fn notes(libraries: &[Library], version: &str) -> String {
    let mut notes =
        format!("\n### Dynamic modules\n\nFor Envoy 1.38 and later on Linux with glibc {GLIBC} or later:\n\n");
    for library in libraries {
        notes.push_str(&format!("- `{}`, sha256 `{}`\n", library.file(version), digest::sha256(&library.bytes)));
    }
    notes
}

/// A folder for the linker, whose `libgcc_s.so` is the unwinder of the static libgcc: a distroless image has no such library, and
/// Rust asks for it by this name.
fn static_unwinder() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("static-unwinder");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n")?;
    Ok(folder)
}

/// Fails where the library would not load on a system with nothing but the C library of [`GLIBC`].
pub(crate) fn check(library: &Elf) -> Result<()> {
    let foreign = library.libraries.iter().find(|name| !LIBRARIES.iter().any(|ours| name.starts_with(ours)));
    if let Some(foreign) = foreign {
        bail!("the dynamic module needs {foreign}, which not every image has");
    }
    let floor = version(GLIBC);
    let newer = library.versions.iter().filter_map(|name| name.strip_prefix("GLIBC_"));
    if let Some(newer) = newer.filter(|found| floor < version(found)).max_by_key(|found| version(found)) {
        bail!("the dynamic module needs glibc {newer}; it is promised to load with {GLIBC}");
    }
    Ok(())
}

/// `2.34` as numbers, to be compared.
fn version(text: &str) -> Vec<u32> {
    text.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Callbacks that the library needs and an Envoy does not export. Such an Envoy refuses the configuration with the name of one.
pub(crate) fn missing(library: &Elf, envoy: &Path) -> Result<BTreeSet<String>> {
    let envoy = fs::read(envoy).with_context(|| format!("could not read {}", envoy.display()))?;
    let offered = Elf::read(&envoy)?.exports;
    let callbacks = library.imports.iter().filter(|name| name.starts_with(CALLBACKS));
    Ok(callbacks.filter(|name| !offered.contains(*name)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(libraries: &[&str], versions: &[&str]) -> Elf {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Elf { libraries: set(libraries), versions: set(versions), ..Elf::default() }
    }

    #[test]
    fn a_file_of_a_release_names_version_and_machine_and_its_notes_the_digest() {
        let library = Library { machine: Machine::Aarch64, bytes: b"library".to_vec() };
        assert_eq!(library.file("1.2.3"), "libtracelift-1.2.3-aarch64.so");
        let digest = library.summary("1.2.3")["sha256"].as_str().unwrap().to_owned();
        let notes = notes(&[library], "1.2.3");
        assert!(notes.contains(&format!("- `libtracelift-1.2.3-aarch64.so`, sha256 `{digest}`")), "{notes}");
        assert!(notes.contains("glibc 2.35"), "{notes}");
    }

    #[test]
    fn a_library_may_need_the_c_library_up_to_the_promised_version_and_no_other() {
        let c = ["libc.so.6", "ld-linux-x86-64.so.2"];
        check(&library(&c, &["GLIBC_2.2.5", "GLIBC_2.35", "GCC_3.0"])).unwrap();
        let error = check(&library(&c, &["GLIBC_2.36", "GLIBC_2.4"])).unwrap_err().to_string();
        assert!(error.contains("needs glibc 2.36"), "{error}");
        let error = check(&library(&["libgcc_s.so.1"], &[])).unwrap_err().to_string();
        assert!(error.contains("libgcc_s.so.1"), "{error}");
    }
}
