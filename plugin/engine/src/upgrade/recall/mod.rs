//! Recall: spans that were dropped while all was well are held for a few seconds, and given up when their trace fails.
//!
//! An upgraded trace is written to the [`UpgradeLog`](log) of its process; every VM reads it on its tick, takes what its
//! [`Pending`] ring holds of the trace, and asks the instances that those calls went to ([`Asks`], [`wire`]) to do the same.

mod asks;
pub mod log;
mod pending;
mod shown;
mod traces;
pub mod wire;

pub use asks::{Ask, AskRequest, Asks, Fate};
pub use pending::{Pending, PendingCounts};
pub use shown::Shown;
pub use traces::RecentTraces;
