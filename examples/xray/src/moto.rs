//! moto: a stand-in for AWS's APIs, X-Ray's among them, as a process of ours.

use crate::api::Api;
use anyhow::{Context, Result, bail};
use std::env;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Names the Python that has moto.
pub const VARIABLE: &str = "TRACELIFT_MOTO_PYTHON";
/// It imports a great deal of Python first.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running moto. Dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    api: Api,
    _process: Child,
}

impl Moto {
    /// Starts it on a free port of the loopback interface.
    pub async fn start() -> Result<Self> {
        let python = env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let python = python.with_context(|| {
            format!("{VARIABLE} does not name a Python that has moto. `cargo xtask tools` makes one:\n  eval \"$(cargo xtask tools | grep ^export)\"")
        })?;
        let mut command = Command::new(&python);
        command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]);
        // Nothing of the caller's account may get near it.
        command.env("AWS_ACCESS_KEY_ID", "testing").env("AWS_SECRET_ACCESS_KEY", "testing");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("cannot start {}", python.display()))?;
        let log = process.stderr.take().context("standard error was piped")?;
        let address = match timeout(PATIENCE, address(log)).await {
            Ok(address) => address?,
            Err(_) => bail!("moto did not say within {PATIENCE:?} where it listens"),
        };
        Ok(Self { api: Api::at(address), _process: process })
    }

    /// Its X-Ray.
    pub fn api(&self) -> &Api {
        &self.api
    }
}

/// Reads ` * Running on http://127.0.0.1:<port>`, and goes on reading, or moto would wait for us at some line.
async fn address(log: ChildStderr) -> Result<SocketAddr> {
    let mut lines = BufReader::new(log).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, address)) = line.split_once("Running on http://") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address.trim().parse().with_context(|| format!("moto's address in {line:?}"));
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("moto ended before it listened:\n{said}")
}
