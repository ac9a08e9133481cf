//! The OpenTelemetry Collector that writes to X-Ray: a given one, one on `PATH`, or one built of Go modules.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cache::{self, Cache};
use crate::{run, workspace};

/// Names a binary to use instead of looking for one; also what the demo and the tests are given.
pub(crate) const VARIABLE: &str = "TRACELIFT_COLLECTOR";
/// Names that distributions have.
const NAMES: [&str; 3] = ["otelcol-contrib", "aws-otel-collector", "otelcol"];
/// What the manifest is for; the rest of it is as common.
const NEEDED: [&str; 4] = ["awsxray", "awsproxy", "otlp", "memory_limiter"];
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder";

/// Path of a collector, if there is one: given, on `PATH`, or built before.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = fs::canonicalize(&given).with_context(|| format!("{VARIABLE} is {}", given.display()))?;
        check(&path).with_context(|| format!("{VARIABLE} is no collector for X-Ray"))?;
        return Ok(Some(path));
    }
    let on_path = NAMES.iter().flat_map(|name| run::all_on_path(name)).find(|path| check(path).is_ok());
    Ok(on_path.or_else(|| built().ok().filter(|path| check(path).is_ok())))
}

/// The same, or builds one, which takes Go, the network and some minutes. The error says how to get one otherwise.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    build().with_context(|| {
        format!(
            "could not build a collector. Get one in another way, such as a release of otelcol-contrib, and name it:\n  \
             export {VARIABLE}=/path/to/otelcol-contrib"
        )
    })
}

/// Whether it has the components that the shipped configuration names.
fn check(path: &Path) -> Result<()> {
    let said = run::output(Command::new(path).arg("components"))?;
    let missing = missing(&said);
    if !missing.is_empty() {
        bail!("{} lacks {}", path.display(), missing.join(", "));
    }
    Ok(())
}

/// Of the components needed, those that its `components` does not list (`- name: <type>`).
fn missing(said: &str) -> Vec<&'static str> {
    let names: BTreeSet<_> =
        said.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).map(str::trim).collect();
    NEEDED.into_iter().filter(|needed| !names.contains(needed)).collect()
}

fn manifest() -> PathBuf {
    workspace::root().join("examples").join("xray").join("collector").join("builder.yaml")
}

/// Where the collector of today's manifest is, or will be.
fn entry() -> Result<String> {
    let text = fs::read(manifest()).with_context(|| format!("could not read {}", manifest().display()))?;
    let digest: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("collector-{digest}"))
}

fn built() -> Result<PathBuf> {
    Ok(cache::entry(&entry()?).join("tracelift-collector"))
}

fn build() -> Result<PathBuf> {
    let Some(go) = run::find_on_path("go") else {
        bail!("there is no Go on PATH, with which a collector is built: https://go.dev/doc/install");
    };
    let cache = Cache::lock()?;
    let binary = built()?;
    if check(&binary).is_ok() {
        return Ok(binary); // Somebody else built it while we waited for the lock.
    }
    let text = fs::read_to_string(manifest())?;
    let version = version(&text).context("builder.yaml names no version")?;
    println!("Building OpenTelemetry Collector {version} of Go modules (some minutes, once) …");
    let dir = cache.fill(&entry()?, |dir| {
        let mut builder = Command::new(&go);
        builder.arg("run").arg(format!("{BUILDER}@v{version}")).arg("--config").arg(manifest());
        // Stripped, and nothing of this machine's paths in it. The manifest's `./build` is below this folder.
        builder.arg("--ldflags=-s -w");
        builder.env("GOFLAGS", "-trimpath -buildvcs=false").env("CGO_ENABLED", "0").current_dir(dir);
        run::run(&mut builder)?;
        fs::rename(dir.join("build").join("tracelift-collector"), dir.join("tracelift-collector"))
            .context("the builder left no tracelift-collector")?;
        Ok(fs::remove_dir_all(dir.join("build"))?)
    })?;
    let binary = dir.join("tracelift-collector");
    check(&binary).context("the collector was built and does not run")?;
    Ok(binary)
}

/// `dist.version` of the builder's manifest.
fn version(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| line.trim().strip_prefix("version: ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_without_the_exporter_is_none_for_us() {
        let said = "buildinfo:\n  command: otelcol\nreceivers:\n  - name: otlp\n    module: m v1\nprocessors:\n  - name: memory_limiter\nexporters:\n  - name: awsxray\nextensions:\n  - name: awsproxy\n";
        assert_eq!(missing(said), Vec::<&str>::new());
        assert_eq!(missing(&said.replace("awsxray", "debug")), ["awsxray"]);
        assert_eq!(missing(""), NEEDED);
    }

    #[test]
    fn the_manifest_in_this_tree_names_its_version() {
        let text = fs::read_to_string(manifest()).unwrap();
        assert!(version(&text).unwrap().starts_with("0."));
        assert!(entry().unwrap().starts_with("collector-"));
    }
}
