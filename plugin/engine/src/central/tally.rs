//! What is reported of each rule. VMs count in their own memory, add up in shared data on their ticks, and the leader takes
//! the sum away when it reports, so that each request is told once.

use super::{MAX_RULES, RuleId};

/// Numbers of one rule since they were last reported. They stop at 2^32 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Root requests that the rule matched: `RequestCount`.
    pub requests: u32,
    /// Those of them that were sampled: `SampledCount`.
    pub sampled: u32,
    /// Those of them that were sampled without a quota: `BorrowCount`.
    pub borrowed: u32,
    /// Requests of traces below this rule that this service served: `TotalCount`.
    pub total: u32,
    /// Those of them that failed: `AnomalyCount`.
    pub anomalies: u32,
    /// Those of the failed ones whose trace was sampled: `SampledAnomalyCount`.
    pub sampled_anomalies: u32,
}

impl Counts {
    fn numbers(&self) -> [u32; 6] {
        [self.requests, self.sampled, self.borrowed, self.total, self.anomalies, self.sampled_anomalies]
    }

    fn of([requests, sampled, borrowed, total, anomalies, sampled_anomalies]: [u32; 6]) -> Self {
        Self { requests, sampled, borrowed, total, anomalies, sampled_anomalies }
    }

    /// Apart: what `SamplingStatisticsDocuments` say, and what `SamplingBoostStatisticsDocuments` say.
    pub fn by_document(self) -> (Self, Self) {
        let [requests, sampled, borrowed, total, anomalies, sampled_anomalies] = self.numbers();
        (Self::of([requests, sampled, borrowed, 0, 0, 0]), Self::of([0, 0, 0, total, anomalies, sampled_anomalies]))
    }

    fn add(&mut self, other: &Self) {
        let mut sum = self.numbers();
        for (number, more) in sum.iter_mut().zip(other.numbers()) {
            *number = number.saturating_add(more);
        }
        *self = Self::of(sum);
    }
}

/// An id and six numbers, big-endian.
const ENTRY_BYTES: usize = 8 + 6 * 4;

/// Counts by rule; at most [`MAX_RULES`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<(RuleId, Counts)>);

impl Tally {
    /// Nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The counts of a rule, zero at first; `None` when there are too many rules.
    pub fn of(&mut self, rule: RuleId) -> Option<&mut Counts> {
        let place = self.0.iter().position(|(known, _)| *known == rule);
        let place = match place {
            Some(place) => place,
            None if MAX_RULES <= self.0.len() => return None,
            None => {
                self.0.push((rule, Counts::default()));
                self.0.len().saturating_sub(1)
            }
        };
        self.0.get_mut(place).map(|(_, counts)| counts)
    }

    /// Adds these counts to those of the rule; `false` when there are too many rules. Nothing needs no room.
    pub fn add(&mut self, rule: RuleId, counts: &Counts) -> bool {
        *counts == Counts::default() || self.of(rule).map(|sum| sum.add(counts)).is_some()
    }

    /// Adds all of the other. Answers how many requests had no room.
    pub fn merge(&mut self, other: &Self) -> u64 {
        let without_room = other.0.iter().filter(|(rule, counts)| !self.add(*rule, counts));
        without_room.map(|(_, counts)| u64::from(counts.requests)).sum()
    }

    /// Takes the counts of one rule out.
    pub fn take(&mut self, rule: RuleId) -> Counts {
        match self.0.iter().position(|(known, _)| *known == rule) {
            Some(place) => self.0.swap_remove(place).1,
            None => Counts::default(),
        }
    }

    /// Requests of all rules.
    pub fn requests(&self) -> u64 {
        self.0.iter().map(|(_, counts)| u64::from(counts.requests)).sum()
    }

    /// The form in shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len().saturating_mul(ENTRY_BYTES));
        for (rule, counts) in &self.0 {
            bytes.extend_from_slice(&rule.get().to_be_bytes());
            for number in counts.numbers() {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        bytes
    }

    /// Reads that form; what is none of it counts nothing.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut tally = Self::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let Some((id, rest)) = entry.split_first_chunk::<8>() else { continue };
            let mut numbers = [0; 6];
            for (number, bytes) in numbers.iter_mut().zip(rest.as_chunks::<4>().0) {
                *number = u32::from_be_bytes(*bytes);
            }
            tally.add(RuleId::from_u64(u64::from_be_bytes(*id)), &Counts::of(numbers));
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Counts> {
        any::<[u16; 6]>().prop_map(|numbers| Counts::of(numbers.map(u32::from)))
    }

    #[test]
    fn more_rules_than_there_may_be_have_no_room_and_that_is_said() {
        let mut tally = Tally::default();
        let one = Counts { requests: 3, ..Counts::default() };
        for id in 0..=MAX_RULES as u64 {
            assert_eq!(tally.add(RuleId::from_u64(id), &one), id < MAX_RULES as u64);
        }
        let mut other = Tally::default();
        other.add(RuleId::from_u64(0), &one);
        other.add(RuleId::from_u64(1000), &one);
        assert_eq!(tally.merge(&other), 3);
        assert_eq!(tally.take(RuleId::from_u64(0)).requests, 6);
        assert_eq!(tally.take(RuleId::from_u64(0)), Counts::default());
    }

    #[test]
    fn a_count_stops_at_its_highest_number() {
        let mut tally = Tally::default();
        let high = Counts { requests: u32::MAX, ..Counts::default() };
        assert!(tally.add(RuleId::from_u64(1), &high) && tally.add(RuleId::from_u64(1), &high));
        assert_eq!(tally.take(RuleId::from_u64(1)), high);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_through_shared_data(entries in proptest::collection::vec((0_u64..40, counts()), 0..60)) {
            let (mut shared, mut straight) = (Vec::new(), Tally::default());
            for (id, counts) in entries {
                let mut own = Tally::default();
                own.add(RuleId::from_u64(id), &counts);
                let mut sum = Tally::from_bytes(&shared);
                prop_assert_eq!(sum.merge(&own), 0);
                shared = sum.to_bytes();
                straight.add(RuleId::from_u64(id), &counts);
            }
            prop_assert_eq!(Tally::from_bytes(&shared), straight);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let tally = Tally::from_bytes(&bytes);
            prop_assert!(tally.to_bytes().len() <= MAX_RULES * ENTRY_BYTES);
        }
    }
}
