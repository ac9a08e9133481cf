//! A real OpenTelemetry Collector that makes metrics of spans, and passes on what the filter says.

use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use tracelift_envoy::{Client, Collector, Request};

use crate::program::{Program, free_port};

const VARIABLE: &str = "TRACELIFT_METRICS_COLLECTOR";
const CONFIGURATION: &str = include_str!("collector/config.yaml");

/// The collector, and where its three streams end.
pub struct Counting {
    program: Program,
    otlp: SocketAddr,
    overlay: Value,
    /// The filter's metrics.
    pub ours: Collector,
    /// Metrics that the connectors made of spans.
    pub theirs: Collector,
    /// The spans.
    pub spans: Collector,
}

impl Counting {
    /// Starts it, and waits until it takes OTLP.
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// The same; the filter's metrics also go to a Prometheus.
    pub async fn storing(prometheus: SocketAddr) -> Self {
        Self::with(json!({
            "exporters": { "otlp_http/store": {
                "endpoint": format!("http://{prometheus}/api/v1/otlp"),
                "sending_queue": { "enabled": false },
            } },
            "service": { "pipelines": { "metrics/ours": { "exporters": ["otlp_http/ours", "otlp_http/store"] } } },
        }))
        .await
    }

    async fn with(overlay: Value) -> Self {
        let otlp = free_port();
        let [ours, theirs, spans] = [Collector::start().await, Collector::start().await, Collector::start().await];
        let (ours, theirs, spans) = (ours.unwrap(), theirs.unwrap(), spans.unwrap());
        let program = run(otlp, &overlay, [&ours, &theirs, &spans]).await;
        Self { program, otlp, overlay, ours, theirs, spans }
    }

    /// Where it takes OTLP over HTTP.
    pub fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    /// Kills it, lets something happen, and starts it again at the same address.
    pub async fn without(mut self, meanwhile: impl AsyncFnOnce()) -> Self {
        self.program.kill().await;
        meanwhile().await;
        self.program = run(self.otlp, &self.overlay, [&self.ours, &self.theirs, &self.spans]).await;
        self
    }
}

async fn run(otlp: SocketAddr, overlay: &Value, ends: [&Collector; 3]) -> Program {
    let mut program = Program::start(VARIABLE, |command, directory| {
        for (name, text) in [("config.yaml", CONFIGURATION.to_owned()), ("overlay.yaml", overlay.to_string())] {
            fs::write(directory.join(name), text).unwrap();
            command.arg("--config").arg(directory.join(name));
        }
        command.env("OTLP", otlp.to_string());
        for (name, end) in ["OURS", "THEIRS", "SPANS"].into_iter().zip(ends) {
            command.env(name, format!("http://{}", end.address()));
        }
    });
    let client = Client::new();
    program
        .wait_until(async || {
            let nothing = Request::post(otlp, "/v1/metrics", "").header("content-type", "application/x-protobuf");
            client.send(nothing).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    program
}
