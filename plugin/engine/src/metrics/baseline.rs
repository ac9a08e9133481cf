//! How long the requests of a route usually take: a quantile of each window's histogram, smoothed, in slots that workers share.
//!
//! A window lasts ten minutes, and longer until it has a thousand requests. A new baseline is 0.9 of the old and 0.1 of the window's
//! quantile, and rises by at most a twentieth, so that what grows slower bit by bit is seen for long.

use super::Histogram;

/// Requests that a window has at least: the 99th percentile has ten beyond it then. After so many the first baseline is known.
pub const READY: u64 = 1_000;
/// Seconds that a window lasts at least.
pub const WINDOW_S: u32 = 600;
/// Slots of one filter. A power of two.
pub const SLOTS: u32 = 512;
/// Baselines that share a slot.
const ENTRIES: usize = 8;
/// Weight of the past.
const PAST: f64 = 0.9;
/// How much a baseline may rise in a window.
const RISE: f64 = 1.05;

/// What is known of one route and method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Baseline {
    kind: u64,
    /// Nanoseconds; 0 until it is known.
    nanos: u64,
    /// Unix seconds in which its window began.
    began: u32,
    window: Histogram,
}

/// What came of adding to a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The slot as it is to be.
    pub slot: Vec<u8>,
    /// The baseline, in nanoseconds; 0 until it is known.
    pub nanos: u64,
    /// Another one had to make room.
    pub evicted: bool,
}

impl Baseline {
    fn add(&mut self, pending: &Histogram, quantile: f64, now: u32) {
        self.window.merge(pending);
        self.began = self.began.min(now); // A clock that was set back.
        let is_over = self.nanos == 0 || WINDOW_S <= now.saturating_sub(self.began);
        if !is_over || self.window.count() < READY {
            return;
        }
        let found = self.window.quantile(quantile).max(1);
        self.nanos = match self.nanos {
            0 => found,
            old => {
                let old = old as f64;
                (PAST * old + (1.0 - PAST) * found as f64).min(old * RISE) as u64
            }
        };
        self.window = Histogram::default();
        self.began = now;
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        let mut window = Vec::new();
        self.window.put(&mut window);
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.nanos.to_le_bytes());
        bytes.extend_from_slice(&self.began.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(window.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&window);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let kind = u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?);
        let nanos = u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?);
        let began = u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?);
        let length = u16::from_le_bytes(*bytes.split_off(..2)?.first_chunk()?);
        let mut window = bytes.split_off(..usize::from(length))?;
        Some(Self { kind, nanos, began, window: Histogram::take(&mut window)? })
    }
}

/// The slot of a kind.
pub fn slot_of(kind: u64) -> u32 {
    (kind >> 32) as u32 & (SLOTS - 1)
}

fn entries(mut slot: &[u8]) -> Vec<Baseline> {
    let mut entries = Vec::new();
    while let Some(entry) = Baseline::take(&mut slot).filter(|_| entries.len() < ENTRIES) {
        entries.push(entry);
    }
    entries
}

/// The baseline of a kind, in nanoseconds; 0 where it is not known.
pub fn find(slot: &[u8], kind: u64) -> u64 {
    entries(slot).into_iter().find(|entry| entry.kind == kind).map_or(0, |entry| entry.nanos)
}

