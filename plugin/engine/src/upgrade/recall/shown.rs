//! Instances that have shown that they run the filter: an answer of theirs bore our mark, with the trace-id of the very call.
//! Others are not asked, so that no outsider hears of a trace.

use std::sync::Arc;

/// Instances remembered at once.
const MOST: usize = 1024;
/// How long after its last mark an instance is still known, in nanoseconds: an hour. Addresses change hands.
const REMEMBERED: u64 = 3_600 * 1_000_000_000;

/// Addresses, each with the time (Unix nanoseconds) at which it is forgotten. Full, it forgets who was silent longest.
#[derive(Debug, Default)]
pub struct Shown {
    /// Sorted by address: a lookup is a dozen comparisons.
    known: Vec<(Arc<str>, u64)>,
}

impl Shown {
    /// The instance at this address has answered with our mark.
    pub fn insert(&mut self, address: &str, now: u64) {
        let until = now.saturating_add(REMEMBERED);
        if let Ok(at) = self.place(address) {
            if let Some((_, known_until)) = self.known.get_mut(at) {
                *known_until = until;
            }
            return;
        }
        if MOST <= self.known.len() {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, (_, until))| *until).map(|(at, _)| at);
            oldest.map(|at| self.known.remove(at));
        }
        if let Err(at) = self.place(address) {
            self.known.insert(at, (Arc::from(address), until));
        }
    }

    /// Whether the instance has shown itself within the last hour.
    pub fn contains(&self, address: &str, now: u64) -> bool {
        self.place(address).ok().and_then(|at| self.known.get(at)).is_some_and(|(_, until)| now < *until)
    }

    /// The clock was set back, to `now`.
    pub fn set_back(&mut self, now: u64) {
        let latest = now.saturating_add(REMEMBERED);
        self.known.iter_mut().for_each(|(_, until)| *until = (*until).min(latest));
    }

    fn place(&self, address: &str) -> Result<usize, usize> {
        self.known.binary_search_by(|(known, _)| (**known).cmp(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_known_for_an_hour_after_its_last_mark() {
        let mut shown = Shown::default();
        shown.insert("10.0.0.2:8080", 0);
        assert!(shown.contains("10.0.0.2:8080", REMEMBERED - 1) && !shown.contains("10.0.0.3:8080", 0));
        assert!(!shown.contains("10.0.0.2:8080", REMEMBERED));
        shown.insert("10.0.0.2:8080", REMEMBERED);
        assert!(shown.contains("10.0.0.2:8080", REMEMBERED + 1));
        shown.set_back(0);
        assert!(!shown.contains("10.0.0.2:8080", REMEMBERED), "as if it had been marked at 0");
    }

    #[test]
    fn a_full_table_forgets_whoever_was_silent_longest() {
        let mut shown = Shown::default();
        let address = |number: usize| format!("10.0.{}.{}:8080", number / 256, number % 256);
        (0..MOST).for_each(|number| shown.insert(&address(number), number as u64));
        shown.insert(&address(0), 5_000);
        (MOST..MOST + 9).for_each(|number| shown.insert(&address(number), 6_000));
        assert_eq!(shown.known.len(), MOST);
        assert!(shown.contains(&address(0), 6_000) && !shown.contains(&address(1), 6_000));
        assert!((10..MOST + 9).all(|number| shown.contains(&address(number), 6_000)));
    }
}
