//! When X-Ray is asked: intervals, their jitter, and longer and longer waits while it does not answer.

/// The longest wait after failures, milliseconds.
const LONGEST_WAIT_MS: u64 = 5 * 60 * 1000;
/// The shortest interval that the service may ask for, milliseconds.
const SHORTEST_MS: u64 = 1000;

/// Intervals, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Between two fetches of the rules.
    pub rules_ms: u64,
    /// Between two reports, where the service names no other time.
    pub targets_ms: u64,
    /// By how many percent of itself a wait may be longer.
    pub jitter_percent: u64,
}

impl Schedule {
    /// When the rules are due again.
    pub fn rules(&self, now: u64, random: u64) -> u64 {
        now.saturating_add(self.jittered(self.rules_ms, random))
    }

    /// When the next report is due; `asked_ms` is what the service said.
    pub fn targets(&self, now: u64, asked_ms: Option<u64>, random: u64) -> u64 {
        let wait = asked_ms.map_or(self.targets_ms, |asked| asked.clamp(SHORTEST_MS, LONGEST_WAIT_MS));
        now.saturating_add(self.jittered(wait, random))
    }

    /// When to ask again after this many failures in a row: the interval, doubled with each, any time between half of
    /// that and all of it; not before the service's `Retry-After`.
    pub fn after_failures(&self, failures: u32, retry_after_ms: Option<u64>, now: u64, random: u64) -> u64 {
        let wait = self.targets_ms.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_WAIT_MS);
        let wait = (wait / 2).saturating_add(within(random, wait / 2));
        let asked = retry_after_ms.unwrap_or_default().min(LONGEST_WAIT_MS);
        now.saturating_add(wait.max(asked))
    }

    /// No wait is longer, milliseconds.
    pub fn longest(&self) -> u64 {
        self.rules_ms.max(LONGEST_WAIT_MS).saturating_mul(2)
    }

    fn jittered(&self, wait: u64, random: u64) -> u64 {
        wait.saturating_add(within(random, wait.saturating_mul(self.jitter_percent) / 100))
    }
}

/// 0 to `most`, by a random number.
fn within(random: u64, most: u64) -> u64 {
    random.checked_rem(most.saturating_add(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600_000;
    const SCHEDULE: Schedule = Schedule { rules_ms: 300_000, targets_ms: 10_000, jitter_percent: 1 };

    #[test]
    fn an_interval_is_longer_by_the_jitter_at_most_and_never_shorter() {
        for random in [0, 1, 3000, u64::MAX] {
            assert!((300_000..=303_000).contains(&(SCHEDULE.rules(NOW, random) - NOW)));
            assert!((10_000..=10_100).contains(&(SCHEDULE.targets(NOW, None, random) - NOW)));
        }
    }

    #[test]
    fn the_service_may_name_the_interval_within_reason() {
        for (asked, wanted) in [(0, 1000), (15_000, 15_000), (u64::MAX, LONGEST_WAIT_MS)] {
            assert_eq!(SCHEDULE.targets(NOW, Some(asked), 0) - NOW, wanted);
        }
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_obey_retry_after() {
        let wait = |failures, asked, random| SCHEDULE.after_failures(failures, asked, NOW, random) - NOW;
        assert_eq!([1, 2, 3].map(|failures| wait(failures, None, 0)), [5_000, 10_000, 20_000]);
        assert_eq!(wait(60, None, 0), LONGEST_WAIT_MS / 2);
        assert!((1..100).all(|random| wait(9, None, random * 7919) <= LONGEST_WAIT_MS));
        assert_eq!(wait(1, Some(60_000), 0), 60_000);
        assert_eq!(wait(1, Some(u64::MAX), 0), LONGEST_WAIT_MS);
    }
}
