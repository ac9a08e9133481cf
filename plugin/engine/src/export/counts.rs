//! What became of every span: the law that no span is lost without a reason.

use crate::telemetry::Metric;

/// Why a span was lost after it had been sampled. Each reason is one counter, `spans.discarded.<reason>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscardReason {
    /// As many spans waited as may.
    QueueFull,
    /// As many bytes were held as may.
    QueueBytes,
    /// The span alone is above the size of a request, or the collector said so of its batch (HTTP 413).
    TooLarge,
    /// The collector took the batch but not this span (OTLP partial success).
    Rejected,
    /// The collector gave an answer that OTLP forbids to retry.
    NonRetryable,
    /// Retries took longer than a batch may live.
    RetriesExhausted,
    /// The VM ended before an answer came, if one came at all.
    Shutdown,
}

impl DiscardReason {
    /// The counter of spans lost for this reason.
    pub const fn metric(self) -> Metric {
        match self {
            Self::QueueFull => Metric::DiscardedQueueFull,
            Self::QueueBytes => Metric::DiscardedQueueBytes,
            Self::TooLarge => Metric::DiscardedTooLarge,
            Self::Rejected => Metric::DiscardedRejected,
            Self::NonRetryable => Metric::DiscardedNonRetryable,
            Self::RetriesExhausted => Metric::DiscardedRetriesExhausted,
            Self::Shutdown => Metric::DiscardedShutdown,
        }
    }

    /// All of them, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::QueueBytes,
        Self::TooLarge,
        Self::Rejected,
        Self::NonRetryable,
        Self::RetriesExhausted,
        Self::Shutdown,
    ];

    /// The suffix of the counter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueBytes => "queue_bytes",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::NonRetryable => "non_retryable",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Spans and exports of one exporter since it was made. The gauges are `queued`, `queued_bytes`, `in_flight` and
/// `in_flight_bytes`; everything else only grows.
///
/// The law: `offered + adopted == exported + discarded + queued + in_flight + released`. Over all exporters of a
/// process `adopted` and `released` cancel out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans given to `Exporter::offer`, taken or not.
    pub offered: u64,
    /// Spans that a collector acknowledged.
    pub exported: u64,
    /// Spans that came from the exporter of an earlier configuration.
    pub adopted: u64,
    /// Spans that went to the exporter of a later configuration.
    pub released: u64,
    /// Spans that wait, for a batch or for a retry.
    pub queued: u64,
    /// Their encoded bytes.
    pub queued_bytes: u64,
    /// How many of them an upgrade keeps.
    pub queued_upgraded: u64,
    /// Spans that are with the collector, unanswered.
    pub in_flight: u64,
    /// Their encoded bytes.
    pub in_flight_bytes: u64,
    /// Requests that were acknowledged, wholly or in part.
    pub exports_succeeded: u64,
    /// Requests that failed and whose batch will be sent again.
    pub exports_retried: u64,
    /// Requests that failed for good.
    pub exports_failed: u64,
    /// How many of the discarded spans an upgrade had kept, for whatever reason they are lost. A collector that rejects a part
    /// of a batch does not say which, so that as many are counted as may be among them.
    pub upgraded_discarded: u64,
    discarded: [u64; DiscardReason::ALL.len()],
}

impl Counts {
    /// Spans lost for this reason.
    pub fn discarded(&self, reason: DiscardReason) -> u64 {
        self.discarded.get(reason as usize).copied().unwrap_or(0)
    }

    /// Spans lost.
    pub fn discarded_in_all(&self) -> u64 {
        self.discarded.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether the law holds.
    pub fn balance(&self) -> bool {
        let came = self.offered.saturating_add(self.adopted);
        let is = [self.exported, self.discarded_in_all(), self.queued, self.in_flight, self.released];
        came == is.into_iter().fold(0, u64::saturating_add)
    }

    /// Counts so many spans as lost, of which an upgrade had kept some.
    pub(super) fn discard(&mut self, reason: DiscardReason, spans: u64, upgraded: u64) {
        self.upgraded_discarded = self.upgraded_discarded.saturating_add(upgraded.min(spans));
        if let Some(count) = self.discarded.get_mut(reason as usize) {
            *count = count.saturating_add(spans);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut counts = Counts::default();
        for (index, reason) in DiscardReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counts.discard(reason, index as u64 + 1, 1);
        }
        for (index, reason) in DiscardReason::ALL.into_iter().enumerate() {
            assert_eq!(counts.discarded(reason), index as u64 + 1, "{}", reason.as_str());
            assert!(DiscardReason::ALL.iter().all(|other| *other == reason || other.as_str() != reason.as_str()));
        }
        assert_eq!(counts.discarded_in_all(), 28);
        assert_eq!(counts.upgraded_discarded, 7);
        assert!(!counts.balance());
        counts.offered = 28;
        assert!(counts.balance());
    }
}
