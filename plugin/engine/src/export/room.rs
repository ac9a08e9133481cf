//! Whether there is room for a span: failures first.

use super::counts::DiscardReason;
use super::exporter::Exporter;
use crate::otlp::EncodedSpan;

impl Exporter {
    /// Counts a span as queued, or as discarded when there is no room for it.
    pub(super) fn admit(&mut self, span: &EncodedSpan) -> Result<(), DiscardReason> {
        let upgraded = u64::from(span.is_upgraded());
        let room = self.room(span.len() as u64, span.is_upgraded());
        match room {
            Ok(()) => self.count_queued(1, span.len(), upgraded),
            Err(reason) => self.counts.discard(reason, 1, upgraded),
        }
        room
    }

    /// Whether there is room for a span. Ordinary ones may fill three quarters of the queue. Batches that come back for a retry
    /// may fill it beyond its bound, and the reserved quarter is there for upgraded spans even then.
    fn room(&self, bytes: u64, upgraded: bool) -> Result<(), DiscardReason> {
        let (counts, settings) = (&self.counts, &self.settings);
        let reserved = |bound: usize| if upgraded { 0 } else { reserve(bound) };
        let most = settings.max_queue_size.saturating_sub(reserved(settings.max_queue_size)) as u64;
        let most_bytes = settings.max_queue_bytes.saturating_sub(reserved(settings.max_queue_bytes)) as u64;
        let is_reserved = upgraded && counts.queued_upgraded < reserve(settings.max_queue_size) as u64;
        let held = counts.queued_bytes.saturating_add(counts.in_flight_bytes);
        if self.closed {
            Err(DiscardReason::Shutdown)
        } else if (self.max_span_bytes as u64) < bytes {
            Err(DiscardReason::TooLarge)
        } else if most <= counts.queued && !is_reserved {
            Err(DiscardReason::QueueFull)
        } else if most_bytes < held.saturating_add(bytes) {
            Err(DiscardReason::QueueBytes)
        } else {
            Ok(())
        }
    }

    /// Spans of a request, so that ordinary ones alone can fill it.
    pub(super) fn max_batch_size(&self) -> usize {
        let ordinary = self.settings.max_queue_size.saturating_sub(reserve(self.settings.max_queue_size));
        self.settings.max_export_batch_size.min(ordinary).max(1)
    }

    pub(super) fn count_queued(&mut self, spans: u64, bytes: usize, upgraded: u64) {
        self.counts.queued = self.counts.queued.saturating_add(spans);
        self.counts.queued_bytes = self.counts.queued_bytes.saturating_add(bytes as u64);
        self.counts.queued_upgraded = self.counts.queued_upgraded.saturating_add(upgraded);
    }

    pub(super) fn count_unqueued(&mut self, spans: u64, bytes: usize, upgraded: u64) {
        self.counts.queued = self.counts.queued.saturating_sub(spans);
        self.counts.queued_bytes = self.counts.queued_bytes.saturating_sub(bytes as u64);
        self.counts.queued_upgraded = self.counts.queued_upgraded.saturating_sub(upgraded);
    }
}

/// The part of a bound that is kept for spans that an upgrade keeps.
fn reserve(bound: usize) -> usize {
    bound / 4
}
