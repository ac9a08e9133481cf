//! OpenTelemetry Collectors: a given one, one on `PATH`, or one built of Go modules, each with the components that a stage needs.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::tools::go;
use crate::{run, workspace};

const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder";
/// `dist.name` of the manifests.
const PROGRAM: &str = "tracelift-collector";

/// A collector by what it is for.
pub(crate) struct Collector {
    /// Names a binary to use instead of looking for one; also what the demo and the tests are given.
    pub(crate) variable: &'static str,
    /// What it is for, in messages.
    purpose: &'static str,
    /// Names that distributions have. None where the numbers that a test compares are those of one version.
    names: &'static [&'static str],
    /// What the manifest is for; the rest of it is as common.
    needed: &'static [&'static str],
    /// The folder of `builder.yaml` and of `lock/`, which holds every module below the manifest's to a version and a sum.
    folder: &'static str,
    /// How long a build takes.
    takes: &'static str,
}

/// Writes to X-Ray.
pub(crate) const XRAY: Collector = Collector {
    variable: "TRACELIFT_COLLECTOR",
    purpose: "X-Ray",
    names: &["otelcol-contrib", "aws-otel-collector", "otelcol"],
    needed: &["awsxray", "awsproxy", "sigv4auth", "otlp", "memory_limiter", "health_check"],
    folder: "examples/xray/collector",
    takes: "three minutes on two cores",
};

/// Makes metrics of spans, to be compared with the filter's.
pub(crate) const METRICS: Collector = Collector {
    variable: "TRACELIFT_METRICS_COLLECTOR",
    purpose: "metrics of spans",
    names: &[],
    needed: &["span_metrics", "signal_to_metrics", "otlp", "otlp_http"],
    folder: "envoy/tests/metrics/collector",
    takes: "three minutes on two cores",
};

impl Collector {
    /// Its path: given, on `PATH`, or built before; else built now, which takes Go and the network.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        if let Some(found) = self.find()? {
            return Ok(found);
        }
        let Self { variable, purpose, .. } = self;
        self.build().with_context(|| {
            format!(
                "there is no OpenTelemetry Collector for {purpose}, and none could be built. Take otelcol-contrib from \
                 https://github.com/open-telemetry/opentelemetry-collector-releases/releases, and name it:\n  \
                 export {variable}=/path/to/otelcol-contrib"
            )
        })
    }

    fn find(&self) -> Result<Option<PathBuf>> {
        let Self { variable, purpose, .. } = self;
        if let Some(given) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = fs::canonicalize(&given).with_context(|| format!("{variable} is {}", given.display()))?;
            self.check(&path).with_context(|| format!("{variable} is not a collector for {purpose}"))?;
            return Ok(Some(path));
        }
        let on_path = self.names.iter().flat_map(|name| run::all_on_path(name)).find(|path| self.check(path).is_ok());
        Ok(on_path.or_else(|| self.built().ok().filter(|path| self.check(path).is_ok())))
    }

    /// Whether it has the components that the configurations name.
    fn check(&self, path: &Path) -> Result<()> {
        let said = run::output(Command::new(path).arg("components"))?;
        let missing = self.missing(&said);
        if !missing.is_empty() {
            bail!("{} lacks {}", path.display(), missing.join(", "));
        }
        Ok(())
    }

    /// Of the components needed, those that its `components` does not list (`- name: <type>`).
    fn missing(&self, said: &str) -> Vec<&'static str> {
        let names: BTreeSet<_> =
            said.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).map(str::trim).collect();
        self.needed.iter().copied().filter(|needed| !names.contains(needed)).collect()
    }

    fn manifest(&self) -> PathBuf {
        workspace::root().join(self.folder).join("builder.yaml")
    }

    fn lock(&self) -> go::Lock {
        go::Lock::at(&workspace::root().join(self.folder).join("lock"))
    }

    /// Where the collector of today's manifest and lock is, or will be.
    fn entry(&self) -> Result<String> {
        let manifest = self.manifest();
        let mut all = fs::read(&manifest).with_context(|| format!("could not read {}", manifest.display()))?;
        all.extend(self.lock().content()?);
        Ok(format!("collector-{}", &sha256(&all)[..16]))
    }

    fn built(&self) -> Result<PathBuf> {
        Ok(cache::entry(&self.entry()?).join(PROGRAM))
    }

    fn build(&self) -> Result<PathBuf> {
        let go = go::ensure()?;
        let cache = Cache::lock()?;
        let binary = self.built()?;
        if self.check(&binary).is_ok() {
            return Ok(binary); // Somebody else built it while we waited for the lock.
        }
        let manifest = self.manifest();
        let version = version(&fs::read_to_string(&manifest)?).context("builder.yaml names no version")?.to_owned();
        println!(
            "Building OpenTelemetry Collector {version} for {} of Go modules ({}, once) …",
            self.purpose, self.takes
        );
        let started = Instant::now();
        let dir = cache.fill(&self.entry()?, |dir| {
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
            self.lock().copy_to(&sources)?;
            scratch.run(&go, &sources, &["build", "-ldflags=-s -w", "-o", &format!("../{PROGRAM}"), "."])?;
            scratch.remove()?;
            fs::remove_file(config)?;
            Ok(fs::remove_dir_all(sources)?)
        })?;
        let binary = dir.join(PROGRAM);
        self.check(&binary).context("the collector was built and does not run")?;
        println!("Built in {} s.", started.elapsed().as_secs());
        Ok(binary)
    }
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
        assert_eq!(XRAY.missing(said), Vec::<&str>::new());
        assert_eq!(XRAY.missing(&said.replace("awsxray", "debug")), ["awsxray"]);
        assert_eq!(XRAY.missing(""), XRAY.needed);
        assert_eq!(METRICS.missing(said), ["span_metrics", "signal_to_metrics", "otlp_http"]);
    }

    #[test]
    fn the_manifests_in_this_tree_name_their_versions() {
        let entries = [XRAY, METRICS].map(|collector| {
            let text = fs::read_to_string(collector.manifest()).unwrap();
            assert!(version(&text).unwrap().starts_with("0."));
            collector.entry().unwrap()
        });
        assert!(entries.iter().all(|entry| entry.starts_with("collector-")));
        assert_ne!(entries[0], entries[1]);
    }
}
