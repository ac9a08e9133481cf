//! What one worker knows of how long requests usually take, and what it has counted and not yet shared.

use std::collections::BTreeMap;

use super::keys::numbered;
use crate::door::{Host, Update};
use crate::metrics::{Aggregation, Histogram, baseline};
use crate::telemetry::{Metric, Metrics};
use crate::upgrade::coverage::Kind;
use crate::upgrade::{Slow, SlowPolicy};

/// Attempts against other workers.
const TRIES: usize = 8;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &[u8; 17] = b"tracelift.slow.1.";
/// Routes and methods that a worker counts at most.
const MOST: usize = 1_024;
/// Nanoseconds between two times that a worker shares what it has counted.
const INTERVAL: u64 = 2_000_000_000;
/// Routes that are shared in one tick.
const SHARED_AT_ONCE: usize = 64;

/// A route and method.
#[derive(Default)]
struct Known {
    /// Nanoseconds; 0 until it is known.
    baseline: u64,
    pending: Histogram,
}

/// The learned baselines of one filter.
pub struct Slowness {
    policy: SlowPolicy,
    /// Where the kinds of this filter begin.
    filter: Kind,
    known: BTreeMap<u64, Known>,
    /// Kinds with counts that are not shared yet.
    changed: Vec<u64>,
    /// Unix nanoseconds from which on they are shared.
    due: u64,
    /// Requests of routes with a baseline, and those that took longer than that; since they were last asked for.
    judged: (u32, u32),
    /// What the gauges have of this worker: routes with a baseline, and those without.
    shown: [i64; 2],
}

impl Slowness {
    /// The filters of that name in this process learn together; another quantile is learned apart.
    pub fn new(plugin: &str, policy: SlowPolicy) -> Self {
        let filter = Kind::of(plugin.as_bytes()).with(policy.quantile.to_bits());
        Self { policy, filter, known: BTreeMap::new(), changed: Vec::new(), due: 0, judged: (0, 0), shown: [0; 2] }
    }

    /// What it goes by.
    pub fn policy(&self) -> &SlowPolicy {
        &self.policy
    }

    /// Goes by another policy; `false` where that learns other baselines.
    pub fn obey(&mut self, policy: SlowPolicy) -> bool {
        let is_alike = self.policy.quantile == policy.quantile && self.policy.per == policy.per;
        self.policy = policy;
        is_alike
    }

    /// Counts a request of a route on one side of a call, and judges it by what was known before.
    pub fn judge(&mut self, host: &impl Host, of_any: Kind, is_client: bool, took: u64) -> Option<Slow> {
        let kind = of_any.with(self.filter.bits() ^ u64::from(is_client)).bits();
        if MOST <= self.known.len() && !self.known.contains_key(&kind) {
            return None;
        }
        let known = self.known.entry(kind).or_insert_with(|| Known { baseline: find(host, kind), ..Known::default() });
        if known.pending.count() == 0 {
            self.changed.push(kind);
        }
        known.pending.record(Aggregation::Exponential, took);
        if known.baseline != 0 {
            let (all, longer) = &mut self.judged;
            *all = all.saturating_add(1);
            *longer = longer.saturating_add(u32::from(known.baseline < took));
        }
        self.policy.judge(took, known.baseline)
    }

    /// Requests whose usual duration was known, and those of them that took longer than it, since this was last asked.
    pub fn take_judged(&mut self) -> (u32, u32) {
        std::mem::take(&mut self.judged)
    }

    /// Shares what was counted, and learns what others have, where it is time. `now` in Unix nanoseconds.
    pub fn tick(&mut self, host: &impl Host, now: u64, metrics: &mut Metrics) {
        if now < self.due && self.due <= now.saturating_add(INTERVAL) || self.changed.is_empty() {
            return;
        }
        for _ in 0..SHARED_AT_ONCE {
            let Some(kind) = self.changed.pop() else { break };
            self.share(host, kind, now, metrics);
        }
        if self.changed.is_empty() {
            self.due = now.saturating_add(INTERVAL);
        }
        let known = self.known.values().filter(|known| known.baseline != 0).count();
        self.show([known, self.known.len().saturating_sub(known)], metrics);
    }

    /// Nothing more is learned here: the gauges lose what they had of it.
    pub fn end(&mut self, metrics: &mut Metrics) {
        self.show([0; 2], metrics);
    }

    fn show(&mut self, counts: [usize; 2], metrics: &mut Metrics) {
        for ((metric, count), shown) in
            [Metric::SlowRoutes, Metric::SlowLearning].into_iter().zip(counts).zip(&mut self.shown)
        {
            let count = i64::try_from(count).unwrap_or_default();
            metrics.add(metric, count.saturating_sub(*shown));
            *shown = count;
        }
    }

    fn share(&mut self, host: &impl Host, kind: u64, now: u64, metrics: &mut Metrics) {
        let Some(known) = self.known.get_mut(&kind) else { return };
        let seconds = u32::try_from(now / 1_000_000_000).unwrap_or(u32::MAX);
        let mut added = None;
        let update = host.update(&key(kind), TRIES, |slot| {
            let next = baseline::add(slot.unwrap_or_default(), kind, &known.pending, self.policy.quantile, seconds);
            added.insert(next).slot.clone().into()
        });
        match added.filter(|_| update == Update::Changed) {
            Some(added) => {
                known.pending = Histogram::default();
                known.baseline = added.nanos;
                metrics.add_count(Metric::SlowEvicted, added.evicted.into());
            }
            None => self.changed.insert(0, kind), // Another time.
        }
    }
}

fn key(kind: u64) -> [u8; PREFIX.len() + 3] {
    numbered(PREFIX, baseline::slot_of(kind))
}

fn find(host: &impl Host, kind: u64) -> u64 {
    let found = host.shared(&key(kind)).ok().flatten();
    found.map_or(0, |(slot, _)| baseline::find(&slot, kind))
}
