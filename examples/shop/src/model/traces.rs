//! Recorded traces: counted for ever, remembered for a while.

use crate::span::Span;
use std::collections::{HashMap, VecDeque};

/// Traces remembered; spans of one trace come within seconds, so far fewer would do to count each trace once.
const REMEMBERED: usize = 20_000;
/// Failed traces that the views can show.
const SHOWN: usize = 24;

/// Recorded traces, bounded.
#[derive(Debug, Default)]
pub struct Traces {
    remembered: HashMap<u128, Vec<Span>>,
    by_age: VecDeque<u128>,
    failed: VecDeque<u128>,
    recorded: u64,
    spans: u64,
}

impl Traces {
    /// Takes an exported span.
    pub fn add(&mut self, span: Span) {
        self.spans += 1;
        let failed = span.trigger.is_some();
        let trace_id = span.trace_id;
        let spans = self.remembered.entry(trace_id).or_insert_with(|| {
            self.recorded += 1;
            self.by_age.push_back(trace_id);
            Vec::new()
        });
        if failed && !spans.iter().any(|earlier| earlier.trigger.is_some()) {
            self.failed.push_front(trace_id);
            self.failed.truncate(SHOWN);
        }
        spans.push(span);
        while REMEMBERED < self.by_age.len() {
            if let Some(oldest) = self.by_age.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
    }

    /// Distinct traces of which something was recorded: what X-Ray counts.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Spans received.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// The spans of a trace, as far as remembered.
    pub fn of(&self, trace_id: u128) -> &[Span] {
        self.remembered.get(&trace_id).map_or(&[], Vec::as_slice)
    }

    /// The latest traces with a trigger, newest first.
    pub fn failed(&self) -> impl Iterator<Item = (u128, &[Span])> {
        self.failed.iter().map(|id| (*id, self.of(*id))).filter(|(_, spans)| !spans.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Kind;
    use crate::testing::span;

    #[test]
    fn a_trace_is_counted_once_and_failed_ones_come_newest_first() {
        let mut traces = Traces::default();
        traces.add(span("a", Kind::Server, 1, 1, None).upgraded(503).build());
        traces.add(span("a", Kind::Server, 2, 2, None).build());
        traces.add(span("b", Kind::Server, 1, 3, Some(1)).upgraded(503).build());
        traces.add(span("b", Kind::Server, 3, 4, None).upgraded(503).build());
        assert_eq!((traces.recorded(), traces.spans()), (3, 4));
        let failed: Vec<_> = traces.failed().map(|(id, spans)| (id, spans.len())).collect();
        assert_eq!(failed, [(3, 1), (1, 2)]);
    }

    #[test]
    fn memory_is_bounded_however_long_it_runs() {
        let mut traces = Traces::default();
        for id in 1..=(REMEMBERED as u128 + 50) {
            traces.add(span("a", Kind::Server, id, 1, None).upgraded(500).build());
        }
        assert_eq!(traces.remembered.len(), REMEMBERED);
        assert_eq!(traces.recorded(), REMEMBERED as u64 + 50);
        assert_eq!(traces.failed().count(), SHOWN);
    }
}
