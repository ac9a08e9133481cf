//! Where things are in the working tree.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// The engine: the filter's code, which every shell and tool runs.
pub(crate) const ENGINE: &str = "tracelift";

/// The crate that becomes the module.
pub(crate) const MODULE: &str = "tracelift-wasm";

/// The crate that becomes the dynamic module.
pub(crate) const DYNAMIC: &str = "tracelift-dynamic";

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

/// The built dynamic module: what Envoy loads, and what `TRACELIFT_DYNAMIC_MODULE` points at for tests.
pub(crate) fn dynamic_module() -> PathBuf {
    root().join("target").join("libtracelift.so")
}

/// The Cargo that started us, so that one toolchain builds everything native.
pub(crate) fn native_cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root());
    cargo
}

/// The program that `cargo build --message-format json-render-diagnostics` says it has built, wherever that is.
pub(crate) fn built_program(messages: &str, name: &str) -> Result<PathBuf> {
    let executables = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|message| {
        message["reason"] == "compiler-artifact"
            && message["target"]["name"] == name
            && message["target"]["kind"][0] == "bin"
            && message["profile"]["test"] != true // Its own unit tests are a program of the same target.
    });
    let program =
        executables.filter_map(|message| Some(Path::new(message["executable"].as_str()?).to_owned())).next_back();
    program.with_context(|| format!("cargo built no program {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_where_cargo_says_and_a_test_of_the_same_name_is_not_taken_for_it() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"page","kind":["lib"]},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"page","kind":["bin"]},"profile":{"test":false},"executable":"/elsewhere/debug/page"}
            {"reason":"compiler-artifact","target":{"name":"page","kind":["bin"]},"profile":{"test":true},"executable":"/elsewhere/debug/deps/page-2"}
            {"reason":"compiler-artifact","target":{"name":"page","kind":["test"]},"executable":"/elsewhere/debug/deps/page-1"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(built_program(messages, "page").unwrap(), Path::new("/elsewhere/debug/page"));
        assert!(built_program(messages, "other").unwrap_err().to_string().contains("other"));
    }
}
