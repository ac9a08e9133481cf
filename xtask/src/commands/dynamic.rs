//! What the test command does for the dynamic module before its stories run: it is built, and its callbacks are looked up in every
//! Envoy that it is promised for.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::artefact::elf::Elf;
use crate::artefact::library;
use crate::commands::build;
use crate::tools::envoy;
use crate::workspace;

/// The stories of real Envoys that run with the dynamic module as well, as arguments of `cargo test`.
pub(crate) const SUITES: [&str; 4] = ["--package", "tracelift-envoy", "--test", "end_to_end"];

/// Builds the library, checks it against the earlier Envoys and this one, and returns where it is.
pub(crate) fn checked(envoy: &Path) -> Result<PathBuf> {
    let library = build::dynamic_module()?;
    let earlier = envoy::ensure_earlier()?;
    for envoy in earlier.iter().map(PathBuf::as_path).chain([envoy]) {
        check_callbacks(&library, envoy)?;
    }
    Ok(workspace::dynamic_module())
}

/// Fails where an Envoy lacks a callback that the library needs.
fn check_callbacks(needs: &Elf, envoy: &Path) -> Result<()> {
    let missing = library::missing(needs, envoy)?;
    if !missing.is_empty() {
        bail!("{} has no {missing:?}, which the dynamic module needs", envoy.display());
    }
    println!("{} has every callback of the dynamic module.", envoy.display());
    Ok(())
}
