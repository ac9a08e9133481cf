//! `kustomize`, which renders the overlays of `envoy/istio`: one on `PATH`, or built by Go into the cache folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::run;
use crate::tools::go;

/// Names the binary for the tests.
pub(crate) const VARIABLE: &str = "TRACELIFT_KUSTOMIZE";
/// Builds with Go 1.24 and newer. Go checks the module's sum against its public log.
const VERSION: &str = "v5.7.1";
const MODULE: &str = "sigs.k8s.io/kustomize/kustomize/v5";

/// Path of the program.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(found) = run::find_on_path("kustomize") {
        return Ok(found);
    }
    let name = format!("kustomize-{VERSION}");
    let cached = cache::entry(&name).join("kustomize");
    if cached.is_file() {
        return Ok(cached);
    }
    let go = go::ensure().context(
        "kustomize is not on PATH (https://kubectl.docs.kubernetes.io/installation/kustomize) and cannot be built",
    )?;
    let cache = Cache::lock()?;
    println!("Building kustomize {VERSION} with Go (about a minute, once) …");
    let entry = cache.fill(&name, |dir| {
        let scratch = go::Scratch::below(dir);
        scratch.run(&go, dir, &["install", &format!("{MODULE}@{VERSION}")]).context("Go could not build kustomize")?;
        scratch.remove()
    })?;
    Ok(entry.join("kustomize"))
}
