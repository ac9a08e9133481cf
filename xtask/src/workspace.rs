//! Where things are in the working tree.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The engine: the filter's code, which every shell and tool runs.
pub(crate) const ENGINE: &str = "tracelift";

/// The crate that becomes the module.
pub(crate) const MODULE: &str = "tracelift-wasm";

/// The command-line tool and what it is made of.
pub(crate) const TOOLS: &str = "tracelift-tools";

/// The crate of the playground.
pub(crate) const PLAYGROUND: &str = "tracelift-playground";

/// Root of the working tree. Cargo says at run time where it found us; the path of the compilation is for a bare `xtask`.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where Cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The built module: what Envoy loads, and what `TRACELIFT_WASM` points at for tests.
pub(crate) fn module() -> PathBuf {
    root().join("target").join("tracelift.wasm")
}

/// The Cargo that started us, so that one toolchain builds everything native.
pub(crate) fn native_cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root());
    cargo
}
