//! Finding the module that is under test, and the pod that stories are told of.

mod pod;

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::Module;

pub use pod::{passed_on, pod, request_in, unsampled};

/// The release module: the file that `TRACELIFT_WASM` names, else `target/tracelift.wasm` of the workspace. Compiled once
/// per process, and kept on disk for the next one.
///
/// # Panics
/// If it is missing or cannot run in Envoy.
pub fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = module_path();
        assert!(
            path.is_file(),
            "there is no module at {}: run `cargo xtask build` first, or name one in TRACELIFT_WASM",
            path.display()
        );
        Module::from_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

/// Where [`module`] looks.
pub fn module_path() -> PathBuf {
    std::env::var_os("TRACELIFT_WASM")
        .map_or_else(|| workspace_dir().join("target").join("tracelift.wasm"), PathBuf::from)
}

pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_dir().join("target"), PathBuf::from)
}

fn workspace_dir() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}
