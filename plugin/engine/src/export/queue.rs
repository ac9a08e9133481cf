//! Spans that wait, encoded, for their first batch.

use std::collections::VecDeque;

use crate::otlp::EncodedSpan;

/// First in, first out. The bounds are the exporter's, which holds spans elsewhere too.
#[derive(Debug, Default)]
pub(super) struct SpanQueue {
    /// Each with the time it came, in nanoseconds of the exporter's clock.
    spans: VecDeque<(EncodedSpan, u64)>,
    bytes: usize,
    upgraded: u64,
}

impl SpanQueue {
    pub(super) fn push(&mut self, span: EncodedSpan, now: u64) {
        self.bytes = self.bytes.saturating_add(span.len());
        self.upgraded = self.upgraded.saturating_add(u64::from(span.is_upgraded()));
        self.spans.push_back((span, now));
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of them an upgrade keeps.
    pub(super) fn upgraded(&self) -> u64 {
        self.upgraded
    }

    /// When the span came that has waited longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.spans.front().map(|(_, came)| *came)
    }

    /// The next spans, at most this many and this many bytes, but at least one if there is one.
    pub(super) fn take(&mut self, max_spans: usize, max_bytes: usize) -> Vec<EncodedSpan> {
        let mut taken = Vec::with_capacity(max_spans.min(self.spans.len()));
        let mut bytes = 0_usize;
        while let Some((next, _)) = self.spans.front() {
            bytes = bytes.saturating_add(next.len());
            if !taken.is_empty() && (max_spans <= taken.len() || max_bytes < bytes) {
                break;
            }
            taken.extend(self.pop().map(|(span, _)| span));
        }
        taken
    }

    /// The span that has waited longest, and when it came.
    pub(super) fn pop(&mut self) -> Option<(EncodedSpan, u64)> {
        let (span, came) = self.spans.pop_front()?;
        self.bytes = self.bytes.saturating_sub(span.len());
        self.upgraded = self.upgraded.saturating_sub(u64::from(span.is_upgraded()));
        Some((span, came))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(len: usize) -> EncodedSpan {
        EncodedSpan::from_field(vec![7; len])
    }

    #[test]
    fn a_batch_ends_at_the_count_at_the_bytes_or_at_the_end() {
        // (lengths, most spans, most bytes, taken)
        let table: [(&[usize], usize, usize, usize); 6] = [
            (&[], 10, 100, 0),
            (&[10, 10, 10], 2, 100, 2),
            (&[10, 10, 10], 10, 20, 2),
            (&[10, 10, 10], 10, 29, 2),
            (&[200, 10], 10, 100, 1),
            (&[10, 10], 0, 100, 1),
        ];
        for (lengths, max_spans, max_bytes, taken) in table {
            let mut queue = SpanQueue::default();
            for (came, len) in lengths.iter().enumerate() {
                queue.push(span(*len).upgraded(came == 1), came as u64);
            }
            assert_eq!(queue.take(max_spans, max_bytes).len(), taken, "{lengths:?}");
            assert_eq!(queue.bytes(), lengths[taken..].iter().sum::<usize>());
            assert_eq!(queue.len(), lengths.len() - taken);
            assert_eq!(queue.upgraded(), u64::from(1 < lengths.len() && taken < 2));
            let oldest = (taken < lengths.len()).then_some(taken as u64);
            assert_eq!(queue.oldest(), oldest);
        }
    }
}
