//! What the workers of a process share of kinds: a fixed number of slots with room for a few kinds each, changed by
//! compare-and-swap. A worker looks here only for what is new to itself.

use super::Kind;

/// Slots in a process.
pub const SLOTS: u32 = 512;
/// Kinds in a slot.
const WAYS: usize = 4;
/// A kind (8 bytes), the Unix second at which its window ends (4) and its examples so far (1), all big-endian.
const ENTRY_BYTES: usize = 13;

/// The slot of a kind.
pub fn slot_of(kind: Kind) -> u32 {
    (kind.bits() >> 20) as u32 % SLOTS
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: [u8; 8],
    until: u32,
    seen: u8,
}

fn entries(slot: &[u8]) -> impl Iterator<Item = Entry> {
    slot.chunks_exact(ENTRY_BYTES).take(WAYS).filter_map(|chunk| {
        let (kind, rest) = chunk.split_first_chunk::<8>()?;
        let (until, rest) = rest.split_first_chunk::<4>()?;
        let seen = *rest.first()?;
        Some(Entry { kind: *kind, until: u32::from_be_bytes(*until), seen })
    })
}

/// A request of a kind came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The kind has had its examples until this Unix second.
    Known(u32),
    /// It is one of the first.
    First {
        /// The slot with it.
        slot: Vec<u8>,
        /// When the kind's window ends.
        until: u32,
        /// It is the last example of the window.
        is_last: bool,
        /// Another kind had to make room before its time.
        evicted: bool,
    },
}

/// Counts an arrival, of `per_window` in `window_s` seconds; `now` in Unix seconds. Bytes that are not a slot count as an empty one.
pub fn arrive(slot: &[u8], kind: Kind, now: u32, per_window: u8, window_s: u32) -> Arrival {
    // A window that is longer than ours is another configuration's, or the clock was set back.
    let latest = now.saturating_add(window_s);
    let mut kept: Vec<Entry> = entries(slot).filter(|entry| now < entry.until && entry.until <= latest).collect();
    let bytes = kind.bits().to_be_bytes();
    let place = kept.iter().position(|entry| entry.kind == bytes);
    let known = place.map(|place| kept.swap_remove(place));
    let (until, seen) = known.map_or((latest, 0), |entry| (entry.until, entry.seen));
    if per_window <= seen {
        return Arrival::Known(until);
    }
    let evicted = WAYS <= kept.len();
    if evicted && let Some(first) = kept.iter().min_by_key(|entry| entry.until).copied() {
        kept.retain(|entry| *entry != first);
    }
    kept.push(Entry { kind: bytes, until, seen: seen.saturating_add(1) });
    let mut slot = Vec::with_capacity(WAYS * ENTRY_BYTES);
    for entry in kept {
        slot.extend_from_slice(&entry.kind);
        slot.extend_from_slice(&entry.until.to_be_bytes());
        slot.push(entry.seen);
    }
    Arrival::First { slot, until, is_last: per_window <= seen.saturating_add(1), evicted }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(number: u64) -> Kind {
        Kind::of(b"inbound").with(number)
    }

    #[test]
    fn the_first_of_a_window_are_counted_and_the_others_are_known() {
        let mut slot = Vec::new();
        for (now, is_last) in [(1000, false), (1100, true)] {
            let Arrival::First { slot: next, until, is_last: last, evicted } = arrive(&slot, kind(1), now, 2, 300)
            else {
                panic!("the {now}th second");
            };
            assert_eq!((until, last, evicted), (1300, is_last, false));
            slot = next;
        }
        assert_eq!(arrive(&slot, kind(1), 1299, 2, 300), Arrival::Known(1300));
        assert!(matches!(arrive(&slot, kind(1), 1299, 3, 300), Arrival::First { until: 1300, is_last: true, .. }));
        assert!(matches!(arrive(&slot, kind(1), 1300, 2, 300), Arrival::First { until: 1600, is_last: false, .. }));
        assert!(matches!(arrive(&slot, kind(1), 900, 2, 300), Arrival::First { until: 1200, .. }), "a clock set back");
    }

    #[test]
    fn a_full_slot_forgets_the_kind_whose_window_ends_first() {
        let mut slot = Vec::new();
        for number in 1..=5 {
            let Arrival::First { slot: next, evicted, .. } = arrive(&slot, kind(number), 1000 + number as u32, 1, 300)
            else {
                panic!("the {number}th kind");
            };
            assert_eq!(evicted, number == 5);
            slot = next;
        }
        assert!(matches!(arrive(&slot, kind(1), 1010, 1, 300), Arrival::First { .. }));
        assert!((2..=5).all(|number| matches!(arrive(&slot, kind(number), 1010, 1, 300), Arrival::Known(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_slot(bytes in proptest::collection::vec(any::<u8>(), 0..80), now: u32) {
            if let Arrival::First { slot, .. } = arrive(&bytes, kind(1), now, 1, 300) {
                prop_assert!(slot.len() <= WAYS * ENTRY_BYTES);
                prop_assert!(matches!(arrive(&slot, kind(1), now, 1, 300), Arrival::Known(_)) || now == u32::MAX);
            }
        }
    }
}
