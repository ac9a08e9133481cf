//! A program that others wrote, for as long as a story needs it.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;
use tracelift_envoy::ports;

use crate::mesh::SOON;

/// A process with a directory of its own. Dropping it kills it.
pub struct Program {
    child: Child,
    directory: TempDir,
}

impl Program {
    /// Starts the program that an environment variable names. `command` adds arguments, which may name files of the directory.
    pub fn start(variable: &str, command: impl FnOnce(&mut Command, &Path)) -> Self {
        let named = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from).unwrap_or_else(|| {
            panic!("{variable} is not set. `cargo xtask test --only metrics` builds the program and sets it")
        });
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut process = Command::new(&named);
        command(&mut process, directory.path());
        process.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0).kill_on_drop(true);
        let child = process.spawn().unwrap_or_else(|error| panic!("{}: {error}", named.display()));
        Self { child, directory }
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until it answers as it should.
    pub async fn wait_until(&mut self, ready: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !ready().await {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended at once ({ended:?}):\n{}", self.log());
            assert!(started.elapsed() < SOON, "not ready within {SOON:?}:\n{}", self.log());
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Kills it, and returns when its ports are free.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Neither program can bind port 0 and say what it got: a port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    ports::listen(ports::any_loopback()).unwrap().local_addr().unwrap()
}
