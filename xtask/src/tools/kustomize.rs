//! `kustomize`, which renders the overlays of `envoy/istio`: one on `PATH`, or built by Go into the cache folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache};
use crate::run;

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
    if run::find_on_path("go").is_none() {
        bail!(
            "kustomize is not on PATH, and there is no Go to build it. Install one of them: https://kubectl.docs.kubernetes.io/installation/kustomize or https://go.dev/dl"
        );
    }
    let cache = Cache::lock()?;
    println!("Building kustomize {VERSION} with Go (about a minute, once) …");
    let entry = cache.fill(&name, |dir| {
        let mut go = Command::new("go");
        go.args(["install", &format!("{MODULE}@{VERSION}")]).env("GOBIN", dir);
        run::run(&mut go).context("Go could not build kustomize")
    })?;
    Ok(entry.join("kustomize"))
}
