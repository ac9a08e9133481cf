//! The shop without views, as a source of traces for a collector elsewhere, and the truth about what it sent.

use crate::check::Evidence;
use crate::hops::{Hop, Place};
use crate::load;
use crate::mesh::{GATEWAY, Mesh, Sampling};
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::services::{Cart, Services};
use crate::span::Kind;
use crate::truth::Truth;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long the last spans may take to leave the Envoys.
const SETTLING: Duration = Duration::from_secs(30);

/// The shop, its Envoys and nothing else. Dropping it ends all of them.
pub struct Feed {
    mesh: Mesh,
    _services: Services,
    truth: Truth,
    schedule: Schedule,
    ratio: f64,
}

/// One trace of which something must have been recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The trace.
    pub trace_id: u128,
    /// What was asked for and what went wrong, in words.
    pub story: String,
    /// Something failed on the way, whether or not the client noticed.
    pub failed: bool,
    /// Every pass through an Envoy that must be there, and none that must not.
    pub stops: Vec<Stop>,
}

/// One span that must be there, as far as those know it who were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Whose Envoy.
    pub service: &'static str,
    /// Whom it called, of a CLIENT span.
    pub peer: Option<&'static str>,
    /// SERVER; else CLIENT.
    pub server: bool,
    /// Its id, where an application saw it.
    pub span_id: Option<u64>,
    /// Its parent's, where an application passed it on.
    pub parent_id: Option<u64>,
}

impl Feed {
    /// Starts services and Envoys, whose spans go to `collector` over OTLP/HTTP. `failures` and `ratio` are shares, 0 to 1.
    pub async fn open(collector: SocketAddr, seed: u64, failures: f64, ratio: f64) -> Result<Self> {
        let (schedule, truth) =
            (Schedule::new(Plan { seed, failures, slow: 0.0, applications: false }), Truth::default());
        let services = Services::start(&schedule, &truth, Cart::Copying).await.context("cannot start the services")?;
        let mesh = Mesh::start(&services, collector, Sampling { ratio, learns: false }, |_| Ok(())).await?;
        Ok(Self { mesh, _services: services, truth, schedule, ratio })
    }

    /// Sends the plan's next `requests`, `rate` a second, waits until the collector has taken every span, and tells what
    /// it must hold.
    pub async fn send(&self, requests: u64, rate: f64) -> Result<Vec<Recorded>> {
        let (_steady, rate) = watch::channel(rate);
        load::run(self.schedule.clone(), self.mesh.entrance()?, rate, Some(requests), self.truth.clone()).await;
        let mut evidence = Evidence::new(self.ratio);
        let waiting = Instant::now();
        loop {
            evidence.events(self.truth.take());
            evidence.counted = self.mesh.counted().await?;
            if evidence.is_exported() {
                break;
            }
            if SETTLING < waiting.elapsed() {
                bail!(
                    "spans were still waiting after {SETTLING:?}; is the collector there? {:?}",
                    self.mesh.complaints()
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
        let mut hops: BTreeMap<(u64, u128), Vec<Hop>> = BTreeMap::new();
        for hop in evidence.hops().into_iter().filter(Hop::must_be_kept) {
            hops.entry((hop.visit, hop.trace_id)).or_default().push(hop);
        }
        Ok(hops.into_iter().map(|((visit, trace_id), hops)| self.recorded(visit, trace_id, &hops)).collect())
    }

    /// Asks every Envoy to go.
    pub async fn close(self) {
        self.mesh.stop().await;
    }

    fn recorded(&self, visit: u64, trace_id: u128, hops: &[Hop]) -> Recorded {
        let failed = hops.iter().any(|hop| hop.failure.is_some());
        Recorded { trace_id, story: self.story(visit), failed, stops: hops.iter().map(Stop::from).collect() }
    }

    fn story(&self, visit: u64) -> String {
        let visit = self.schedule.visit(visit);
        match visit.fault {
            Some(fault) => format!("{}: {}", visit.line(), fault.label()),
            None => visit.line(),
        }
    }
}

impl From<&Hop> for Stop {
    fn from(hop: &Hop) -> Self {
        let nothing = Self { service: GATEWAY, peer: None, server: false, span_id: None, parent_id: None };
        match hop.place {
            Place::Inbound { service, span_id } => Self { service, server: true, span_id: Some(span_id), ..nothing },
            Place::Outbound { service, peer, parent_id } => {
                Self { service, peer: Some(peer), parent_id: Some(parent_id), ..nothing }
            }
            Place::Gateway(Kind::Server) => Self { server: true, ..nothing },
            // The name of its one cluster.
            Place::Gateway(_) => Self { peer: Some("frontend"), ..nothing },
        }
    }
}
