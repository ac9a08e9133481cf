//! A real OpenTelemetry Collector with the shipped configuration, on free ports and in front of a given X-Ray.

use crate::files;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Client, Request};

/// Names a collector that has the components of `collector/builder.yaml`.
pub const VARIABLE: &str = "TRACELIFT_COLLECTOR";
/// From its start until its pipelines run.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running collector. Dropping it ends it.
#[derive(Debug)]
pub struct RealCollector {
    otlp: SocketAddr,
    process: Child,
    dir: TempDir,
}

/// Where its segments go.
#[derive(Clone, Copy, Debug)]
pub enum Destination {
    /// A stand-in, which needs no account.
    StandIn(SocketAddr),
    /// The region's real X-Ray, with the credentials of the environment.
    Aws,
}

/// The collector that the environment names, if it names one.
pub fn named() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

impl RealCollector {
    /// Starts it and waits until its health check says that it is ready.
    pub async fn start(binary: &Path, destination: Destination) -> Result<Self> {
        // Bound without listening: nobody else gets them, and the collector may bind them again.
        let ports = [RefusingPort::any()?, RefusingPort::any()?, RefusingPort::any()?, RefusingPort::any()?];
        let [otlp, grpc, health, proxy] = [0, 1, 2, 3].map(|port: usize| ports[port].address());
        let dir = TempDir::new()?;
        fs::write(dir.path().join("config.yaml"), files::COLLECTOR)?;
        // Merged over the shipped file, which stays as users copy it.
        fs::write(dir.path().join("here.yaml"), overlay(otlp, grpc, health, proxy, destination).to_string())?;
        let log = fs::File::create(dir.path().join("log"))?;
        drop(ports);

        let mut command = Command::new(binary);
        for file in ["config.yaml", "here.yaml"] {
            command.arg("--config").arg(dir.path().join(file));
        }
        if let Destination::StandIn(_) = destination {
            command
                .env("AWS_ACCESS_KEY_ID", "testing")
                .env("AWS_SECRET_ACCESS_KEY", "testing")
                .env("AWS_REGION", "us-east-1");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut collector = Self { otlp, process, dir };
        collector.wait_until_ready(health).await?;
        Ok(collector)
    }

    /// Where it takes OTLP over HTTP.
    pub fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn wait_until_ready(&mut self, health: SocketAddr) -> Result<()> {
        let (started, client) = (Instant::now(), Client::new());
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                bail!("the collector ended ({status}):\n{}", self.log());
            }
            if client.send(Request::get(health, "/")).await.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the collector was not ready within {PATIENCE:?}:\n{}", self.log())
    }
}

fn overlay(otlp: SocketAddr, grpc: SocketAddr, health: SocketAddr, proxy: SocketAddr, to: Destination) -> Value {
    let mut overlay = json!({
        "receivers": { "otlp": { "protocols": {
            "http": { "endpoint": otlp.to_string() }, "grpc": { "endpoint": grpc.to_string() },
        }}},
        "extensions": {
            "health_check": { "endpoint": health.to_string() },
            "awsproxy": { "endpoint": proxy.to_string() },
        },
        "processors": { "batch": { "timeout": "200ms" } },
        "service": { "telemetry": { "metrics": { "level": "none" } } },
    });
    if let Destination::StandIn(address) = to {
        let here = format!("http://{address}");
        overlay["exporters"]["awsxray"] = json!({ "endpoint": here, "region": "us-east-1", "local_mode": true });
        overlay["extensions"]["awsproxy"]["aws_endpoint"] = here.into();
        overlay["extensions"]["awsproxy"]["local_mode"] = true.into();
    }
    overlay
}
