//! The OpenTelemetry Collector that writes to X-Ray: a given one, one on `PATH`, or one built of Go modules.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cache::{self, Cache};
use crate::tools::go;
use crate::{run, workspace};

/// Names a binary to use instead of looking for one; also what the demo and the tests are given.
pub(crate) const VARIABLE: &str = "TRACELIFT_COLLECTOR";
/// Names that distributions have.
const NAMES: [&str; 3] = ["otelcol-contrib", "aws-otel-collector", "otelcol"];
/// What the manifest is for; the rest of it is as common.
const NEEDED: [&str; 6] = ["awsxray", "awsproxy", "sigv4auth", "otlp", "memory_limiter", "health_check"];
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder";
/// Files of the lock: what `go mod tidy` made of the builder's module.
const LOCK: [&str; 2] = ["go.mod", "go.sum"];
/// `dist.name` of the manifest.
const PROGRAM: &str = "tracelift-collector";

fn find() -> Result<Option<PathBuf>> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = fs::canonicalize(&given).with_context(|| format!("{VARIABLE} is {}", given.display()))?;
        check(&path).with_context(|| format!("{VARIABLE} is no collector for X-Ray"))?;
        return Ok(Some(path));
    }
    let on_path = NAMES.iter().flat_map(|name| run::all_on_path(name)).find(|path| check(path).is_ok());
    Ok(on_path.or_else(|| built().ok().filter(|path| check(path).is_ok())))
}

/// Path of a collector for X-Ray: given, on `PATH`, or built before; else built now, which takes Go and the network.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    build().with_context(|| {
        format!(
            "there is no OpenTelemetry Collector for X-Ray, and none could be built. Take otelcol-contrib from \
             https://github.com/open-telemetry/opentelemetry-collector-releases/releases, and name it:\n  \
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

/// Holds every module below the manifest's to a version and a sum.
fn lock() -> PathBuf {
    workspace::root().join("examples").join("xray").join("collector").join("lock")
}

/// Where the collector of today's manifest and lock is, or will be.
fn entry() -> Result<String> {
    let mut digest = Sha256::new();
    for file in [manifest()].into_iter().chain(LOCK.map(|file| lock().join(file))) {
        digest.update(fs::read(&file).with_context(|| format!("could not read {}", file.display()))?);
    }
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("collector-{digest}"))
}

fn built() -> Result<PathBuf> {
    Ok(cache::entry(&entry()?).join(PROGRAM))
}

fn build() -> Result<PathBuf> {
    let go = go::ensure()?;
    let cache = Cache::lock()?;
    let binary = built()?;
    if check(&binary).is_ok() {
        return Ok(binary); // Somebody else built it while we waited for the lock.
    }
    let manifest = manifest();
    let version = version(&fs::read_to_string(&manifest)?).context("builder.yaml names no version")?.to_owned();
    println!("Building OpenTelemetry Collector {version} of Go modules (three minutes on two cores, once) …");
    let dir = cache.fill(&entry()?, |dir| {
        let config = dir.join("builder.yaml");
        fs::copy(&manifest, &config)?;
        // Sources only: which modules they are built of, and their sums, is said by the lock, and Go holds them to it.
        let builder = format!("{BUILDER}@v{version}");
        let scratch = go::Scratch::below(dir);
        scratch.run(
            &go,
            dir,
            &["run", &builder, "--config=builder.yaml", "--skip-get-modules", "--skip-compilation"],
        )?;
        let sources = dir.join("build");
        for file in LOCK {
            fs::copy(lock().join(file), sources.join(file)).with_context(|| format!("could not copy lock/{file}"))?;
        }
        scratch.run(&go, &sources, &["build", "-ldflags=-s -w", "-o", &format!("../{PROGRAM}"), "."])?;
        scratch.remove()?;
        fs::remove_file(config)?;
        Ok(fs::remove_dir_all(sources)?)
    })?;
    let binary = dir.join(PROGRAM);
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
        let said = "buildinfo:\n  command: otelcol\nreceivers:\n  - name: otlp\n    module: m v1\nprocessors:\n  - name: memory_limiter\nexporters:\n  - name: awsxray\nextensions:\n  - name: awsproxy\n  - name: sigv4auth\n  - name: health_check\n";
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
