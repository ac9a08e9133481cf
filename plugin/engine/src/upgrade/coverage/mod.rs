//! Coverage: the first requests of each kind in a window are kept whole. A kind is a method, a route and a status, and with
//! `latency` an octave of the time to the answer.
//!
//! Which requests are the first depends on their order of arrival and on their outcome, never on the randomness R, and the budget is
//! charged before the head decision is looked at: covered requests are a class of their own that is kept whole (`th:0`), and every
//! estimate stays exact. To charge only what the head dropped would count the others twice.

mod cells;
mod kind;
pub mod slot;

pub use cells::Cells;
pub use kind::Kind;

use super::Budget;
use crate::json::names;

names! {
    /// Where coverage looks.
    pub enum Place {
        /// Where a trace begins every kind, elsewhere only what did not succeed.
        Auto = "auto",
        /// Only where a trace begins.
        Root = "root",
        /// At each hop.
        All = "all",
    }
}

/// The checked `upgrade.coverage` part of the configuration, where it is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoveragePolicy {
    /// Requests of a kind that are kept in a window, 1 to 100.
    pub per_window: u8,
    /// Seconds of a window, from the first request of its kind on.
    pub window_s: u32,
    /// Each doubling of the latency is a kind of its own.
    pub latency: bool,
    /// Where.
    pub place: Place,
    /// How many are kept in all.
    pub budget: Budget,
}

impl CoveragePolicy {
    /// Whether it looks at a request of a trace that began here (`is_root`), or at one that ended well (`is_success`).
    pub fn looks(&self, is_root: bool, is_success: bool) -> bool {
        match self.place {
            Place::Root => is_root,
            Place::All => true,
            Place::Auto => is_root || !is_success,
        }
    }
}
