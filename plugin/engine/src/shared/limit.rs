//! What others may make a process keep beyond its own budget, one bound for each way: whoever chooses trace-ids, and however many
//! workers and listeners there are.

use super::SharedBudget;
use super::polls::Polls;
use crate::door::Host;
use crate::upgrade::Budget;

/// What others ask for is admitted already, by the hop that saw the failure. This many times our own budget is what the hops
/// behind a busy gateway may admit together, or what the spans of the admitted traces come to in one Envoy; beyond it,
/// somebody is lying, or repeats one trace-id without end.
const TIMES: u64 = 10;
/// Spans that a single trace may have here at once, however small the budget is.
const SPANS: u64 = 32;

/// One bound, for all filters of the process.
pub struct Limit {
    spent: SharedBudget,
    burst: u64,
}

impl Limit {
    const fn new(key: &'static str, burst: u64) -> Self {
        Self { spent: SharedBudget::of_process(key), burst }
    }

    /// Charges one; `false` refuses it. `budget` is the listener's own.
    pub fn admit(&mut self, budget: &Budget, host: &impl Host) -> bool {
        self.spent.admit(&budget.times(TIMES).with_burst(self.burst), host)
    }
}

/// All of these bounds.
pub struct Limits {
    /// Upgrade signals of upstreams.
    pub signals: Limit,
    /// Traces that other instances recalled.
    pub recalls: Limit,
    /// Requests of traces that this process has upgraded already.
    pub joins: Limit,
    /// Questions of the pod's own application.
    pub polls: Polls,
}

impl Default for Limits {
    /// The number in each key is the version of the layout: another layout is another key.
    fn default() -> Self {
        Self {
            signals: Limit::new("tracelift.limit.1.signals", 0),
            recalls: Limit::new("tracelift.limit.1.recalls", 0),
            joins: Limit::new("tracelift.limit.1.joins", SPANS),
            polls: Polls::default(),
        }
    }
}
