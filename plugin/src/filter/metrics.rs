//! Metrics of this VM: counted in our own memory, handed to the host on a tick. A count on the request path costs an
//! addition instead of a hostcall.

use super::abi;
use super::host;
use crate::telemetry::{ALL, Kind, Metric};

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

    /// Records one value of a histogram, or sets a gauge, at once.
    pub fn record(&mut self, metric: Metric, value: u64) {
        self.define();
        if let Some(id) = self.ids.get(metric as usize).copied().flatten() {
            let _ = host::record_metric(id, value);
        }
    }

    /// Hands everything that changed to the host. What the host will not take stays and is tried again.
    pub fn flush(&mut self) {
        self.define();
        for (id, pending) in self.ids.iter().zip(self.pending.iter_mut()) {
            if let Some(id) = id
                && *pending != 0
                && host::increment_metric(*id, *pending).is_ok()
            {
                *pending = 0;
            }
        }
    }

    /// Defines every metric, so that a dashboard finds zeros instead of nothing.
    fn define(&mut self) {
        if self.defined {
            return;
        }
        self.defined = true;
        for (metric, id) in ALL.iter().zip(self.ids.iter_mut()) {
            let description = metric.describe();
            let kind = match description.kind {
                Kind::Counter => abi::Metric::Counter,
                Kind::Gauge => abi::Metric::Gauge,
                Kind::Histogram => abi::Metric::Histogram,
            };
            *id = host::define_metric(kind, description.name).ok();
        }
    }
}
