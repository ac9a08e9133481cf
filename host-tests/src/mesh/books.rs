//! The books of each VM. Metrics are of a whole Envoy, but the host knows which VM added what to them, which streams were in
//! it, and what the collector took from it: three witnesses that must say the same.

use super::simulation::Mesh;
use super::topology::{GATEWAY, PodId};
use crate::{SpanBalance, VmId};

/// What one VM counts, beside what was seen of it from outside.
struct Books {
    balance: SpanBalance,
    /// Spans that its streams called for by their line in the access log, and those that it gave up to a recall.
    due: u64,
    /// Spans that the collector took from it.
    taken: u64,
}

impl Mesh {
    fn books(&self, pod: PodId, vm: VmId) -> Option<Books> {
        let metrics = self.topology.pods[pod].envoy.as_ref()?.metrics();
        let kept = self.kept.get(&(pod, vm)).copied().unwrap_or(0);
        let released = metrics.counter_of(vm, "tracelift.recall.released");
        // A gateway's stream is two spans.
        let spans = if pod == GATEWAY { 2 } else { 1 };
        let collector = self.collector.lock().expect("nobody panics while collecting");
        Some(Books {
            balance: SpanBalance::of_vm(metrics, vm),
            due: spans * (kept + released),
            taken: collector.taken.get(&(pod, vm)).copied().unwrap_or(0),
        })
    }

    /// Checks what must hold at any moment, while some of it has not yet been counted.
    pub(crate) fn check_vm(&mut self, pod: PodId, vm: VmId) {
        let Some(Books { balance, due, taken }) = self.books(pod, vm) else { return };
        let mut add = |what, details| self.violations.add(self.now - self.started, what, details);
        if !balance.holds() {
            add("the books of a VM do not balance", format!("{vm:?} of pod {pod}: {balance}"));
        }
        if due < balance.offered {
            let details = format!("{due} in {vm:?} of pod {pod}, which offered {}", balance.offered);
            add("a VM offered spans that none of its streams kept", details);
        }
        if taken < balance.exported {
            let details = format!("{taken} from {vm:?} of pod {pod}, which counts {}", balance.exported);
            add("a VM counts spans as exported that no collector took", details);
        }
    }

    /// Checks at the end, when all of it has been counted, by every VM that never trapped.
    pub(crate) fn close_vm(&mut self, pod: PodId, vm: VmId) {
        let trapped = matches!(vm, VmId::Worker(worker) if 0 < self.topology.pods[pod].generation[worker]);
        let Some(Books { balance, due, taken }) = self.books(pod, vm).filter(|_| !trapped) else { return };
        let mut add = |what, details| self.violations.add(self.now - self.started, what, details);
        if balance.offered < due {
            let details = format!("{due} in {vm:?} of pod {pod}, which offered {}", balance.offered);
            add("spans that streams kept were never offered", details);
        }
        let in_flight = u64::try_from(balance.in_flight).unwrap_or(0);
        if balance.exported + in_flight < taken {
            let details = format!("{taken} from {vm:?} of pod {pod}, which counts: {balance}");
            add("spans that the collector took were not counted as exported", details);
        }
    }
}
