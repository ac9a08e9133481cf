//! The ring of held spans: bounded in bytes and in time, the oldest goes first.

use std::collections::VecDeque;

use crate::trace_context::TraceId;

/// What became of everything that was held. `held == evicted + expired + taken + what is there`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Spans that came.
    pub held: u64,
    /// Spans that had to make room, or were too large to be held at all.
    pub evicted: u64,
    /// Spans whose time was over.
    pub expired: u64,
    /// Spans whose trace was upgraded.
    pub taken: u64,
}

/// Spans of dropped streams, in order of their end.
#[derive(Debug)]
pub struct Pending<T> {
    items: VecDeque<Held<T>>,
    bytes: usize,
    counts: PendingCounts,
}

#[derive(Debug)]
struct Held<T> {
    trace_id: TraceId,
    expires: u64,
    bytes: usize,
    item: T,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0, counts: PendingCounts::default() }
    }
}

impl<T> Pending<T> {
    /// Holds a span of so many `bytes` until `expires` (Unix nanoseconds). The oldest make room, so that never more than
    /// `max_bytes` are held.
    pub fn hold(&mut self, trace_id: TraceId, item: T, bytes: usize, expires: u64, max_bytes: usize) {
        self.counts.held = self.counts.held.saturating_add(1);
        if max_bytes < bytes {
            self.counts.evicted = self.counts.evicted.saturating_add(1);
            return;
        }
        self.shrink(max_bytes.saturating_sub(bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push_back(Held { trace_id, expires, bytes, item });
    }

    /// Lets the oldest go until at most `max_bytes` are held.
    pub fn shrink(&mut self, max_bytes: usize) {
        while max_bytes < self.bytes && self.pop() {
            self.counts.evicted = self.counts.evicted.saturating_add(1);
        }
    }

    /// Lets go of what has been held long enough.
    pub fn expire(&mut self, now: u64) {
        while self.items.front().is_some_and(|held| held.expires <= now) && self.pop() {
            self.counts.expired = self.counts.expired.saturating_add(1);
        }
    }

    /// The clock was set back: nothing is held beyond `latest`.
    pub fn set_back(&mut self, latest: u64) {
        self.items.iter_mut().for_each(|held| held.expires = held.expires.min(latest));
    }

    /// Takes every span of the traces that are `wanted`, oldest first. One pass over the ring, however many are wanted.
    pub fn take(&mut self, wanted: impl Fn(TraceId) -> bool) -> Vec<T> {
        if !self.items.iter().any(|held| wanted(held.trace_id)) {
            return Vec::new(); // Mostly so: nothing is moved then.
        }
        let mut taken = Vec::new();
        for held in std::mem::take(&mut self.items) {
            if wanted(held.trace_id) {
                self.bytes = self.bytes.saturating_sub(held.bytes);
                self.counts.taken = self.counts.taken.saturating_add(1);
                taken.push(held.item);
            } else {
                self.items.push_back(held);
            }
        }
        taken
    }

    /// Spans that are held.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What became of them.
    pub fn counts(&self) -> PendingCounts {
        self.counts
    }

    fn pop(&mut self) -> bool {
        let popped = self.items.pop_front();
        self.bytes = self.bytes.saturating_sub(popped.as_ref().map_or(0, |held| held.bytes));
        popped.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(id: u8) -> TraceId {
        TraceId::from_u128(u128::from(id) + 1).expect("above zero")
    }

    #[test]
    fn what_is_wanted_is_taken_and_the_rest_stays_in_order() {
        let mut ring = Pending::default();
        for (number, id) in [(1, 7), (2, 8), (3, 7), (4, 9)] {
            ring.hold(trace(id), number, 10, 100, 1000);
        }
        assert_eq!(ring.take(|id| id == trace(7)), [1, 3]);
        assert_eq!(ring.take(|id| id == trace(7)), [] as [i32; 0], "once");
        assert_eq!((ring.len(), ring.bytes()), (2, 20));
        assert_eq!(ring.take(|_| true), [2, 4]);
    }

    #[test]
    fn the_oldest_make_room_and_what_is_larger_than_all_room_is_not_held() {
        let mut ring = Pending::default();
        for number in 0..5 {
            ring.hold(trace(number), number, 10, 100, 30);
        }
        ring.hold(trace(9), 9, 31, 100, 30);
        assert_eq!((ring.len(), ring.bytes(), ring.counts().evicted), (3, 30, 3));
        assert_eq!(ring.take(|_| true), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_every_span_is_accounted_for(
            steps in proptest::collection::vec((0_u8..6, 0_usize..60, 0_u64..40, any::<bool>()), 1..200),
            max_bytes in 0_usize..300,
        ) {
            let (mut ring, mut now) = (Pending::default(), 0);
            for (id, bytes, gap, recalled) in steps {
                now += gap;
                ring.expire(now);
                ring.hold(trace(id), bytes, bytes, now + 100, max_bytes);
                if recalled {
                    ring.take(|known| known == trace(id));
                    prop_assert!(ring.take(|known| known == trace(id)).is_empty());
                }
                let counts = ring.counts();
                prop_assert!(ring.bytes() <= max_bytes);
                prop_assert_eq!(counts.held, counts.evicted + counts.expired + counts.taken + ring.len() as u64);
                prop_assert_eq!(ring.bytes(), ring.items.iter().map(|held| held.bytes).sum::<usize>());
                prop_assert!(ring.items.iter().all(|held| now < held.expires));
            }
        }
    }
}
