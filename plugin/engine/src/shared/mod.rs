//! What the workers of a process share, over the door: budgets, kinds that had their examples, verdicts on traces, the log of upgrades; and the randomness
//! that each worker draws ahead.

mod answer;
pub mod audit;
mod budget;
mod coverage;
mod entropy;
mod force;
mod keys;
mod limit;
pub mod measurements;
pub mod parents;
pub mod polls;
mod rates;
mod slow;
pub mod upgrade_log;
pub mod verdicts;

pub use answer::{Arrival, CallAnswer, Extent, Tokens};
pub use budget::SharedBudget;
pub use coverage::{Coverage, Said};
pub use entropy::{Entropy, NewIds};
pub use force::Force;
pub use limit::{Limit, Limits};
pub use rates::{Rates, Steering};
pub use slow::Slowness;
