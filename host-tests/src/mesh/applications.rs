//! What the applications of pods do with the context that they are called with, and which spans of their own they export.

use std::collections::{BTreeMap, BTreeSet};

use super::call::trace_flag;
use super::context::Context;
use super::hop::Side;
use super::options::{Odds, Options, Sabotage};
use super::simulation::Mesh;
use super::topology::PodId;
use crate::random::SeededRandom;

/// How an application passes a trace on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    /// It copies the headers that it was called with.
    CopiesHeaders,
    /// Its SDK gives each call a span-id of its own, also where the flag is 0 and the span is not recorded.
    Sdk,
    /// That of one that follows `docs/applications.md`: spans of dropped traces are held, and released by a signal or a failure of its own.
    SdkWithContract,
    /// It passes nothing on.
    Deaf,
}

/// The spans of all applications.
#[derive(Debug)]
pub(crate) struct Applications {
    random: SeededRandom,
    sabotage: Option<Sabotage>,
    /// Span-ids that were exported by those who made them.
    pub(crate) exported: BTreeSet<u64>,
    held: BTreeMap<(PodId, u128), Vec<u64>>,
    released: BTreeSet<(PodId, u128)>,
}

impl Applications {
    /// With randomness of their own, so that the rest of a run stays as it is.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            random: SeededRandom::new(options.seed, u64::MAX - 2),
            sabotage: options.sabotage,
            exported: BTreeSet::new(),
            held: BTreeMap::new(),
            released: BTreeSet::new(),
        }
    }

    /// The application of a pod, by the odds.
    pub(crate) fn choose(random: &mut SeededRandom, odds: &Odds, deaf: bool) -> Application {
        match () {
            () if deaf => Application::Deaf,
            () if random.chance(odds.sdks) => Application::Sdk,
            () if random.chance(odds.contracts) => Application::SdkWithContract,
            () => Application::CopiesHeaders,
        }
    }

    /// A call's own span, exported at once, or held, or never recorded.
    fn span(&mut self, application: Application, place: (PodId, u128), sampled: bool) -> u64 {
        let id = self.random.next() | 1;
        let contract = application == Application::SdkWithContract;
        if sampled || contract && self.released.contains(&place) {
            self.exported.insert(id);
        } else if contract {
            self.held.entry(place).or_default().push(id);
        }
        id
    }

    fn release(&mut self, place: (PodId, u128)) {
        self.released.insert(place);
        self.exported.extend(self.held.remove(&place).unwrap_or_default());
    }
}

impl Mesh {
    /// The context that a call leaves its application with.
    pub(crate) fn as_sent(&mut self, pod: PodId, side: Side, context: &Context) -> Context {
        let application = self.topology.pods[pod].application;
        let has_sdk = matches!(application, Application::Sdk | Application::SdkWithContract);
        let came = context.headers.text("traceparent").filter(|_| has_sdk && side == Side::Outbound);
        let (Some(came), Some(trace)) = (came, context.trace()) else { return context.clone() };
        let flags = came.rsplit('-').next().unwrap_or("00").to_owned();
        let sampled = trace_flag(&context.headers) == Some(true);
        let mut span = self.applications.span(application, (pod, trace), sampled);
        let stale = self.applications.sabotage == Some(Sabotage::StaleParents) && !sampled;
        if stale && let Some(hop) = self.hops.first() {
            span = hop.span;
        }
        let mut sent = context.clone();
        sent.headers.replace("traceparent", format!("00-{trace:032x}-{span:016x}-{flags}"));
        sent.own = Some(span);
        sent
    }

    /// An application that follows the contract learns that a trace is kept.
    pub(crate) fn release(&mut self, pod: PodId, trace: u128) {
        if self.topology.pods[pod].application == Application::SdkWithContract {
            self.applications.release((pod, trace));
        }
    }
}
