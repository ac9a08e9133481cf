//! What makes a dropped trace worth keeping after all (a trigger), and how many of those a second (a budget).
//!
//! Ours to define: an *upgrade* changes a dropped trace to sampled after the fact. It has nothing to do with the HTTP
//! `Upgrade` header.

mod budget;
pub mod coverage;
mod ledger;
pub mod list;
pub mod mac;
pub mod parents;
mod policy;
pub mod recall;
pub mod signal;
pub mod slots;
mod slow;
mod trigger;

pub use budget::{Budget, BudgetError};
pub use ledger::{CallFacts, Calls};
pub use policy::{ApplicationsPolicy, Ending, Policy, RecallPolicy, SignalPolicy, Transports};
pub use signal::{Mark, Verdict};
pub use slow::{Per, Slow, SlowPolicy};
pub use trigger::Trigger;
