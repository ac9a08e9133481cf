//! What a root's exporter has counted, added to the metrics.

use super::root::Root;
use crate::export::DiscardReason;
use crate::request::RequestContext;
use crate::telemetry::{Metric, Metrics};

impl Root {
    /// Adds what happened since the last time to the metrics.
    pub(super) fn publish(&mut self, metrics: &mut Metrics) {
        let Some(work) = &self.work else { return };
        let counts = work.exporter.counts();
        let before = &self.published;
        let mut add = |metric, now: u64, before: u64| {
            metrics.add(metric, i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX));
        };
        add(Metric::SpansOffered, counts.offered, before.offered);
        add(Metric::SpansExported, counts.exported, before.exported);
        add(Metric::ExportsSucceeded, counts.exports_succeeded, before.exports_succeeded);
        add(Metric::ExportsRetried, counts.exports_retried, before.exports_retried);
        add(Metric::ExportsFailed, counts.exports_failed, before.exports_failed);
        add(Metric::QueueSpans, counts.queued, before.queued);
        add(Metric::QueueBytes, counts.queued_bytes, before.queued_bytes);
        add(Metric::InFlightSpans, counts.in_flight, before.in_flight);
        add(Metric::UpgradedDiscarded, counts.upgraded_discarded, before.upgraded_discarded);
        for reason in DiscardReason::ALL {
            add(reason.metric(), counts.discarded(reason), before.discarded(reason));
        }
        self.published = counts.clone();
    }

    /// Shows how many streams of this root may still be upgraded.
    pub(super) fn publish_pending<'a>(
        &mut self,
        streams: impl Iterator<Item = &'a RequestContext>,
        metrics: &mut Metrics,
    ) {
        let id = self.id();
        let pending = streams.filter(|stream| stream.root() == id && stream.is_pending()).count();
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        metrics.add(Metric::PendingSpans, pending - self.published_pending);
        self.published_pending = pending;
    }
}
