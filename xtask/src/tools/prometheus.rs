//! Prometheus 3, with the OTLP receiver that Debian's has not: a given one, or one built of the Go modules of a lock.

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

/// Names a binary to use instead of building one; also what the tests are given.
pub(crate) const VARIABLE: &str = "TRACELIFT_PROMETHEUS";
const PROGRAM: &str = "prometheus";
const PACKAGE: &str = "github.com/prometheus/prometheus/cmd/prometheus";
/// What the lock's v0.316 calls itself.
const VERSION: &str = "3.16.0";
/// Without the service discoveries of clouds, which are most of its modules. The web page's files are not in a Go module anyway.
const TAGS: &str = "remove_all_sd,netgo";

/// Path of a Prometheus 3: given, or built before; else built now, which takes Go and the network.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = fs::canonicalize(&given).with_context(|| format!("{VARIABLE} is {}", given.display()))?;
        check(&path).with_context(|| format!("{VARIABLE} is no Prometheus 3"))?;
        return Ok(path);
    }
    let built = cache::entry(&entry()?).join(PROGRAM);
    if check(&built).is_ok() {
        return Ok(built);
    }
    build().with_context(|| {
        format!(
            "Prometheus {VERSION} could not be built. Take one from https://prometheus.io/download/, and name it:\n  \
             export {VARIABLE}=/path/to/prometheus"
        )
    })
}

fn check(path: &Path) -> Result<()> {
    let said = run::output(Command::new(path).arg("--version"))?;
    if !said.starts_with("prometheus, version 3.") {
        bail!("{} says {:?}", path.display(), said.lines().next().unwrap_or_default());
    }
    Ok(())
}

fn lock() -> go::Lock {
    go::Lock::at(&workspace::root().join("envoy/tests/metrics/prometheus"))
}

/// Where the one of today's lock is, or will be.
fn entry() -> Result<String> {
    Ok(format!("prometheus-{}", &sha256(&lock().content()?)[..16]))
}

fn build() -> Result<PathBuf> {
    let go = go::ensure()?;
    let cache = Cache::lock()?;
    println!("Building Prometheus {VERSION} of Go modules (four minutes on two cores, once) …");
    let started = Instant::now();
    let dir = cache.fill(&entry()?, |dir| {
        let sources = dir.join("build");
        fs::create_dir(&sources)?;
        lock().copy_to(&sources)?;
        let scratch = go::Scratch::below(dir);
        let flags = format!("-ldflags=-s -w -X github.com/prometheus/common/version.Version={VERSION}");
        scratch.run(&go, &sources, &["build", "-tags", TAGS, &flags, "-o", "../prometheus", PACKAGE])?;
        scratch.remove()?;
        Ok(fs::remove_dir_all(sources)?)
    })?;
    let binary = dir.join(PROGRAM);
    check(&binary).context("Prometheus was built and does not run")?;
    println!("Built in {} s.", started.elapsed().as_secs());
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_the_version_that_is_printed() {
        let text = String::from_utf8(lock().content().unwrap()).unwrap();
        let minor = VERSION.split('.').nth(1).unwrap();
        assert!(text.contains(&format!("github.com/prometheus/prometheus v0.3{minor}.")), "{VERSION}");
        assert!(entry().unwrap().starts_with("prometheus-"));
    }
}
