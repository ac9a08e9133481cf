//! What other instances may make a root keep: their upgrade signals, and their recalls.

use crate::upgrade::Budget;

/// What others ask for is admitted already, by the hop that saw the failure. This many times our own budget is what the hops
/// behind a busy gateway may admit together; beyond it, somebody is lying.
const TIMES: u64 = 10;

/// How much of it a root has believed.
#[derive(Default)]
pub struct Limit {
    arrival: u64,
}

impl Limit {
    /// Charges one; `false` refuses it. `now` is Unix nanoseconds.
    pub fn admit(&mut self, budget: &Budget, now: u64) -> bool {
        match budget.times(TIMES).charge(self.arrival, now) {
            Some(next) => {
                self.arrival = next;
                true
            }
            None => false,
        }
    }
}
