//! How many traces a second may be upgraded: an outage is an error storm.
//!
//! The limiter charges *every* trigger in order of arrival, before anyone looks at the head decision. Admission then
//! depends on time and outcome, never on the randomness R, so that the admitted ones are a class of their own that is
//! kept whole (`th:0`) and every estimate stays exact.

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A rate limit in traces a second with a burst of one second's worth, as a generic cell rate algorithm: its whole state
/// is one number (the theoretical arrival time), so that workers can share it in one compare-and-swap slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Nanoseconds that one trace takes from the budget; `None` admits nothing.
    interval: Option<u64>,
    /// Nanoseconds by which admitted traces may be ahead of the clock.
    burst: u64,
}

/// Why a rate is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetError {
    /// The rate found.
    pub found: f64,
}

impl Budget {
    /// The largest rate, in traces a second.
    pub const MAX_PER_SECOND: f64 = 1_000_000.0;

    /// `rate` in traces a second, 0 to [`Self::MAX_PER_SECOND`]; 0 switches upgrades off, a fraction is fine.
    pub fn per_second(rate: f64) -> Result<Self, BudgetError> {
        if !(0.0..=Self::MAX_PER_SECOND).contains(&rate) {
            return Err(BudgetError { found: rate });
        }
        // A rate so small that one trace takes centuries saturates, which is as good as never.
        Ok(Self::every((rate > 0.0).then(|| (SECOND as f64 / rate) as u64)))
    }

    fn every(interval: Option<u64>) -> Self {
        Self { interval, burst: interval.unwrap_or_default().max(SECOND) }
    }

    /// A budget of `factor` times as many traces a second.
    pub fn times(&self, factor: u64) -> Self {
        Self::every(self.interval.map(|interval| interval.checked_div(factor).unwrap_or(interval)))
    }

    /// The same rate, with a burst of `count` at least.
    pub fn with_burst(self, count: u64) -> Self {
        Self { burst: self.burst.max(self.interval.unwrap_or_default().saturating_mul(count)), ..self }
    }

    /// The rate, in traces a second; 0 admits nothing.
    pub fn rate(&self) -> f64 {
        self.interval.map_or(0.0, |interval| SECOND as f64 / interval.max(1) as f64)
    }

    /// Charges one trigger at `now` (Unix nanoseconds). `arrival` is the state of the last charge, 0 at first.
    /// `Some` is the new state of an admitted trigger; `None` says that it is shed and the state stays.
    pub fn charge(&self, arrival: u64, now: u64) -> Option<u64> {
        let interval = self.interval?;
        let burst = self.burst;
        // A state far ahead of the clock can only come from a clock that was set back: begin anew. A moment ahead is another
        // worker that has read its clock since; to begin anew then would admit a second burst.
        let arrival = if now.saturating_add(burst.saturating_mul(2)) < arrival { now } else { arrival };
        let next = arrival.max(now).saturating_add(interval);
        (next.saturating_sub(now) <= burst).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn admitted(budget: Budget, times: impl IntoIterator<Item = u64>) -> usize {
        let mut state = 0;
        times.into_iter().filter(|&now| budget.charge(state, now).map(|next| state = next).is_some()).count()
    }

    #[test]
    fn a_worker_that_read_its_clock_a_moment_earlier_gets_no_second_burst() {
        let budget = Budget::per_second(50.0).expect("a rate");
        let (mut state, now) = (0, 10 * SECOND);
        while let Some(next) = budget.charge(state, now) {
            state = next;
        }
        assert_eq!(budget.charge(state, now - 1_000), None);
    }

    #[test]
    fn a_storm_is_cut_to_the_rate_after_one_burst() {
        let budget = Budget::per_second(100.0).expect("a rate");
        let storm = (0..100_000_u64).map(|i| SECOND + i * 100_000); // Ten seconds at 10,000 a second.
        let kept = admitted(budget, storm);
        assert!((1_095..=1_101).contains(&kept), "100 a second for 10 s and a burst of 100, found {kept}");
    }

    #[test]
    fn quiet_errors_are_all_admitted() {
        let budget = Budget::per_second(10.0).expect("a rate");
        assert_eq!(admitted(budget, (1..=50).map(|i| i * SECOND / 9)), 50);
    }

    #[test]
    fn zero_switches_upgrades_off_and_a_fraction_admits_one_now_and_then() {
        assert_eq!(admitted(Budget::per_second(0.0).expect("a rate"), (1..=10).map(|i| i * SECOND)), 0);
        assert_eq!(admitted(Budget::per_second(0.1).expect("a rate"), (1..=100).map(|i| i * SECOND)), 10);
    }

    #[test]
    fn a_small_rate_may_have_a_burst_of_more_than_a_second() {
        let budget = Budget::per_second(1.0).expect("a rate").with_burst(32);
        assert_eq!(admitted(budget, (0..100).map(|_| SECOND)), 32);
        assert_eq!(admitted(budget, (1..=200).map(|i| i * SECOND / 2)), 131, "and no more than the rate afterwards");
        let large = Budget::per_second(100.0).expect("a rate");
        assert_eq!(large.with_burst(32), large);
    }

    #[test]
    fn a_clock_set_back_does_not_stop_upgrades() {
        let budget = Budget::per_second(1.0).expect("a rate");
        let state = budget.charge(0, 1_000_000 * SECOND).expect("admitted");
        assert!(budget.charge(state, 5 * SECOND).is_some());
    }

    #[test]
    fn a_rate_outside_the_range_is_refused() {
        for found in [-1.0, f64::NAN, f64::INFINITY, 1_000_001.0] {
            assert!(Budget::per_second(found).is_err(), "{found}");
        }
    }

    proptest! {
        #[test]
        fn any_second_admits_at_most_twice_the_rate(
            rate in 1_u32..1000,
            gaps in proptest::collection::vec(0_u64..20_000_000, 1..2000),
        ) {
            let budget = Budget::per_second(f64::from(rate)).expect("a rate");
            let mut now = SECOND;
            let mut state = 0;
            let mut kept = Vec::new();
            for gap in gaps {
                now += gap;
                if let Some(next) = budget.charge(state, now) {
                    state = next;
                    kept.push(now);
                }
            }
            for (i, start) in kept.iter().enumerate() {
                let within = kept.iter().skip(i).take_while(|&t| t - start < SECOND).count();
                prop_assert!(within <= 2 * rate as usize + 1);
            }
        }
    }
}
