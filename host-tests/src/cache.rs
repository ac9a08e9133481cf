//! Compiled code kept on disk: a module of some hundred KB takes seconds, and each test binary is a process of its own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Module};

/// Quicker compilations are not worth a file.
const WORTH_KEEPING: Duration = Duration::from_millis(500);

/// The module compiled, from disk where an earlier run has left it.
pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
    let path = path_of(engine, wasm);
    if path.is_file() {
        // SAFETY: the file was written by `keep` below, and only this build's target directory is looked at; Wasmtime itself
        // refuses the file of another version or other settings.
        if let Ok(module) = unsafe { Module::deserialize_file(engine, &path) } {
            return Ok(module);
        }
    }
    let started = Instant::now();
    let module = Module::new(engine, wasm)?;
    if WORTH_KEEPING <= started.elapsed() {
        keep(&module, &path);
    }
    Ok(module)
}

/// Writes beside and renames, so that test processes running at once never see half a file. Failing to keep is no failure.
fn keep(module: &Module, path: &PathBuf) {
    let Ok(code) = module.serialize() else { return };
    let Some(folder) = path.parent() else { return };
    let unfinished = path.with_extension(format!("{}.part", std::process::id()));
    if fs::create_dir_all(folder).is_ok() && fs::write(&unfinished, code).is_ok() {
        let _ = fs::rename(&unfinished, path);
    }
}

fn path_of(engine: &Engine, wasm: &[u8]) -> PathBuf {
    let key = [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        (salt, wasm).hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    });
    crate::testing::target_dir().join("tracelift-host").join(format!("{:016x}{:016x}.cwasm", key[0], key[1]))
}
