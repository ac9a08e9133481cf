//! A server of somebody else's, for as long as a story needs it.

use crate::kit::{program, wait_until};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;
use tracelift_envoy::client::ClientError;
use tracelift_envoy::{Client, Reply, Request, ports};

/// A process on a free port of the loopback interface; gone with what it stored when dropped.
pub struct Daemon {
    process: Mutex<Child>,
    address: SocketAddr,
    client: Client,
    _directory: TempDir,
}

impl Daemon {
    /// Starts `name`, and waits until it answers a GET of `ready` with 200. `arguments` are made of the address that it shall
    /// listen on and of an empty directory for its files.
    pub async fn start(name: &str, ready: &str, arguments: impl FnOnce(SocketAddr, &Path) -> Vec<OsString>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // None of them can bind port 0 and tell: take a port that was free a moment ago.
        let address = ports::listen(ports::any_loopback()).unwrap().local_addr().unwrap();
        let process = Command::new(program(name, name))
            .args(arguments(address, directory.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process: Mutex::new(process), address, client: Client::new(), _directory: directory };
        wait_until(&format!("{name} answers"), async || {
            let ended = daemon.process.lock().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended at once: {ended:?}");
            daemon.send(Request::get(address, ready)).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        daemon
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers.
    pub async fn send(&self, request: Request) -> Result<Reply, ClientError> {
        self.client.send(request).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = process.kill();
        let _ = process.wait();
    }
}
