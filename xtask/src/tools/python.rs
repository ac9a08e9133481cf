//! Python, for what PyPI has: a virtual environment of its own for each thing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;
use crate::tools::debian;

/// A virtual environment, for its pip: the system's Python may have none, or refuse to install anything.
pub(crate) fn make_venv(dir: &Path) -> Result<()> {
    let venv = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(dir);
        python
    };
    const PACKAGES: [&str; 1] = ["python3-venv"];
    let Err(error) = run::output(&mut venv()) else { return Ok(()) };
    if !debian::can_install() {
        let line = if debian::is_debian() {
            debian::install_line(&PACKAGES)
        } else {
            "install Python 3.10 or newer, with venv and pip".into()
        };
        bail!("{error:#}\nPython's venv is missing. Run:\n  {line}");
    }
    debian::install(&PACKAGES)?;
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    run::output(&mut venv()).map(drop)
}

/// `pip install` with the Python of an environment.
pub(crate) fn pip_install(python: &Path, package: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]);
    arguments(&mut pip);
    run::run(&mut pip).with_context(|| {
        format!("pip could not install {package}; it says why above. To try again:\n  cargo xtask tools")
    })
}
