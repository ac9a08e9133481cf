//! Node, and the packages of the application in `examples/node`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::tools::debian;
use crate::{run, workspace};

/// Names the folder with the packages, a `node_modules`; also what the test is given.
pub(crate) const VARIABLE: &str = "TRACELIFT_NODE_PACKAGES";
/// Of Node's releases with long-term support, the oldest that OpenTelemetry's SDK runs on.
const OLDEST: (u32, u32) = (20, 6);
const PACKAGES: [&str; 2] = ["nodejs", "npm"];

/// The folder; the packages of the lock file are installed once into the cache folder.
pub(crate) fn ensure() -> Result<PathBuf> {
    ensure_node()?;
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let packages = PathBuf::from(given);
        if !is_whole(&packages) {
            bail!("{VARIABLE} is {}, which lacks packages of examples/node/package-lock.json", packages.display());
        }
        return Ok(packages);
    }
    let folder = workspace::root().join("examples").join("node");
    let lock = folder.join("package-lock.json");
    let digest = sha256(&fs::read(&lock).with_context(|| format!("could not read {}", lock.display()))?);
    let entry = format!("node-{}", digest.get(..12).unwrap_or(&digest));
    let packages = cache::entry(&entry).join("node_modules");
    if !is_whole(&packages) {
        install(&entry, &folder)?;
    }
    Ok(packages)
}

fn is_whole(packages: &Path) -> bool {
    packages.join("@opentelemetry").join("sdk-trace-node").join("package.json").is_file()
}

fn install(entry: &str, folder: &Path) -> Result<()> {
    let cache = Cache::lock()?;
    if is_whole(&cache::entry(entry).join("node_modules")) {
        return Ok(()); // Another process installed it while this one waited for the lock.
    }
    println!("Installing OpenTelemetry for Node into {} (34 packages, 44 MB, once) …", cache::dir().display());
    let filled = cache.fill(entry, |dir| {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(folder.join(name), dir.join(name)).with_context(|| format!("could not copy {name}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]).current_dir(dir);
        run::output(&mut npm).map(drop)
    });
    filled
        .map(drop)
        .context("npm could not fetch OpenTelemetry for Node. To try again:\n  cargo xtask test --only node")
}

fn ensure_node() -> Result<()> {
    let is_here = || ["node", "npm"].iter().all(|program| run::find_on_path(program).is_some());
    if !is_here() && debian::can_install() {
        debian::install(&PACKAGES)?;
    }
    if !is_here() {
        let how = if debian::is_debian() { debian::install_line(&PACKAGES) } else { "https://nodejs.org".into() };
        bail!("there is no Node with npm on PATH. Install {} or newer:\n  {how}", oldest());
    }
    let version = run::output(Command::new("node").arg("--version"))?;
    if !is_new_enough(&version) {
        bail!("node says {version:?}; {} or newer is needed (https://nodejs.org)", oldest());
    }
    Ok(())
}

fn oldest() -> String {
    format!("{}.{}", OLDEST.0, OLDEST.1)
}

/// Reads `v20.20.2`.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if OLDEST <= (major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_the_sdk_does_not_run_on_is_too_old() {
        for (version, enough) in [
            ("v20.20.2", true),
            ("v20.6.0", true),
            ("v20.5.1", false),
            ("v18.19.0", false),
            ("v24.0.0", true),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }
}
