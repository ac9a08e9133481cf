//! moto, which stands in for X-Ray's API where nobody has an AWS account: a Python environment of its own in the cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::cache::{self, Cache};
use crate::run;
use crate::tools::python;

/// Names a Python that has moto; also what tests and the demo are given.
pub(crate) const VARIABLE: &str = "TRACELIFT_MOTO_PYTHON";
/// What is installed, each by its version. moto's extra `server` would bring all of AWS, 300 MB; its server needs Flask only.
const REQUIREMENTS: [&str; 3] = ["moto[xray]==5.2.1", "flask==3.1.3", "flask-cors==6.0.5"];
const ENTRY: &str = "moto-5.2.1";

/// Path of a Python that runs moto's server; installed into the cache folder when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let python = PathBuf::from(given);
        check(&python)
            .with_context(|| format!("{VARIABLE} is {}, which has no moto with its server", python.display()))?;
        return Ok(python);
    }
    let cached = python_of(&cache::entry(ENTRY));
    if check(&cached).is_ok() { Ok(cached) } else { install() }
}

fn python_of(dir: &Path) -> PathBuf {
    dir.join("bin").join("python")
}

fn check(python: &Path) -> Result<()> {
    let imports = "import moto.server, moto.xray, flask_cors";
    run::output(Command::new(python).args(["-c", imports])).map(drop)
}

fn install() -> Result<PathBuf> {
    let cache = Cache::lock()?;
    let python = python_of(&cache::entry(ENTRY));
    if check(&python).is_ok() {
        return Ok(python); // Somebody else installed it while we waited for the lock.
    }
    println!("Installing moto into {} (30 packages, 30 MB, once) …", cache::dir().display());
    let dir = cache.fill(ENTRY, |dir| {
        fs::remove_dir(dir)?; // Python makes it.
        python::make_venv(dir)?;
        let mut pip = Command::new(python_of(dir));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]);
        run::run(pip.args(REQUIREMENTS)).map_err(|_| {
            anyhow!(
                "pip could not install {}; it says why above. To try again:\n  cargo xtask tools",
                REQUIREMENTS.join(" ")
            )
        })
    })?;
    let python = python_of(&dir);
    check(&python).context("moto was installed and does not run")?;
    Ok(python)
}
