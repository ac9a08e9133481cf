//! The program in `program/`, which starts Istio's own packages: `cargo xtask test --only istio` builds it.

use rustix::process::{Pid, Signal, kill_process_group};
use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long a condition may take to come true: a proxy that starts compiles the module, on a machine that may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Names the binary.
const VARIABLE: &str = "TRACELIFT_ISTIO";
const LOG: &str = "log";

/// The binary, to be given arguments.
pub fn command() -> Command {
    Command::new(PathBuf::from(env::var_os(VARIABLE).unwrap_or_else(|| panic!("{VARIABLE} is not set"))))
}

/// A folder for the files of one process.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("tracelift-istio-").tempdir().unwrap()
}

/// One process of it in a folder of its own, with those that it starts; all are gone when dropped.
pub struct Program {
    process: Child,
    folder: TempDir,
}

impl Program {
    /// Starts it, with its output in a file.
    pub fn start(folder: TempDir, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let log = File::create(folder.path().join(LOG)).unwrap();
        let process = command()
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it and its Envoy have logged so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder().join(LOG));
        log.map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// What was logged in the part after `from`, as soon as `text` is in it.
    pub async fn logged(&self, from: usize, text: &str) -> String {
        let logged = async || self.log().get(from..).is_some_and(|new| new.contains(text));
        self.until(&format!("{text:?} is logged"), logged).await;
        self.log().split_off(from)
    }

    /// Waits until a condition holds; fails with the log where it does not, or the process has ended.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}
