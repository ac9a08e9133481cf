//! The law that no span is lost uncounted: `offered = exported + discarded(by reason) + queued + in flight`.

use std::fmt;

use crate::VmId;
use crate::envoy::Envoy;
use crate::metrics::{MetricKind, Metrics};

/// The sides of the law, read from the metrics of a process or of one of its VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanBalance {
    /// Counter `tracelift.spans.offered`.
    pub offered: u64,
    /// Counter `tracelift.spans.exported`.
    pub exported: u64,
    /// Counters `tracelift.spans.discarded.<reason>`, by reason.
    pub discarded: Vec<(String, u64)>,
    /// Gauge `tracelift.queue.spans`.
    pub queued: i64,
    /// Gauge `tracelift.exports.in_flight_spans`.
    pub in_flight: i64,
}

impl SpanBalance {
    /// The whole process's.
    pub fn of(metrics: &Metrics) -> Self {
        Self::read(metrics, None)
    }

    /// One VM's, those included that trapped in its place: spans that were queued in them stay queued in the gauges.
    pub fn of_vm(metrics: &Metrics, vm: VmId) -> Self {
        Self::read(metrics, Some(vm))
    }

    fn read(metrics: &Metrics, vm: Option<VmId>) -> Self {
        let prefix = "tracelift.spans.discarded.";
        let counter = |name| metrics.amount(vm, MetricKind::Counter, name);
        let gauge = |name| metrics.amount(vm, MetricKind::Gauge, name).cast_signed();
        let discarded = metrics.amounts_under(vm, prefix).into_iter();
        Self {
            offered: counter("tracelift.spans.offered"),
            exported: counter("tracelift.spans.exported"),
            discarded: discarded.map(|(name, count)| (name[prefix.len()..].to_owned(), count)).collect(),
            queued: gauge("tracelift.queue.spans"),
            in_flight: gauge("tracelift.exports.in_flight_spans"),
        }
    }

    /// Spans discarded for any reason.
    pub fn discarded_total(&self) -> u64 {
        self.discarded.iter().map(|(_, count)| count).sum()
    }

    /// Whether the law holds and no gauge is negative.
    pub fn holds(&self) -> bool {
        let known = i128::from(self.exported)
            + i128::from(self.discarded_total())
            + i128::from(self.queued)
            + i128::from(self.in_flight);
        0 <= self.queued && 0 <= self.in_flight && known == i128::from(self.offered)
    }
}

impl fmt::Display for SpanBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "offered {} = exported {} + discarded {:?} + queued {} + in flight {}",
            self.offered, self.exported, self.discarded, self.queued, self.in_flight
        )
    }
}

impl Envoy {
    /// Checks the law, for the process and for each VM, after one tick of every root, since the module writes its counters
    /// on ticks.
    ///
    /// # Panics
    /// If it does not hold.
    pub fn assert_conservation(&mut self) -> SpanBalance {
        self.tick_all();
        let balance = SpanBalance::of(self.metrics());
        assert!(balance.holds(), "spans were lost or counted twice: {balance}");
        for vm in self.vms() {
            let balance = SpanBalance::of_vm(self.metrics(), vm);
            assert!(balance.holds(), "spans were lost or counted twice in {vm:?}: {balance}");
        }
        balance
    }
}
