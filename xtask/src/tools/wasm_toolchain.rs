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
/// The source of the standard library, as rustup calls it.
const SOURCE: &str = "rust-src";
/// The standard library is compiled with the module: a filter that never panics has no use for 39 KB of words about panics, and
/// the one that comes with the target has them. Cargo calls this unstable; Debian's own Rust packages are built the same way.
const BUILD_STD: [&str; 4] = ["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"];
/// A panic traps at once, and says nothing: Envoy logs the trap, and `failure_policy` holds.
const PANIC_FLAGS: [&str; 2] = ["-Zunstable-options", "-Cpanic=immediate-abort"];
/// Tells the plugin's crate which commit it is built from.
const COMMIT: &str = "TRACELIFT_COMMIT";

/// A Rust that builds for wasm here.
pub(crate) enum WasmToolchain {
    /// The one that runs us; it has the target, and most often the source of the standard library.
    Native { version: String, sysroot: PathBuf, has_source: bool },
    /// The operating system's.
    System(SystemRust),
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Facts {
    native: Native,
    has_system: bool,
    rustup_may_download: bool,
    can_install_packages: bool,
}

/// What the toolchain that runs us has for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    /// All that the module needs.
    Complete,
    /// The target, but no source of the standard library: the module gets the one that came with the target, and is larger.
    Prebuilt,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    UseNative,
    UseSystem,
    AddToNative,
    InstallPackages,
    GiveUp,
}

/// What is here goes before what must be fetched; a target of 25 MB before packages of 250 MB; a larger module before none.
fn choose(facts: Facts) -> Step {
    match facts {
        Facts { native: Native::Complete, .. } => Step::UseNative,
        Facts { has_system: true, .. } => Step::UseSystem,
        Facts { rustup_may_download: true, .. } => Step::AddToNative,
        Facts { can_install_packages: true, .. } => Step::InstallPackages,
        Facts { native: Native::Prebuilt, .. } => Step::UseNative,
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
                native: if wants("native") { native_state(target)? } else { Native::Nothing },
                has_system: system.is_some(),
                rustup_may_download,
                can_install_packages,
            };
            match (choose(facts), system) {
                (Step::UseNative, _) => return Self::native(),
                (Step::UseSystem, Some(system)) => return Ok(Self::System(system)),
                (Step::AddToNative, _) => {
                    rustup_may_download = false;
                    let mut added = rustup::download(&["target", "add", target]);
                    if added.is_ok() && target == TARGET {
                        added = rustup::download(&["component", "add", SOURCE]);
                    }
                    if let Err(error) = added {
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
            Self::Native { version, has_source: true, .. } => version.clone(),
            Self::Native { version, .. } => format!(
                "{version} without {SOURCE}, which makes the module 39 KB larger (`rustup component add {SOURCE}` changes that)"
            ),
            Self::System(rust) => {
                let Version(major, minor, patch) = rust.version;
                format!("{} {major}.{minor}.{patch}", rust.rustc.display())
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
        cargo.args(["rustc", "--lib"]);
        self.finish(&mut cargo, workspace::MODULE, TARGET);
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
        self.finish(&mut cargo, workspace::MODULE, TARGET);
        cargo.args(["--", "-D", "warnings"]);
        Ok(cargo)
    }

    /// Where the build leaves the module.
    pub(crate) fn artifact(&self) -> PathBuf {
        target_dir().join(TARGET).join("release").join(format!("{}.wasm", workspace::MODULE.replace('-', "_")))
    }

    fn native() -> Result<Self> {
        let version = run::output(rustc().arg("--version"))?;
        let sysroot = sysroot()?;
        let has_source = has_source(&sysroot);
        Ok(Self::Native { version, sysroot, has_source })
    }

    fn finish(&self, cargo: &mut Command, package: &str, target: &str) {
        let (sysroot, mut flags) = match self {
            Self::System(rust) if target == TARGET => (&rust.sysroot, rust.flags()),
            Self::System(SystemRust { sysroot, .. }) | Self::Native { sysroot, .. } => (sysroot, Vec::new()),
        };
        let from_source = match self {
            Self::System(_) => true,
            Self::Native { has_source, .. } => *has_source && target == TARGET,
        };
        if target == TARGET {
            // Without it each address in the code takes five bytes, ready for a second linking that never comes.
            flags.push("-Clink-arg=--compress-relocations".into());
            if from_source {
                flags.extend(PANIC_FLAGS.map(String::from));
            }
        } else {
            // A library below OTLP's messages asks for random numbers at run time only, and nothing of ours calls it.
            flags.push("--cfg=getrandom_backend=\"unsupported\"".into());
        }
        flags.extend(remaps(sysroot));
        cargo.current_dir(workspace::root()).args(["--release", "--package", package, "--target", target]);
        // A folder of its own: two Cargos in one would build each other's work anew.
        cargo.arg("--target-dir").arg(target_dir());
        if from_source {
            cargo.args(BUILD_STD).env("RUSTC_BOOTSTRAP", "1");
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
pub(crate) fn remaps(sysroot: &Path) -> Vec<String> {
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

/// The page's engine is not part of the module, and takes the standard library as it comes.
fn native_state(target: &str) -> Result<Native> {
    let libraries = run::output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    let has_target = fs::read_dir(libraries).is_ok_and(|mut files| files.next().is_some());
    let complete = target != TARGET || has_source(&sysroot()?);
    Ok(match (has_target, complete) {
        (true, true) => Native::Complete,
        (true, false) => Native::Prebuilt,
        (false, _) => Native::Nothing,
    })
}

/// Where the Rust that runs us is.
pub(crate) fn sysroot() -> Result<PathBuf> {
    Ok(run::output(rustc().args(["--print", "sysroot"]))?.into())
}

fn has_source(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").exists()
}

/// The workspace's `rust-version`, which Cargo handed to our own compilation.
fn least_version() -> Result<Version> {
    Version::parse(env!("CARGO_PKG_RUST_VERSION")).context("rust-version of the workspace")
}

fn how_to_get_one(target: &str) -> String {
    let packages = debian::install_line(&system_rust::PACKAGES);
    let source = if target == TARGET { format!(" && rustup component add {SOURCE}") } else { String::new() };
    let note = rustup::unreachable_note().map(|note| format!("  ({note})\n")).unwrap_or_default();
    format!(
        "no Rust here builds for {target}. One of these will do, then run the command again:\n  rustup target add {target}{source}\n{note}  {packages}   (Debian)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_goes_before_what_must_be_fetched() {
        let cases = [
            ((Native::Complete, true, true, true), Step::UseNative),
            ((Native::Complete, false, false, false), Step::UseNative),
            ((Native::Prebuilt, true, true, true), Step::UseSystem),
            ((Native::Nothing, true, true, true), Step::UseSystem),
            ((Native::Prebuilt, false, true, true), Step::AddToNative),
            ((Native::Nothing, false, true, true), Step::AddToNative),
            ((Native::Prebuilt, false, false, true), Step::InstallPackages),
            ((Native::Nothing, false, false, true), Step::InstallPackages),
            ((Native::Prebuilt, false, false, false), Step::UseNative),
            ((Native::Nothing, false, false, false), Step::GiveUp),
        ];
        for ((native, has_system, rustup_may_download, can_install_packages), expected) in cases {
            let facts = Facts { native, has_system, rustup_may_download, can_install_packages };
            assert_eq!(choose(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_workspace_names_a_rust_version_that_we_can_read() {
        assert!(Version(1, 95, 0) <= least_version().unwrap());
    }
}
