//! Figures since the settings were last changed: those before were of another mesh.

use super::completeness::Tally;
use super::{Model, Requests};
use crate::mesh::{Counted, GATEWAY};
use std::collections::BTreeMap;
use std::time::Instant;

/// What had been counted when the stretch began.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// As the clients counted.
    pub requests: Requests,
    /// Traces recorded.
    pub recorded: u64,
    /// Spans received.
    pub spans: u64,
    /// Hops of failed requests.
    pub hops: Tally,
    /// Failed requests.
    pub traces: Tally,
    /// Of those kept, the ones that the head had sampled.
    pub kept_by_head: u64,
    /// Traces that the gateway's head sampled.
    pub head_sampled: u64,
    /// Upgraded hops by trigger, all Envoys.
    pub upgrades: BTreeMap<String, u64>,
    /// Triggers that the budget did not admit.
    pub shed: u64,
}

/// A stretch of a run under one ratio and one share of failures.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// When it began.
    pub since: Instant,
    before: Counts,
}

impl Stretch {
    /// Begins with what was counted until then.
    pub fn new(since: Instant, before: Counts) -> Self {
        Self { since, before }
    }

    /// What was counted in it.
    pub fn counts(&self, all: &Counts) -> Counts {
        let before = &self.before;
        let upgrades = all.upgrades.iter().map(|(trigger, count)| {
            (trigger.clone(), count.saturating_sub(before.upgrades.get(trigger).copied().unwrap_or(0)))
        });
        Counts {
            requests: all.requests.since(before.requests),
            recorded: all.recorded.saturating_sub(before.recorded),
            spans: all.spans.saturating_sub(before.spans),
            hops: all.hops.since(before.hops),
            traces: all.traces.since(before.traces),
            kept_by_head: all.kept_by_head.saturating_sub(before.kept_by_head),
            head_sampled: all.head_sampled.saturating_sub(before.head_sampled),
            upgrades: upgrades.filter(|(_, count)| 0 < *count).collect(),
            shed: all.shed.saturating_sub(before.shed),
        }
    }
}

impl Model {
    /// Everything that was counted since the first request.
    pub(super) fn counts(&self) -> Counts {
        let mut upgrades = BTreeMap::new();
        for (trigger, count) in self.counted.values().flat_map(|counted| &counted.upgrades) {
            *upgrades.entry(trigger.clone()).or_insert(0) += count;
        }
        Counts {
            requests: self.requests,
            recorded: self.traces.recorded(),
            spans: self.traces.spans(),
            hops: self.hops.hops(),
            traces: self.hops.traces(),
            kept_by_head: self.hops.kept_by_head(),
            head_sampled: self.counted.get(GATEWAY).map_or(0, Counted::head_sampled),
            upgrades,
            shed: self.counted.values().map(|counted| counted.shed).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_counts_what_came_in_it_and_what_is_still_awaited() {
        let tally = |kept, pending, missing| Tally { kept, pending, missing };
        let before = Counts {
            recorded: 10,
            traces: tally(7, 2, 1),
            upgrades: BTreeMap::from([("signal".to_owned(), 5)]),
            ..Counts::default()
        };
        let all = Counts {
            recorded: 15,
            traces: tally(9, 1, 1),
            upgrades: BTreeMap::from([("signal".to_owned(), 5), ("reset".to_owned(), 1)]),
            ..Counts::default()
        };
        let counts = Stretch::new(Instant::now(), before).counts(&all);
        assert_eq!((counts.recorded, counts.traces), (5, tally(2, 1, 0)));
        assert_eq!(counts.upgrades, BTreeMap::from([("reset".to_owned(), 1)]));
    }
}
