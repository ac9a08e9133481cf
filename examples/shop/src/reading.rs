//! What the gateway's counters say of its rate, second by second.

use crate::mesh::{Counted, GATEWAY};
use std::collections::BTreeMap;

/// One look at the counters. Counts are since the Envoy started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Seconds since the story began.
    pub at_s: f64,
    /// Traces that the rate in force decided, sampled or not.
    pub offered: u64,
    /// Traces kept by the rate, and those that an upgrade kept.
    pub kept: u64,
    /// The ratio in force, 0 to 1.
    pub in_force: f64,
    /// Times that a boost changed it.
    pub boosts: u64,
}

/// What happened between two readings, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct PerSecond {
    /// Seconds since the story began, at the later one.
    pub at_s: f64,
    /// New traces.
    pub offered: f64,
    /// Traces kept.
    pub kept: f64,
    /// The ratio in force at the later one, 0 to 1.
    pub in_force: f64,
}

impl Reading {
    /// Of all Envoys' counters.
    pub fn of(at_s: f64, counted: &BTreeMap<String, Counted>) -> Self {
        let Some(counted) = counted.get(GATEWAY) else { return Self { at_s, ..Self::default() } };
        let by_rate = |decisions: &BTreeMap<String, u64>| decisions.get("adaptive").copied().unwrap_or(0);
        let upgraded: u64 = counted.upgrades.values().sum();
        Self {
            at_s,
            offered: by_rate(&counted.sampled) + by_rate(&counted.dropped),
            kept: by_rate(&counted.sampled) + upgraded,
            in_force: counted.in_force,
            boosts: counted.boosts,
        }
    }

    /// Since an earlier one.
    pub fn since(&self, before: &Self) -> PerSecond {
        let seconds = (self.at_s - before.at_s).max(f64::EPSILON);
        let a_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        PerSecond {
            at_s: self.at_s,
            offered: a_second(self.offered, before.offered),
            kept: a_second(self.kept, before.kept),
            in_force: self.in_force,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates() {
        let mut counted = Counted { in_force: 0.25, ..Counted::default() };
        counted.sampled.extend([("adaptive".to_owned(), 30), ("upgraded".to_owned(), 5)]);
        counted.dropped.extend([("adaptive".to_owned(), 90), ("rule".to_owned(), 7)]);
        counted.upgrades.extend([("http_status".to_owned(), 4), ("signal".to_owned(), 2)]);
        let now = Reading::of(12.0, &BTreeMap::from([(GATEWAY.to_owned(), counted)]));
        assert_eq!((now.offered, now.kept), (120, 36));
        let before = Reading { at_s: 10.0, offered: 100, kept: 30, ..Reading::default() };
        assert_eq!(now.since(&before), PerSecond { at_s: 12.0, offered: 10.0, kept: 3.0, in_force: 0.25 });
    }
}
