//! A Rust of the operating system that can build the standard library for wasm from source: Debian's packages.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;
use crate::tools::wasm_toolchain::{PAGE_TARGET, TARGET};

/// What to install for `SystemRust`; the compiler, its sources, its linker and the C library of WASI.
pub(crate) const PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev", "lld-22", "wasi-libc"];
/// Clippy of the same compiler.
pub(crate) const CLIPPY_PACKAGE: &str = "rust-web-clippy";

/// Where Debian's `wasi-libc` keeps the C library and the start-up objects.
const WASI_LIBRARIES: &str = "/usr/lib/wasm32-wasi";
/// Variables of the Cargo and rustup around us that would lead another Cargo astray.
const FOREIGN: [&str; 12] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

/// A compiler that brought its sources, the Cargo beside it, and a wasm linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SystemRust {
    pub(crate) rustc: PathBuf,
    pub(crate) sysroot: PathBuf,
    pub(crate) version: Version,
    linker: PathBuf,
}

impl SystemRust {
    /// Asks each compiler on `PATH`, and the one in `/usr/bin`, what it is; the first that will do. `least` is the oldest allowed.
    pub(crate) fn find(least: Version) -> Option<Self> {
        if !Path::new(WASI_LIBRARIES).join("libc.a").exists() {
            return None;
        }
        let linker = ["rust-lld", "wasm-ld"].into_iter().find_map(run::find_on_path)?;
        let mut compilers = run::all_on_path("rustc");
        compilers.push("/usr/bin/rustc".into());
        compilers.into_iter().filter(|rustc| !is_rustup(rustc)).find_map(|rustc| {
            let version = Version::parse(&ask(&rustc, &["--version"])?)?;
            let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
            let has_sources = sysroot.join("lib/rustlib/src/rust/library/Cargo.toml").exists();
            let has_cargo = rustc.with_file_name("cargo").exists();
            (least <= version && has_sources && has_cargo).then(|| Self {
                rustc,
                sysroot,
                version,
                linker: linker.clone(),
            })
        })
    }

    /// Its Cargo, set to build for wasm with the standard library from source; the subcommand comes first in the arguments.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(self.rustc.with_file_name("cargo"));
        self.prepare(&mut cargo);
        cargo
    }

    /// Its Clippy, in the same way. Called by its path: Cargo would find rustup's first, which serves another compiler.
    pub(crate) fn clippy(&self) -> Option<Command> {
        let clippy = self.rustc.with_file_name("cargo-clippy");
        clippy.exists().then(|| {
            let mut command = Command::new(clippy);
            self.prepare(&mut command);
            command.env("CARGO", self.rustc.with_file_name("cargo"));
            command
        })
    }

    /// Flags of the compiler: the C library is the system's, so rustc's own copy of it must not be looked for.
    pub(crate) fn flags(&self) -> Vec<String> {
        vec![format!("-L{WASI_LIBRARIES}"), "-Clink-self-contained=no".into()]
    }

    fn prepare(&self, command: &mut Command) {
        without_foreign(command);
        for target in [TARGET, PAGE_TARGET] {
            let linker = format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase());
            command.env(linker, &self.linker);
        }
        command.env("RUSTC", &self.rustc);
    }
}

/// A Rust release; compares by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// Reads `1.95`, `1.95.0` or the line of `rustc --version`; a pre-release counts as its release.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let mut parts = number.split('-').next()?.split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        parts.next().is_none().then_some(version)
    }
}

fn ask(rustc: &Path, question: &[&str]) -> Option<String> {
    let mut command = Command::new(rustc);
    without_foreign(&mut command);
    run::output(command.args(question)).ok()
}

/// Clears the way for another toolchain than the one that runs us.
fn without_foreign(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if FOREIGN.contains(&&*name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
}

/// rustup puts a link, or a copy, of itself where the compiler is called; its toolchains are asked elsewhere.
fn is_rustup(rustc: &Path) -> bool {
    let target = rustc.canonicalize().unwrap_or_else(|_| rustc.to_path_buf());
    target.file_name() == Some(OsStr::new("rustup")) || rustc.with_file_name("rustup").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_form_that_rust_writes() {
        let cases = [
            ("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)", Some(Version(1, 96, 0))),
            ("rustc 1.97.0-nightly (1d8897a4e 2026-06-01)", Some(Version(1, 97, 0))),
            ("1.95", Some(Version(1, 95, 0))),
            ("rustc", None),
            ("rustc 1.x.0", None),
            ("rustc 1.2.3.4", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
        assert!(Version(1, 95, 0) < Version(1, 100, 0));
    }
}
