//! A registry of our own on this machine, for tests: Debian's `docker-registry` (CNCF Distribution) on a free port.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

const PROGRAM: &str = "docker-registry";
/// A registry answers within a fraction of a second, on a busy machine within a few.
const SOON: Duration = Duration::from_secs(30);

/// Runs until it is dropped, and takes what was pushed to it along.
pub(crate) struct Registry {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Registry {
    /// Starts one and waits until it takes connections. `rollout::ensure` sees to the program.
    pub(crate) fn start() -> Result<Self> {
        // It cannot bind port 0 and tell: take a port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = std::env::temp_dir().join(format!("tracelift-registry-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let configuration = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": folder.join("storage") } },
            "http": { "addr": address.to_string() },
        });
        let file = folder.join("config.json");
        fs::write(&file, configuration.to_string())?;
        let process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {PROGRAM}"))?;
        let mut registry = Self { process, folder, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = registry.process.try_wait()? {
                bail!("{PROGRAM} ended at once ({status})");
            }
            if SOON < started.elapsed() {
                bail!("{PROGRAM} took no connection within {} s", SOON.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// A repository in it.
    pub(crate) fn repository(&self) -> String {
        format!("{}/mesh/tracelift", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
