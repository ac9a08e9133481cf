//! Collector and X-Ray together, whichever there are.

use crate::api::Api;
use crate::collector::{self, Destination, RealCollector};
use crate::files;
use crate::moto::Moto;
use crate::rehearsal::Rehearsal;
use crate::settings::ExporterSettings;
use crate::stored::{StoredTrace, xray_id};
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// From OTLP to moto's X-Ray.
#[derive(Debug)]
pub struct Pipeline {
    door: Door,
    moto: Moto,
}

#[derive(Debug)]
enum Door {
    Real(RealCollector),
    Rehearsal(Rehearsal),
}

impl Pipeline {
    /// A real collector if [`collector::VARIABLE`] names one, else the rehearsal; moto behind it.
    pub async fn start() -> Result<Self> {
        let moto = Moto::start().await?;
        let door = match collector::named() {
            Some(binary) => {
                Door::Real(RealCollector::start(&binary, Destination::StandIn(moto.api().address())).await?)
            }
            None => {
                let settings = ExporterSettings::from_collector(files::COLLECTOR)?;
                Door::Rehearsal(Rehearsal::start(settings, moto.api().clone()).await?)
            }
        };
        Ok(Self { door, moto })
    }

    /// One line for a person.
    pub fn describe(&self) -> &'static str {
        match &self.door {
            Door::Real(_) => "the OpenTelemetry Collector, and moto as X-Ray",
            Door::Rehearsal(_) => "a rehearsal of the collector's X-Ray exporter, and moto as X-Ray",
        }
    }

    /// Where spans go.
    pub fn otlp(&self) -> SocketAddr {
        match &self.door {
            Door::Real(collector) => collector.otlp(),
            Door::Rehearsal(rehearsal) => rehearsal.otlp(),
        }
    }

    /// X-Ray, to look at what arrived.
    pub fn api(&self) -> &Api {
        self.moto.api()
    }

    /// What was lost between OTLP and X-Ray, in words.
    pub fn problems(&self) -> Vec<String> {
        match &self.door {
            // The exporter logs what it cannot send at level error.
            Door::Real(collector) => {
                collector.log().lines().filter(|line| line.contains("\terror\t")).map(str::to_owned).collect()
            }
            Door::Rehearsal(rehearsal) => rehearsal.problems(),
        }
    }

    /// The trace (32 hexadecimal digits), as soon as `enough` of it is in X-Ray.
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
                Some(trace) if enough(&trace) => return Ok(trace),
                found if deadline < started.elapsed() => {
                    let has = found.map_or_else(|| "nothing".to_owned(), |trace| format!("\n{}", trace.outline()));
                    bail!("{} is not whole after {deadline:?}; X-Ray has {has}\n{}", id[0], self.problems().join("\n"));
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}
