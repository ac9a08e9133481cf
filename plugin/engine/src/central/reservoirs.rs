//! The reservoirs of a process: how many requests of each rule were taken in the present second, in one shared value that
//! workers change by compare-and-swap. So the process as a whole never takes more than its quota.

use super::{MAX_RULES, RuleId};

/// A rule's id (8 bytes), a Unix second (4) and what was taken in it (4), big-endian.
const ENTRY_BYTES: usize = 16;
/// Entries that this many seconds old are forgotten. A worker whose clock stood still for longer begins anew.
const FORGOTTEN_AFTER: u32 = 60;

#[derive(Clone, Copy)]
struct Entry {
    rule: RuleId,
    second: u32,
    taken: u32,
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes.chunks_exact(ENTRY_BYTES).take(MAX_RULES).filter_map(|chunk| {
        let (id, rest) = chunk.split_first_chunk::<8>()?;
        let (second, rest) = rest.split_first_chunk::<4>()?;
        Some(Entry {
            rule: RuleId::from_u64(u64::from_be_bytes(*id)),
            second: u32::from_be_bytes(*second),
            taken: u32::from_be_bytes(*rest.first_chunk::<4>()?),
        })
    })
}

/// Takes one of `quota` from the reservoir of this second: the value to write back, or `None` when nothing is left. A
/// worker that is late by the clock takes from the newest second that any worker has seen.
pub fn take(bytes: &[u8], rule: RuleId, quota: u32, second: u32) -> Option<Vec<u8>> {
    // An entry far ahead can only come from a clock that was set back since.
    let is_current = |entry: &Entry| entry.second.abs_diff(second) <= FORGOTTEN_AFTER;
    let known = entries(bytes).find(|entry| entry.rule == rule && is_current(entry) && second <= entry.second);
    let (second, taken) = known.map_or((second, 0), |entry| (entry.second, entry.taken));
    if quota <= taken {
        return None;
    }
    let others = entries(bytes).filter(|entry| entry.rule != rule && is_current(entry));
    let mut kept: Vec<Entry> = others.collect();
    if MAX_RULES <= kept.len() {
        return None; // Rules came and went within seconds: their fixed rates still hold.
    }
    kept.push(Entry { rule, second, taken: taken.saturating_add(1) });
    let mut written = Vec::with_capacity(kept.len().saturating_mul(ENTRY_BYTES));
    for entry in kept {
        written.extend_from_slice(&entry.rule.get().to_be_bytes());
        written.extend_from_slice(&entry.second.to_be_bytes());
        written.extend_from_slice(&entry.taken.to_be_bytes());
    }
    Some(written)
}

/// Rules whose reservoir this VM has seen empty: for the rest of the second it does not ask again.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    second: u32,
    rules: Vec<RuleId>,
}

impl Spent {
    /// Nothing is left for this rule in this second.
    pub fn note(&mut self, rule: RuleId, second: u32) {
        if self.second != second {
            self.second = second;
            self.rules.clear();
        }
        if self.rules.len() < MAX_RULES {
            self.rules.push(rule);
        }
    }

    /// Whether that was noted.
    pub fn knows(&self, rule: RuleId, second: u32) -> bool {
        self.second == second && self.rules.contains(&rule)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const NOW: u32 = 1_767_225_600;

    #[test]
    fn a_second_gives_its_quota_and_no_more() {
        let (a, b) = (RuleId::from_u64(1), RuleId::from_u64(2));
        let mut shared = Vec::new();
        for _ in 0..2 {
            shared = take(&shared, a, 2, NOW).expect("left");
        }
        assert_eq!(take(&shared, a, 2, NOW), None);
        assert_eq!(take(&shared, a, 2, NOW - 1), None, "a late worker adds nothing");
        shared = take(&shared, b, 1, NOW).expect("its own reservoir");
        assert_eq!(take(&shared, b, 0, NOW + 1), None, "a quota of zero");
        assert!(take(&shared, a, 2, NOW + 1).is_some());
        assert!(take(&shared, a, 2, NOW - 1000).is_some(), "the clock was set back");
    }

    #[test]
    fn an_empty_reservoir_is_remembered_for_its_second() {
        let (mut spent, rule) = (Spent::default(), RuleId::from_u64(1));
        spent.note(rule, NOW);
        assert!(spent.knows(rule, NOW) && !spent.knows(rule, NOW + 1) && !spent.knows(RuleId::from_u64(2), NOW));
        spent.note(RuleId::from_u64(2), NOW + 1);
        assert!(!spent.knows(rule, NOW + 1) && !spent.knows(rule, NOW));
    }

    proptest! {
        /// Workers may be a few seconds apart; by the second that each take is charged to, no quota is exceeded.
        #[test]
        fn no_order_of_arrivals_exceeds_a_quota(
            arrivals in proptest::collection::vec((0_u64..5, 0_u32..4, 0_u32..3), 1..400),
            quota in 0_u32..5,
        ) {
            let (mut shared, mut taken) = (Vec::new(), BTreeMap::new());
            for (step, (id, late, pace)) in arrivals.into_iter().enumerate() {
                let rule = RuleId::from_u64(id);
                let second = NOW + (step as u32 * pace) / 40 - late;
                if let Some(next) = take(&shared, rule, quota, second) {
                    let charged = entries(&next).find(|entry| entry.rule == rule).expect("written").second;
                    *taken.entry((id, charged)).or_insert(0) += 1;
                    shared = next;
                }
                prop_assert!(shared.len() <= MAX_RULES * ENTRY_BYTES);
            }
            prop_assert!(taken.values().all(|taken| *taken <= quota), "{:?} of {}", taken, quota);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Some(next) = take(&bytes, RuleId::from_u64(7), 3, NOW) {
                prop_assert!(next.len() <= MAX_RULES * ENTRY_BYTES);
            }
        }
    }
}
