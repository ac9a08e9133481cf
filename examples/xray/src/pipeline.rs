//! Collector and X-Ray together.

use crate::api::Api;
use crate::collector::{Destination, RealCollector, Settings};
use crate::limits;
use crate::moto::Moto;
use crate::stored::{StoredTrace, xray_id};
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// From OTLP to moto's X-Ray.
#[derive(Debug)]
pub struct Pipeline {
    collector: RealCollector,
    moto: Moto,
}

impl Pipeline {
    /// The collector of [`crate::collector::VARIABLE`], and moto behind it.
    pub async fn start() -> Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// The same, with a collector that is told more.
    pub async fn start_with(settings: Settings<'_>) -> Result<Self> {
        let moto = Moto::start().await?;
        let xray = format!("http://{}", moto.api().address());
        let collector = RealCollector::start(Destination::StandIn(&xray), settings).await?;
        Ok(Self { collector, moto })
    }

    /// Where spans go.
    pub fn otlp(&self) -> SocketAddr {
        self.collector.otlp()
    }

    /// The collector, to look at what it says.
    pub fn collector(&self) -> &RealCollector {
        &self.collector
    }

    /// X-Ray, to look at what arrived.
    pub fn api(&self) -> &Api {
        self.moto.api()
    }

    /// The trace (32 hexadecimal digits), as soon as `enough` of it is in X-Ray. An error when that is not so in time,
    /// and when the real X-Ray would have refused any document, of which moto refuses few.
    pub async fn trace(
        &self,
        trace_id: &str,
        deadline: Duration,
        enough: impl Fn(&StoredTrace) -> bool,
    ) -> Result<StoredTrace> {
        let (started, id) = (Instant::now(), [xray_id(trace_id)]);
        loop {
            let found = self.api().batch_get_traces(&id).await?.pop();
            match found {
                Some(trace) if enough(&trace) => {
                    for (document, size) in trace.documents.iter().zip(&trace.sizes) {
                        limits::check(document, *size)?;
                    }
                    return Ok(trace);
                }
                found if deadline < started.elapsed() => {
                    let has = found.map_or_else(|| "nothing".to_owned(), |trace| format!("\n{}", trace.outline()));
                    let losses = self.collector.losses().join("\n");
                    bail!("{} is not whole after {deadline:?}; X-Ray has {has}\n{losses}", id[0]);
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}
