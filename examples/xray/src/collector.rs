//! A real OpenTelemetry Collector with the shipped configuration, on free ports and in front of a given X-Ray.

use crate::files;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
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
    proxy: SocketAddr,
    process: Child,
    dir: TempDir,
}

/// Where its segments go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// A stand-in, which needs no account: its URL, such as `http://127.0.0.1:5000`.
    StandIn(&'a str),
    /// The region's real X-Ray, with the credentials of the environment.
    Aws,
}

/// What a user may choose.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// One of the shipped files.
    pub configuration: &'a str,
    /// `--feature-gates`, such as `-exporter.awsxray.skiptimestampvalidation`; empty for none.
    pub feature_gates: &'a str,
    /// Whether it tells every call to X-Ray.
    pub verbose: bool,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { configuration: files::COLLECTOR, feature_gates: "", verbose: false }
    }
}

/// The collector that the environment names.
pub fn binary() -> Result<PathBuf> {
    let named = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.with_context(|| {
        format!(
            "{VARIABLE} names no OpenTelemetry Collector. `cargo xtask tools` builds one:\n  \
             eval \"$(cargo xtask tools | grep ^export)\""
        )
    })
}

impl RealCollector {
    /// Starts it and waits until its health check says that it is ready.
    pub async fn start(destination: Destination<'_>, settings: Settings<'_>) -> Result<Self> {
        let binary = binary()?;
        // Bound without listening: nobody else gets them, and the collector may bind them again.
        let ports = [RefusingPort::any()?, RefusingPort::any()?, RefusingPort::any()?, RefusingPort::any()?];
        let [otlp, grpc, health, proxy] = [0, 1, 2, 3].map(|port: usize| ports[port].address());
        let dir = TempDir::new()?;
        fs::write(dir.path().join("config.yaml"), settings.configuration)?;
        // Merged over the shipped file, which stays as users copy it.
        let mut overlay = json!({
            "receivers": { "otlp": { "protocols": {
                "http": { "endpoint": otlp.to_string() }, "grpc": { "endpoint": grpc.to_string() },
            }}},
            "extensions": { "health_check": { "endpoint": health.to_string() } },
            "processors": { "batch": { "timeout": "200ms" } },
            "service": { "telemetry": { "metrics": { "level": "none" } } },
        });
        if settings.verbose {
            // Of equal lines a second has ten by default.
            overlay["service"]["telemetry"]["logs"] = json!({ "level": "debug", "sampling": { "enabled": false } });
        }
        if settings.configuration == files::COLLECTOR {
            overlay["extensions"]["awsproxy"] = json!({ "endpoint": proxy.to_string() });
        }
        if let Destination::StandIn(url) = destination {
            stand_in(&mut overlay, settings.configuration, url);
        }
        fs::write(dir.path().join("here.yaml"), overlay.to_string())?;
        let log = fs::File::create(dir.path().join("log"))?;
        drop(ports);

        let mut command = Command::new(&binary);
        for file in ["config.yaml", "here.yaml"] {
            command.arg("--config").arg(dir.path().join(file));
        }
        if !settings.feature_gates.is_empty() {
            command.arg("--feature-gates").arg(settings.feature_gates);
        }
        if let Destination::StandIn(_) = destination {
            nobodys_account(&mut command);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut collector = Self { otlp, proxy, process, dir };
        collector.wait_until_ready(health).await?;
        Ok(collector)
    }

    /// Where it takes OTLP over HTTP.
    pub fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    /// Where `awsproxy` signs questions about sampling, with [`files::COLLECTOR`].
    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Lines about spans that never came to X-Ray: what cannot be sent is an error, what the batch processor drops a warning,
    /// and what cannot be a segment is told to those who asked for everything.
    pub fn losses(&self) -> Vec<String> {
        let marks = ["\terror\t", "Sender failed", "Error translating span"];
        self.log().lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).map(str::to_owned).collect()
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

/// `validate` of a shipped file by the collector itself: the error is what it says of it.
pub async fn validate(configuration: &str) -> Result<()> {
    let dir = TempDir::new()?;
    let file = dir.path().join("config.yaml");
    fs::write(&file, configuration)?;
    let mut command = Command::new(binary()?);
    nobodys_account(command.arg("validate").arg("--config").arg(&file).stdin(Stdio::null()));
    let said = command.output().await.context("cannot start the collector")?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}

/// Nothing of the caller's account may get near a stand-in.
fn nobodys_account(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_REGION", "us-east-1")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE");
}

fn stand_in(overlay: &mut Value, configuration: &str, url: &str) {
    if configuration == files::COLLECTOR_OTLP {
        overlay["exporters"]["otlphttp"]["traces_endpoint"] = format!("{url}/v1/traces").into();
    } else {
        overlay["exporters"]["awsxray"] = json!({ "endpoint": url, "local_mode": true });
        overlay["extensions"]["awsproxy"]["aws_endpoint"] = url.into();
        overlay["extensions"]["awsproxy"]["local_mode"] = true.into();
    }
}
