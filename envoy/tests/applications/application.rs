//! An application as a process.

use crate::mesh::SOON;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::sleep;
use tracelift_envoy::python::Interpreter;
use tracelift_envoy::{Client, Request};

/// It imports a web framework and its instrumentation first, maybe on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long its spans wait for a batch.
pub const EXPORT_DELAY_MS: u32 = 50;
const POLL: Duration = Duration::from_millis(20);
/// Lines of its log that a message quotes.
const LOGGED: usize = 20;

/// Further environment variables.
pub type Variables = Vec<(&'static str, String)>;

/// What can be started.
#[derive(Clone, Copy)]
pub struct Service {
    pub name: &'static str,
    /// The command, which exports traces to that collector at once, and whose standard output and error are piped.
    pub command: fn(SocketAddr) -> Command,
}

pub const FLASK: Service = Service { name: "Flask", command: |collector| python("flask_service.py", collector) };
pub const FASTAPI: Service = Service { name: "FastAPI", command: |collector| python("fastapi_service.py", collector) };

/// A service of `examples/python/services`.
fn python(script: &str, collector: SocketAddr) -> Command {
    let interpreter = Interpreter::from_environment().unwrap_or_else(|error| panic!("{error}"));
    let mut command = interpreter.instrumented(script, collector, EXPORT_DELAY_MS);
    command.env("OTEL_PYTHON_EXCLUDED_URLS", "healthz");
    command
}

/// One of them, running. Dropping it kills it.
pub struct Application {
    process: Child,
    said: Text,
    logged: Text,
}

type Text = Arc<Mutex<String>>;

impl Application {
    /// Starts it, listening at `at`, and returns when it takes requests.
    pub async fn start(service: Service, at: SocketAddr, collector: SocketAddr, variables: &Variables) -> Self {
        let mut command = (service.command)(collector);
        command
            .env("PORT", at.port().to_string())
            .env("OTEL_SERVICE_NAME", "reviews")
            .envs(variables.iter().map(|(name, value)| (name, value)));
        let mut application = Self::spawn(command);
        let started = Instant::now();
        while !is_up(at).await {
            let ended = application.process.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{ended:?}: {}", application.last_logged());
            sleep(POLL).await;
        }
        application
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = keep(process.stdout.take().expect("standard output is piped"));
        let logged = keep(process.stderr.take().expect("standard error is piped"));
        Self { process, said, logged }
    }

    fn log(&self) -> String {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines of its log, for a message.
    pub fn last_logged(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(LOGGED).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Lines that the package has logged.
    pub fn lines_of_package(&self) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| line.contains("tracelift: ")).map(str::to_owned).collect()
    }

    /// Ends it as the kernel does that is out of memory: no handler runs, nothing is flushed.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Resident memory in bytes, from `/proc`.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id().expect("it runs"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Waits until its own counters, which it prints with `OTEL_METRICS_EXPORTER=console`, satisfy `wanted`.
    pub async fn wait_for_counters(&self, wanted: impl Fn(&dyn Fn(&str) -> u64) -> bool) -> Vec<(String, u64)> {
        let started = Instant::now();
        loop {
            let counters = self.counters();
            let of = |name: &str| counters.iter().find(|(found, _)| found == name).map_or(0, |(_, value)| *value);
            if wanted(&of) {
                return counters;
            }
            assert!(started.elapsed() < SOON, "{counters:?}\n{}", self.last_logged());
            sleep(POLL).await;
        }
    }

    /// The counters as it printed them last, without their common prefix.
    fn counters(&self) -> Vec<(String, u64)> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Flask greets in between.
        let said: String = said.lines().filter(|line| !line.starts_with(" * ")).collect();
        let reports = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
        let Some(last) = reports.map_while(Result::ok).last() else { return Vec::new() };
        let mut counters = Vec::new();
        for resource in last["resource_metrics"].as_array().into_iter().flatten() {
            for scope in resource["scope_metrics"].as_array().into_iter().flatten() {
                for metric in scope["metrics"].as_array().into_iter().flatten() {
                    let name = metric["name"].as_str().and_then(|name| name.strip_prefix("tracelift.application."));
                    let value = metric["data"]["data_points"][0]["value"].as_u64();
                    counters.extend(name.map(str::to_owned).zip(value));
                }
            }
        }
        counters
    }
}

async fn is_up(address: SocketAddr) -> bool {
    Client::new().send(Request::get(address, "/healthz")).await.is_ok_and(|reply| reply.status == 200)
}

/// Keeps what a process writes.
fn keep(mut pipe: impl AsyncRead + Send + Unpin + 'static) -> Text {
    let text = Text::default();
    let kept = text.clone();
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        while let Ok(1..) = pipe.read_buf(&mut bytes).await {
            // What is cut in the middle of a character waits for its rest.
            let whole = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
            let part: Vec<u8> = bytes.drain(..whole).collect();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&part));
        }
    });
    text
}
