//! Traces that were upgraded a moment ago: what still ends of them is kept at once.

use std::collections::VecDeque;

use crate::trace_context::TraceId;

/// Traces remembered at once; 24 bytes each, and 16 more in the index.
const MOST: usize = 4096;

/// A bounded set of traces, each with the time (Unix nanoseconds) at which it is forgotten. Full, it forgets the oldest.
#[derive(Debug, Default)]
pub struct RecentTraces {
    order: VecDeque<(TraceId, u64)>,
    /// Sorted: a lookup is a dozen comparisons.
    index: Vec<TraceId>,
}

impl RecentTraces {
    /// Remembers a trace until `expires`; one that is known already keeps its time.
    pub fn insert(&mut self, trace_id: TraceId, expires: u64) {
        let Err(place) = self.index.binary_search(&trace_id) else { return };
        self.index.insert(place, trace_id);
        self.order.push_back((trace_id, expires));
        while MOST < self.order.len() {
            self.forget_first();
        }
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether the trace is remembered.
    pub fn contains(&self, trace_id: TraceId) -> bool {
        self.index.binary_search(&trace_id).is_ok()
    }

    /// Forgets those whose time has come.
    pub fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(_, expires)| *expires <= now) {
            self.forget_first();
        }
    }

    /// The clock was set back: no trace is remembered beyond `latest`.
    pub fn set_back(&mut self, latest: u64) {
        self.order.iter_mut().for_each(|(_, expires)| *expires = (*expires).min(latest));
    }

    fn forget_first(&mut self) {
        if let Some((trace_id, _)) = self.order.pop_front()
            && let Ok(place) = self.index.binary_search(&trace_id)
        {
            self.index.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: usize) -> TraceId {
        TraceId::from_u128(id as u128 * 0x9e37_79b9_7f4a_7c15 + 1).expect("above zero")
    }

    #[test]
    fn a_trace_is_remembered_for_its_time() {
        let mut traces = RecentTraces::default();
        traces.insert(trace(1), 100);
        traces.insert(trace(2), 200);
        traces.insert(trace(1), 900);
        assert!(traces.contains(trace(1)) && traces.contains(trace(2)) && !traces.contains(trace(3)));
        traces.expire(100);
        assert!(!traces.contains(trace(1)) && traces.contains(trace(2)));
        traces.expire(200);
        assert!(traces.index.is_empty() && traces.order.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_trace_stay() {
        let mut traces = RecentTraces::default();
        traces.insert(trace(1), 86_400);
        traces.set_back(100);
        traces.expire(100);
        assert!(!traces.contains(trace(1)));
    }

    #[test]
    fn a_full_set_forgets_the_oldest() {
        let mut traces = RecentTraces::default();
        (0..MOST + 10).for_each(|id| traces.insert(trace(id), 1000));
        assert_eq!((traces.index.len(), traces.order.len()), (MOST, MOST));
        assert!((0..10).all(|id| !traces.contains(trace(id))) && (10..MOST + 10).all(|id| traces.contains(trace(id))));
    }
}