/// Adds what a worker has counted of a kind. `now` in Unix seconds.
pub fn add(slot: &[u8], kind: u64, pending: &Histogram, quantile: f64, now: u32) -> Added {
    let mut entries = entries(slot);
    let mut evicted = false;
    let place = entries.iter().position(|entry| entry.kind == kind).unwrap_or_else(|| {
        if ENTRIES <= entries.len() {
            // The one whose window is longest open has the fewest requests.
            let oldest = (0..entries.len()).min_by_key(|place| entries.get(*place).map_or(0, |entry| entry.began));
            oldest.into_iter().for_each(|oldest| drop(entries.remove(oldest)));
            evicted = true;
        }
        entries.push(Baseline { kind, began: now, ..Baseline::default() });
        entries.len().saturating_sub(1)
    });
    let mut nanos = 0;
    if let Some(entry) = entries.get_mut(place) {
        entry.add(pending, quantile, now);
        nanos = entry.nanos;
    }
    let mut slot = Vec::new();
    entries.iter().for_each(|entry| entry.put(&mut slot));
    Added { slot, nanos, evicted }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Aggregation;

    const MS: u64 = 1_000_000;
    const NOW: u32 = 1_800_000_000;

    fn requests(count: u64, nanos: u64) -> Histogram {
        let mut histogram = Histogram::default();
        (0..count).for_each(|_| histogram.record(Aggregation::Exponential, nanos));
        histogram
    }

    /// Whether two durations are equal but for the width of a bucket.
    fn about(found: u64, wanted: u64) -> bool {
        (found as f64 / wanted as f64 - 1.0).abs() < 0.05
    }

    #[test]
    fn a_thousand_requests_make_the_first_baseline() {
        let first = add(&[], 7, &requests(999, 10 * MS), 0.99, NOW);
        assert_eq!((first.nanos, first.evicted), (0, false));
        let second = add(&first.slot, 7, &requests(1, 500 * MS), 0.99, NOW + 1);
        assert!(about(second.nanos, 10 * MS), "{}", second.nanos);
        assert_eq!(find(&second.slot, 7), second.nanos);
        assert_eq!(find(&second.slot, 8), 0);
    }

    #[test]
    fn later_windows_move_it_slowly_and_up_at_most_by_a_twentieth() {
        let mut slot = add(&[], 7, &requests(1_000, 100 * MS), 0.99, NOW).slot;
        let learned = find(&slot, 7);
        let window = |slot: &mut Vec<u8>, at: u32, ms: u64| {
            let added = add(slot, 7, &requests(1_000, ms * MS), 0.99, at);
            *slot = added.slot;
            added.nanos
        };
        assert_eq!(window(&mut slot, NOW + 599, 800), learned, "the window is open");
        let risen = window(&mut slot, NOW + 600, 800);
        assert_eq!(risen, (learned as f64 * 1.05) as u64);
        let fallen = window(&mut slot, NOW + 1_200, 10);
        assert!(about(fallen, (0.9 * risen as f64) as u64 + MS), "{fallen}");
        let sparse = add(&slot, 7, &requests(999, 10 * MS), 0.99, NOW + 9_000);
        assert_eq!(sparse.nanos, fallen, "too few to say anything");
        let set_back = add(&sparse.slot, 7, &requests(1, 10 * MS), 0.99, NOW - 9_000);
        assert_eq!(set_back.nanos, fallen, "its window begins anew");
    }

    #[test]
    fn what_does_not_fit_makes_the_oldest_make_room() {
        let mut slot = Vec::new();
        for kind in 0..ENTRIES as u64 {
            slot = add(&slot, kind, &requests(1_000, 10 * MS), 0.99, NOW + kind as u32).slot;
        }
        let added = add(&slot, 99, &requests(1, MS), 0.99, NOW + 50);
        assert!(added.evicted);
        assert_eq!((find(&added.slot, 0), find(&added.slot, 1) != 0), (0, true));
        assert!(slot_of(u64::MAX) < SLOTS);
    }

    proptest! {
        #[test]
        fn no_bytes_are_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in any::<u64>()) {
            let _ = find(&bytes, kind);
            let added = add(&bytes, kind, &requests(3, MS), 0.99, NOW);
            prop_assert!(added.slot.len() < 8 * (22 + 1_700));
            let again = add(&added.slot, kind, &requests(3, MS), 0.99, NOW);
            prop_assert!(again.slot.len() < 8 * (22 + 1_700));
        }

        #[test]
        fn a_quantile_is_within_a_bucket_of_the_exact_one(
            mut nanos in prop::collection::vec(1_000_u64..10_000_000_000, 1..300),
            quantile in 0.5_f64..0.999,
        ) {
            let mut histogram = Histogram::default();
            nanos.iter().for_each(|nanos| histogram.record(Aggregation::Exponential, *nanos));
            nanos.sort_unstable();
            let rank = (quantile * nanos.len() as f64).ceil() as usize;
            let exact = nanos[rank.max(1) - 1] as f64;
            let found = histogram.quantile(quantile) as f64;
            let width = 2_f64.powf(1.0 / 2_f64.powi(histogram.scale()));
            prop_assert!(exact * 0.999 <= found && found <= exact * width * 1.001, "{} {} {}", exact, found, width);
        }
    }
}
