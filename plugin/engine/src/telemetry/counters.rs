//! Metrics of this worker: counted in our own memory, handed to the host on a tick. A count on the request path costs an
//! addition instead of a hostcall.

use super::{ALL, Metric};
use crate::door::Host;

/// Counts since the last flush, and the host's ids.
pub struct Metrics {
    ids: [Option<u32>; ALL.len()],
    pending: [i64; ALL.len()],
    defined: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { ids: [None; ALL.len()], pending: [0; ALL.len()], defined: false }
    }
}

impl Metrics {
    /// Adds one.
    pub fn count(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Adds to a counter, or to a gauge (either way).
    pub fn add(&mut self, metric: Metric, offset: i64) {
        if let Some(pending) = self.pending.get_mut(metric as usize) {
            *pending = pending.saturating_add(offset);
        }
    }

    /// Adds to a counter what a room has counted by itself.
    pub fn add_count(&mut self, metric: Metric, count: u64) {
        self.add(metric, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Records one value of a histogram, or sets a gauge, at once.
    pub fn record(&mut self, host: &impl Host, metric: Metric, value: u64) {
        self.define(host);
        if let Some(id) = self.ids.get(metric as usize).copied().flatten() {
            host.record(id, value);
        }
    }

    /// Passes everything that changed to the host. What the host does not take stays and is tried again.
    pub fn flush(&mut self, host: &impl Host) {
        self.define(host);
        for (id, pending) in self.ids.iter().zip(self.pending.iter_mut()) {
            if let Some(id) = id
                && *pending != 0
                && host.add(*id, *pending)
            {
                *pending = 0;
            }
        }
    }

    /// Defines every metric, so that a dashboard finds zeros instead of nothing.
    fn define(&mut self, host: &impl Host) {
        if self.defined {
            return;
        }
        self.defined = true;
        for (metric, id) in ALL.iter().zip(self.ids.iter_mut()) {
            *id = host.define(metric.describe());
        }
    }
}
