//! Which kinds of requests have had their examples, in this worker and in the process: the shared slots behind
//! [`crate::upgrade::coverage`].

use super::SharedBudget;
use super::keys::{numbered, seconds};
use crate::door::{Host, Update};
use crate::upgrade::coverage::slot::{self, Arrival};
use crate::upgrade::coverage::{Cells, CoveragePolicy, Kind};

/// Attempts against other workers.
const TRIES: usize = 8;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &[u8; 21] = b"tracelift.coverage.1.";

/// What one worker knows of kinds.
pub struct Coverage {
    cells: Cells,
    budget: SharedBudget,
    /// Where the kinds of this filter begin.
    filter: Kind,
    /// Unix seconds, of the last tick or later: no request reads the clock for this.
    now: u32,
    /// The second in which the budget was found spent.
    spent: u32,
}

/// What is said of a request whose kind is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// One of the first of its kind.
    First,
    /// The same, and the budget is spent.
    Refused,
    /// Another worker has had the first.
    Known,
}

impl Coverage {
    /// What the name of its budget ends with: no name of a filter has a NUL.
    pub const BUDGET: &str = "\0coverage";

    /// The filters of that name in this process share it; `now` in Unix nanoseconds.
    pub fn new(plugin: &str, now: u64) -> Self {
        let budget = SharedBudget::new(&[plugin, Self::BUDGET].concat());
        let mut coverage =
            Self { cells: Cells::default(), budget, filter: Kind::of(plugin.as_bytes()), now: 0, spent: u32::MAX };
        coverage.look(now);
        coverage
    }

    /// Says what time it is, Unix nanoseconds.
    pub fn look(&mut self, now: u64) {
        self.now = u32::try_from(now / 1_000_000_000).unwrap_or(u32::MAX);
    }

    /// The kind of a request of this filter, on this side of a call.
    pub fn kind(&self, of_any: Kind, is_client: bool) -> Kind {
        of_any.with(self.filter.bits() ^ u64::from(is_client))
    }

    /// Whether a kind may be new. For a request whose kind is not, nothing else is done.
    #[inline(always)] // For every request.
    pub fn may_be_new(&self, kind: Kind) -> bool {
        !self.cells.has(kind, self.now)
    }

    /// Counts a request of a kind that may be new. `charge`: it is not kept whole already. The second value says how many kinds were
    /// forgotten before their time.
    #[inline(never)] // Rare.
    pub fn arrive(&mut self, host: &impl Host, policy: &CoveragePolicy, kind: Kind, charge: bool) -> (Said, u64) {
        if charge && self.spent == self.now {
            return (Said::Refused, 0); // At most one attempt a second, however many are new.
        }
        let now = seconds(host);
        let Self { cells, budget, .. } = self;
        let mut admitted = None;
        let mut last = None;
        let key: [u8; PREFIX.len() + 3] = numbered(PREFIX, slot::slot_of(kind));
        let update = host.update(&key, TRIES, |bytes| {
            let arrival = slot::arrive(bytes.unwrap_or_default(), kind, now, policy.per_window, policy.window_s);
            let next = match &arrival {
                Arrival::First { slot, .. } => {
                    let admits = *admitted.get_or_insert_with(|| !charge || budget.admit(&policy.budget, host));
                    admits.then(|| slot.clone())
                }
                Arrival::Known(_) => None,
            };
            last = Some(arrival);
            next
        });
        if update == Update::Failed && last.is_none() {
            // A host without shared values: this worker keeps the first of its own.
            admitted = Some(!charge || budget.admit(&policy.budget, host));
            last = Some(slot::arrive(&[], kind, now, 1, policy.window_s));
        }
        match (last, admitted) {
            (Some(Arrival::First { until, is_last, evicted, .. }), Some(true)) => {
                let mut forgotten = u64::from(evicted);
                if is_last {
                    forgotten = forgotten.saturating_add(cells.close(kind, now, until).into());
                }
                (Said::First, forgotten)
            }
            (Some(Arrival::First { .. }), _) => {
                self.spent = self.now;
                (Said::Refused, 0)
            }
            (Some(Arrival::Known(until)), _) => (Said::Known, cells.close(kind, now, until).into()),
            (None, _) => (Said::Known, 0),
        }
    }
}
