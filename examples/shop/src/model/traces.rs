//! Recorded traces: counted for ever, remembered for a while.

use crate::span::Span;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Traces remembered; spans of one trace come within seconds, so far fewer would do to count each trace once.
const REMEMBERED: usize = 20_000;
/// Failed traces to choose from; young ones are held back, and there may be many of them.
const FAILED: usize = 500;
/// Failed traces that the views can show.
const SHOWN: usize = 240;
/// Traces whose spans still have their attributes, some two kilobytes each; failed ones keep them as long as they are listed.
const DETAILED: usize = 1_000;
/// How long a trace ripens before it is shown: its Envoys export at different times.
const RIPE: Duration = Duration::from_millis(1500);

/// Recorded traces, bounded.
#[derive(Debug, Default)]
pub struct Traces {
    remembered: HashMap<u128, Vec<Span>>,
    by_age: VecDeque<u128>,
    detailed: VecDeque<u128>,
    failed: VecDeque<(Instant, u128)>,
    recorded: u64,
    spans: u64,
}

impl Traces {
    /// Takes an exported span.
    pub fn add(&mut self, now: Instant, span: Span) {
        self.spans += 1;
        let failed = span.trigger.is_some();
        let trace_id = span.trace_id;
        let spans = self.remembered.entry(trace_id).or_insert_with(|| {
            self.recorded += 1;
            self.by_age.push_back(trace_id);
            self.detailed.push_back(trace_id);
            Vec::new()
        });
        let newly_failed = failed && !spans.iter().any(|earlier| earlier.trigger.is_some());
        spans.push(span);
        if newly_failed {
            self.failed.push_front((now, trace_id));
            let unlisted = self.failed.get(FAILED).map(|(_, trace_id)| *trace_id);
            self.failed.truncate(FAILED);
            unlisted.into_iter().for_each(|trace_id| self.forget_attributes(trace_id));
        }
        while DETAILED < self.detailed.len() {
            let Some(oldest) = self.detailed.pop_front() else { break };
            if !self.failed.iter().any(|(_, listed)| *listed == oldest) {
                self.forget_attributes(oldest);
            }
        }
        while REMEMBERED < self.by_age.len() {
            if let Some(oldest) = self.by_age.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
    }

    fn forget_attributes(&mut self, trace_id: u128) {
        for span in self.remembered.get_mut(&trace_id).into_iter().flatten() {
            span.attributes = Vec::new();
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

    /// The latest traces with a trigger, newest first, as soon as they should be whole.
    pub fn failed(&self, now: Instant) -> impl Iterator<Item = (u128, &[Span])> {
        let ripe = self.failed.iter().filter(move |(since, _)| RIPE <= now.saturating_duration_since(*since));
        ripe.map(|(_, id)| (*id, self.of(*id))).filter(|(_, spans)| !spans.is_empty()).take(SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Kind;
    use crate::testing::span;

    #[test]
    fn a_trace_is_counted_once_and_failed_ones_come_newest_first() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        traces.add(start, span("a", Kind::Server, 1, 1, None).upgraded(503).build());
        traces.add(start, span("a", Kind::Server, 2, 2, None).build());
        traces.add(start, span("b", Kind::Server, 1, 3, Some(1)).upgraded(503).build());
        traces.add(start, span("b", Kind::Server, 3, 4, None).upgraded(503).build());
        assert_eq!((traces.recorded(), traces.spans()), (3, 4));
        let failed: Vec<_> = traces.failed(start + RIPE).map(|(id, spans)| (id, spans.len())).collect();
        assert_eq!(failed, [(3, 1), (1, 2)]);
        assert_eq!(traces.failed(start).count(), 0, "shown before it can be whole");
    }

    #[test]
    fn attributes_are_kept_for_the_latest_traces_and_for_failed_ones_that_are_listed() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        traces.add(start, span("a", Kind::Server, 1, 1, None).upgraded(500).build());
        for id in 2..=(DETAILED as u128 + 10) {
            traces.add(start, span("a", Kind::Server, id, 1, None).build());
        }
        let has_attributes = |traces: &Traces, id| !traces.of(id)[0].attributes.is_empty();
        assert!(has_attributes(&traces, 1), "failed and listed");
        assert!(!has_attributes(&traces, 2) && has_attributes(&traces, DETAILED as u128 + 10));
        for id in 0..FAILED as u128 {
            traces.add(start, span("a", Kind::Server, 1 << 64 | id, 1, None).upgraded(500).build());
        }
        assert!(!has_attributes(&traces, 1), "no longer listed");
        assert_eq!(traces.of(1).len(), 1, "its spans are remembered");
    }

    #[test]
    fn memory_is_bounded_however_long_it_runs() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        for id in 1..=(REMEMBERED as u128 + 50) {
            traces.add(start, span("a", Kind::Server, id, 1, None).upgraded(500).build());
        }
        assert_eq!(traces.remembered.len(), REMEMBERED);
        assert_eq!(traces.recorded(), REMEMBERED as u64 + 50);
        assert_eq!((traces.failed.len(), traces.failed(start + RIPE).count()), (FAILED, SHOWN));
    }
}
