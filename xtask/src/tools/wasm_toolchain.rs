//! Which Rust builds the module, and the command lines that it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::tools::system_rust::{self, SystemRust, Version};
use crate::tools::{debian, rustup};
use crate::{run, workspace};

/// WASI preview 1: real entropy and clocks in each VM. Not a `targets` line of a toolchain file: that would make rustup download
/// on every command, and fail all of them where it cannot.
pub(crate) const TARGET: &str = "wasm32-wasip1";
/// A browser: no system interface at all. What `wasm-bindgen` speaks to.
pub(crate) const PAGE_TARGET: &str = "wasm32-unknown-unknown";
/// Takes one of the two toolchains, `native` or `system`, instead of choosing; for finding out why a build differs.
const OVERRIDE: &str = "TRACELIFT_WASM_RUST";
/// Tells the plugin's crate which commit it is built from.
const COMMIT: &str = "TRACELIFT_COMMIT";

/// A Rust that builds for wasm here.
pub(crate) enum WasmToolchain {
    /// The one that runs us; it has the target.
    Native { version: String, sysroot: PathBuf },
    /// The operating system's.
    System(SystemRust),
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Facts {
    native_has_target: bool,
    has_system: bool,
    rustup_may_download: bool,
    can_install_packages: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    UseNative,
    UseSystem,
    AddTarget,
    InstallPackages,
    GiveUp,
}

/// What is here goes before what must be fetched; a target of 25 MB before packages of 250 MB.
fn choose(facts: Facts) -> Step {
    match facts {
        Facts { native_has_target: true, .. } => Step::UseNative,
        Facts { has_system: true, .. } => Step::UseSystem,
        Facts { rustup_may_download: true, .. } => Step::AddTarget,
        Facts { can_install_packages: true, .. } => Step::InstallPackages,
        _ => Step::GiveUp,
    }
}

impl WasmToolchain {
    /// Finds one for the module, and fetches it when there is none and we may. Each way to fetch is tried once.
    pub(crate) fn ensure() -> Result<Self> {
        Self::ensure_for(TARGET)
    }

    /// The same for the engine of the playground.
    pub(crate) fn ensure_for_page() -> Result<Self> {
        Self::ensure_for(PAGE_TARGET)
    }

    fn ensure_for(target: &str) -> Result<Self> {
        let least = least_version()?;
        let only = env::var(OVERRIDE).ok();
        let wants = |kind: &str| only.as_deref().is_none_or(|only| only == kind);
        let mut rustup_may_download = wants("native") && rustup::may_download();
        let mut can_install_packages = wants("system") && debian::can_install();
        loop {
            let system = if wants("system") { SystemRust::find(least) } else { None };
            let facts = Facts {
                native_has_target: wants("native") && native_has_target(target)?,
                has_system: system.is_some(),
                rustup_may_download,
                can_install_packages,
            };
            match (choose(facts), system) {
                (Step::UseNative, _) => return Self::native(),
                (Step::UseSystem, Some(system)) => return Ok(Self::System(system)),
                (Step::AddTarget, _) => {
                    rustup_may_download = false;
                    if let Err(error) = rustup::download(&["target", "add", target]) {
                        println!("{error:#}");
                    }
                }
                (Step::InstallPackages, _) => {
                    can_install_packages = false;
                    debian::install(&system_rust::PACKAGES)?;
                }
                (Step::UseSystem | Step::GiveUp, _) => bail!("{}", how_to_get_one(target)),
            }
        }
    }

