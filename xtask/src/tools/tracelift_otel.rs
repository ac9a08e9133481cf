//! The Python that the package `tracelift-otel` is tested with, and that the demo's Python service runs in.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::tools::python;
use crate::{run, workspace};

/// Names a Python that has the packages of `examples/python/requirements.txt`; also what the demo is given.
const VARIABLE: &str = "TRACELIFT_OTEL_PYTHON";
/// Names the folder with our own package to the demo.
const PATH_VARIABLE: &str = "TRACELIFT_OTEL_PATH";

/// A Python, and the package of this working tree as a user would have installed it.
pub(crate) struct TraceliftOtel {
    pub(crate) python: PathBuf,
    /// For `PYTHONPATH`: code and entry points of the package.
    pub(crate) path: PathBuf,
}

impl TraceliftOtel {
    /// Installs what is missing: the packages of others once into the cache folder, ours anew into `target/python`.
    pub(crate) fn ensure() -> Result<Self> {
        let python = ensure_packages()?;
        let path = workspace::root().join("target").join("python");
        python::pip_install(&python, "tracelift-otel", |pip| {
            pip.args(["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--upgrade", "--target"]);
            pip.arg(&path).arg(folder());
        })?;
        Ok(Self { python, path })
    }

    /// What the demo's Python service is started with.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [(VARIABLE, self.python.clone()), (PATH_VARIABLE, self.path.clone())]
    }

    /// A command of that Python, in the package's folder, with the package to import.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.current_dir(folder()).env("PYTHONPATH", &self.path).env("PYTHONDONTWRITEBYTECODE", "1");
        // What a developer set for other programs would change what the tests see.
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_telemetry(name)) {
            command.env_remove(name);
        }
        command
    }
}

fn is_of_telemetry(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("OTEL_") || name.starts_with("TRACELIFT_"))
}

/// The package's folder.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("examples").join("python")
}

fn ensure_packages() -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let python = PathBuf::from(given);
        check(&python).with_context(|| {
            format!("{VARIABLE} is {}, which lacks packages of examples/python/requirements.txt", python.display())
        })?;
        return Ok(python);
    }
    let requirements = folder().join("requirements.txt");
    let content = fs::read(&requirements).with_context(|| format!("could not read {}", requirements.display()))?;
    let digest = sha256(&content);
    let entry = format!("opentelemetry-{}", digest.get(..12).unwrap_or(&digest));
    let cached = python_of(&cache::entry(&entry));
    if check(&cached).is_ok() { Ok(cached) } else { install(&entry, &requirements) }
}

fn python_of(dir: &Path) -> PathBuf {
    dir.join("bin").join("python")
}

fn check(python: &Path) -> Result<()> {
    let imports = "import fastapi, flask, httpx, mypy, pytest, requests, setuptools, uvicorn, \
                   opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.instrumentation.flask";
    run::output(Command::new(python).args(["-c", imports])).map(drop)
}

fn install(entry: &str, requirements: &Path) -> Result<PathBuf> {
    let cache = Cache::lock()?;
    let python = python_of(&cache::entry(entry));
    if check(&python).is_ok() {
        return Ok(python); // Another process installed it while this one waited for the lock.
    }
    println!("Installing OpenTelemetry for Python into {} (60 packages, 150 MB, once) …", cache::dir().display());
    let dir = cache.fill(entry, |dir| {
        fs::remove_dir(dir)?; // Python makes it.
        python::make_venv(dir)?;
        python::pip_install(&python_of(dir), "OpenTelemetry for Python", |pip| {
            pip.arg("--no-compile").arg("--requirement").arg(requirements);
        })
    })?;
    let python = python_of(&dir);
    check(&python).context("OpenTelemetry for Python was installed and does not run")?;
    Ok(python)
}
