//! Envoy's admin port.

use crate::client::{Client, ClientError, Reply, Request};
use crate::stats::Stats;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Counters announce nothing, and the filter shows its own ten times a second at most.
const POLL: Duration = Duration::from_millis(20);

/// The admin port of one Envoy.
#[derive(Clone, Debug)]
pub struct Admin {
    address: SocketAddr,
    client: Client,
}

impl Admin {
    /// Of the Envoy whose admin port is at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::new() }
    }

    /// Where the port is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether all workers run and the server takes traffic (`/ready` says LIVE).
    pub async fn is_ready(&self) -> bool {
        self.get("/ready").await.is_ok_and(|reply| reply.status == 200)
    }

    /// Counters and gauges as they stand.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        Ok(Stats::parse(&self.get("/stats").await?.text()))
    }

    /// Reads [`Self::stats`] until `find` finds something; none when it did not before the deadline.
    pub async fn wait_for_stats<T>(
        &self,
        deadline: Duration,
        mut find: impl FnMut(&Stats) -> Option<T>,
    ) -> Result<Option<T>, ClientError> {
        let started = Instant::now();
        loop {
            let found = find(&self.stats().await?);
            if found.is_some() || deadline < started.elapsed() {
                return Ok(found);
            }
            sleep(POLL).await;
        }
    }

    /// The page that Prometheus scrapes.
    pub async fn prometheus(&self) -> Result<String, ClientError> {
        Ok(self.get("/stats/prometheus").await?.text())
    }

    /// The address of every listener by its name, as bound: where the configuration says port 0, this knows the port.
    pub async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>, ClientError> {
        let page = self.get("/listeners?format=json").await?.json();
        let listeners = page["listener_statuses"].as_array().cloned().unwrap_or_default();
        Ok(listeners
            .iter()
            .filter_map(|listener| {
                let socket = &listener["local_address"]["socket_address"];
                let ip = socket["address"].as_str()?.parse().ok()?;
                let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
                Some((listener["name"].as_str()?.to_owned(), SocketAddr::new(ip, port)))
            })
            .collect())
    }

    /// What Envoy runs with.
    pub async fn config_dump(&self) -> Result<Value, ClientError> {
        Ok(self.get("/config_dump").await?.json())
    }

    /// Asks Envoy to exit as SIGTERM does.
    pub async fn quit(&self) -> Result<(), ClientError> {
        self.post("/quitquitquit").await.map(drop)
    }

    /// Starts to close all listeners while requests in flight go on.
    pub async fn drain_listeners(&self) -> Result<(), ClientError> {
        self.post("/drain_listeners?graceful").await.map(drop)
    }

    /// Any other page.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.client.send(Request::get(self.address, path)).await
    }

    /// Any other command.
    pub async fn post(&self, path: &str) -> Result<Reply, ClientError> {
        self.client.send(Request::post(self.address, path, "")).await
    }
}