    /// One line for a person.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Native { version, .. } => format!("{version}, with its target for wasm"),
            Self::System(rust) => {
                let Version(major, minor, patch) = rust.version;
                format!("{} {major}.{minor}.{patch}, with the standard library from source", rust.rustc.display())
            }
        }
    }

    /// The build of the plugin, in release. Dependencies must be there already (`cargo fetch`), to know their folders. The
    /// module says that it was built from `commit`.
    pub(crate) fn build(&self, commit: Option<&str>) -> Command {
        let mut cargo = match self {
            Self::Native { .. } => workspace::native_cargo(),
            Self::System(rust) => rust.cargo(),
        };
        // The plugin is an rlib too, for native tests, and Cargo applies LTO to no crate that is. As a cdylib alone it gets it.
        cargo.args(["rustc", "--lib", "--crate-type", "cdylib"]);
        self.finish(&mut cargo, workspace::PLUGIN, TARGET);
        match commit {
            Some(commit) => cargo.env(COMMIT, commit),
            None => cargo.env_remove(COMMIT),
        };
        // Functions keep their names for wasm-opt to carry along; only for our crate, so that nothing else is built anew.
        cargo.args(["--", "-Cstrip=debuginfo"]);
        cargo
    }

    /// The build of the playground's engine, in release.
    pub(crate) fn build_page(&self) -> Command {
        let mut cargo = match self {
            Self::Native { .. } => workspace::native_cargo(),
            Self::System(rust) => rust.cargo(),
        };
        cargo.args(["rustc", "--lib", "--crate-type", "cdylib"]);
        self.finish(&mut cargo, workspace::PLAYGROUND, PAGE_TARGET);
        // wasm-bindgen reads names and sections, and takes them out itself.
        cargo.args(["--", "-Cstrip=none"]);
        cargo
    }

    /// Where [`Self::build_page`] leaves the engine.
    pub(crate) fn page_artifact(&self) -> PathBuf {
        let name = workspace::PLAYGROUND.replace('-', "_");
        target_dir().join(PAGE_TARGET).join("release").join(format!("{name}.wasm"))
    }

    /// `cargo clippy` for the plugin as it is compiled for wasm, with the same flags so that the standard library is built once.
    pub(crate) fn clippy(&self) -> Result<Command> {
        let mut cargo = match self {
            Self::Native { .. } => workspace::native_cargo(),
            Self::System(rust) => match rust.clippy() {
                Some(clippy) => clippy,
                None if debian::can_install() => {
                    debian::install(&[system_rust::CLIPPY_PACKAGE])?;
                    rust.clippy().context("the package brought no cargo-clippy beside the compiler")?
                }
                None => bail!(
                    "no Clippy for {}. Run:\n  {}",
                    rust.rustc.display(),
                    debian::install_line(&[system_rust::CLIPPY_PACKAGE])
                ),
            },
        };
        cargo.arg("clippy");
        self.finish(&mut cargo, workspace::PLUGIN, TARGET);
        cargo.args(["--", "-D", "warnings"]);
        Ok(cargo)
    }

    /// Where the build leaves the module.
    pub(crate) fn artifact(&self) -> PathBuf {
        target_dir().join(TARGET).join("release").join(format!("{}.wasm", workspace::PLUGIN))
    }

    fn native() -> Result<Self> {
        let version = run::output(rustc().arg("--version"))?;
        let sysroot = run::output(rustc().args(["--print", "sysroot"]))?.into();
        Ok(Self::Native { version, sysroot })
    }

    fn finish(&self, cargo: &mut Command, package: &str, target: &str) {
        let (sysroot, mut flags) = match self {
            Self::System(rust) if target == TARGET => (&rust.sysroot, rust.flags()),
            Self::System(SystemRust { sysroot, .. }) | Self::Native { sysroot, .. } => (sysroot, Vec::new()),
        };
        if target == TARGET {
            // Without it each address in the code takes five bytes, ready for a second linking that never comes.
            flags.push("-Clink-arg=--compress-relocations".into());
        } else {
            // A library below OTLP's messages asks for random numbers at run time only, and nothing of ours calls it.
            flags.push("--cfg=getrandom_backend=\"unsupported\"".into());
        }
        flags.extend(remaps(sysroot));
        cargo.current_dir(workspace::root()).args(["--release", "--package", package, "--target", target]);
        // A folder of its own: two Cargos in one would build each other's work anew.
        cargo.arg("--target-dir").arg(target_dir());
        if let Self::System(rust) = self {
            cargo.args(rust.cargo_flags());
        }
        // This form takes any path, and wins over a person's RUSTFLAGS, which would change the module.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    }
}

fn target_dir() -> PathBuf {
    workspace::root().join("target").join("wasm")
}

/// Panic messages name source files. The same words wherever the tree, the sources of dependencies and the compiler are, so that the
/// same sources give the same bytes.
fn remaps(sysroot: &Path) -> Vec<String> {
    // The last one that fits wins, and a sysroot may be as wide as `/usr`.
    let mut folders = vec![(sysroot.to_path_buf(), "rust".to_owned()), (workspace::root(), "tracelift".to_owned())];
    // The name of a registry's folder depends on where the crates were fetched from; the crates are the same.
    if let Ok(registries) = fs::read_dir(cargo_home().join("registry").join("src")) {
        folders.extend(registries.flatten().map(|registry| (registry.path(), "crates".to_owned())));
    }
    folders.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default());
    env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

fn rustc() -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(workspace::root());
    rustc
}

fn native_has_target(target: &str) -> Result<bool> {
    let libraries = run::output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    Ok(fs::read_dir(libraries).is_ok_and(|mut files| files.next().is_some()))
}

/// The workspace's `rust-version`, which Cargo handed to our own compilation.
fn least_version() -> Result<Version> {
    Version::parse(env!("CARGO_PKG_RUST_VERSION")).context("rust-version of the workspace")
}

fn how_to_get_one(target: &str) -> String {
    let packages = debian::install_line(&system_rust::PACKAGES);
    let note = rustup::unreachable_note().map(|note| format!("  ({note})\n")).unwrap_or_default();
    format!(
        "no Rust here builds for {target}. One of these will do, then run the command again:\n  rustup target add {target}\n{note}  {packages}   (Debian)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_goes_before_what_must_be_fetched() {
        let cases = [
            ((true, true, true, true), Step::UseNative),
            ((false, true, true, true), Step::UseSystem),
            ((false, false, true, true), Step::AddTarget),
            ((false, false, false, true), Step::InstallPackages),
            ((false, false, false, false), Step::GiveUp),
            ((true, false, false, false), Step::UseNative),
        ];
        for ((native_has_target, has_system, rustup_may_download, can_install_packages), expected) in cases {
            let facts = Facts { native_has_target, has_system, rustup_may_download, can_install_packages };
            assert_eq!(choose(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_workspace_names_a_rust_version_that_we_can_read() {
        assert!(Version(1, 95, 0) <= least_version().unwrap());
    }
}
