//! A real Prometheus 3 that takes OTLP.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::time::sleep;
use tracelift_envoy::{Client, Request};

use crate::mesh::SOON;
use crate::program::{Program, free_port};

const VARIABLE: &str = "TRACELIFT_PROMETHEUS";

/// A series' labels and its value now.
pub type Series = (BTreeMap<String, String>, f64);

/// Prometheus with an empty store. Dropping it ends it.
pub struct Prometheus {
    program: Program,
    address: SocketAddr,
    client: Client,
}

impl Prometheus {
    /// Starts it with this configuration and files beside it.
    pub async fn start(configuration: &Value, files: &[(&str, String)]) -> Self {
        let address = free_port();
        let program = Program::start(VARIABLE, |command, directory| {
            let configuration = [("prometheus.yaml", configuration.to_string())];
            for (name, text) in configuration.iter().chain(files) {
                fs::write(directory.join(name), text).unwrap();
            }
            command
                .arg(format!("--config.file={}", directory.join("prometheus.yaml").display()))
                .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .args(["--web.enable-otlp-receiver", "--enable-feature=exemplar-storage", "--log.level=warn"]);
        });
        let mut prometheus = Self { program, address, client: Client::new() };
        let client = prometheus.client.clone();
        let ready = Request::get(address, "/-/ready");
        prometheus.program.wait_until(async || client.send(ready.clone()).await.is_ok_and(|it| it.status == 200)).await;
        prometheus
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A page of its API, which must succeed.
    pub async fn api(&self, path: &str) -> Value {
        let reply = self.client.send(Request::get(self.address, &format!("/api/v1/{path}"))).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}\n{}", reply.text(), self.program.log());
        reply.json()["data"].clone()
    }

    /// What it says of an expression now.
    pub async fn query(&self, expression: &str) -> Vec<Series> {
        let data = self.api(&format!("query?query={}", percent_encoded(expression))).await;
        let result = data["result"].as_array().cloned().unwrap_or_default();
        result
            .iter()
            .map(|series| {
                let labels = serde_json::from_value(series["metric"].clone()).unwrap();
                (
                    labels,
                    series["value"][1].as_str().unwrap_or_else(|| panic!("{expression}: {series}")).parse().unwrap(),
                )
            })
            .collect()
    }

    /// The one value of an expression; none where there is no series.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression).await;
        assert!(series.len() < 2, "{expression}: {series:#?}");
        series.first().map(|(_, value)| *value)
    }

    /// Waits until an expression has that value.
    pub async fn wait_for(&self, expression: &str, wanted: f64) {
        let started = Instant::now();
        loop {
            let found = self.value(expression).await;
            if found == Some(wanted) {
                return;
            }
            assert!(started.elapsed() < SOON, "{expression}: {found:?}, expected {wanted}\n{}", self.program.log());
            sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Gives it an export over OTLP, which it must take.
    pub async fn take(&self, export: Vec<u8>) {
        let request = Request::post(self.address, "/api/v1/otlp/v1/metrics", export)
            .header("content-type", "application/x-protobuf");
        let reply = self.client.send(request).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

pub fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
