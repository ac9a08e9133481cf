//! The upgrade budget of a process: one compare-and-swap slot that its workers share.

use std::borrow::Cow;

use crate::door::{Host, Update};
use crate::upgrade::Budget;

/// Attempts against other workers before this one goes by its own count.
const TRIES: usize = 8;

/// Where the state of one budget is kept.
#[derive(Default)]
pub struct SharedBudget {
    key: Cow<'static, str>,
    /// The state as this worker last knew it; all there is where a host has no shared values.
    arrival: u64,
}

impl SharedBudget {
    /// What the keys of budgets begin with; the number is the version of the layout: another layout is another key.
    pub const PREFIX: &str = "tracelift.budget.1.";

    /// The filters of that name in this process share the budget.
    pub fn new(plugin: &str) -> Self {
        let mut key = String::from(Self::PREFIX);
        key.push_str(plugin);
        Self { key: Cow::Owned(key), arrival: 0 }
    }

    /// All filters in this process share what is kept under this key.
    pub const fn of_process(key: &'static str) -> Self {
        Self { key: Cow::Borrowed(key), arrival: 0 }
    }

    /// Charges one trigger; `true` admits it.
    #[inline(never)] // Called for each budget, and rarely.
    pub fn admit(&mut self, budget: &Budget, host: &impl Host) -> bool {
        let now = host.now();
        let own = self.arrival;
        let mut next = None;
        let update = host.update(self.key.as_bytes(), TRIES, |shared| {
            let known =
                shared.map_or(own, |value| value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            next = budget.charge(known, now);
            next.map(u64::to_le_bytes)
        });
        if update == Update::Failed {
            next = budget.charge(own, now);
        }
        if let Some(next) = next {
            self.arrival = next;
        }
        next.is_some()
    }
}
