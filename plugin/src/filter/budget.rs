//! The upgrade budget of a process: one compare-and-swap slot that its workers share.

use super::host;
use crate::upgrade::Budget;

/// Attempts against other workers before this one goes by its own books.
const TRIES: usize = 8;

/// Where the state of one budget is kept.
#[derive(Default)]
pub struct SharedBudget {
    key: String,
    /// The state as this VM last knew it; all there is where a host has no shared data.
    arrival: u64,
}

impl SharedBudget {
    /// The filters of that name in this process share the budget.
    pub fn new(plugin: &str) -> Self {
        let mut key = String::from("tracelift.budget.1.");
        key.push_str(plugin);
        Self { key, arrival: 0 }
    }

    /// Charges one trigger; `true` admits it.
    pub fn admit(&mut self, budget: &Budget, now: u64) -> bool {
        for _ in 0..TRIES {
            let Ok(shared) = host::shared(self.key.as_bytes()) else { break };
            let (arrival, cas) = shared.map_or((self.arrival, 0), |(value, cas)| {
                (value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)), cas)
            });
            let Some(next) = budget.charge(arrival, now) else { return false };
            match host::set_shared(self.key.as_bytes(), &next.to_le_bytes(), cas) {
                Ok(true) => {
                    self.arrival = next;
                    return true;
                }
                Ok(false) => {}
                Err(_) => break,
            }
        }
        match budget.charge(self.arrival, now) {
            Some(next) => {
                self.arrival = next;
                true
            }
            None => false,
        }
    }
}
