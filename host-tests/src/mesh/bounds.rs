//! Who pays for what an Envoy keeps, and what each may pay for in a second, whoever asks and however many workers it has.

use std::time::Duration;

use super::simulation::Mesh;
use super::topology::PodId;

/// The window in which a bound is checked, its burst included.
const SECOND: Duration = Duration::from_secs(1);
/// What others ask for is bounded by this many times the budget.
const TIMES: usize = 10;
/// Spans of one trace that may be kept at once, however small the budget is.
const SPANS: usize = 32;

/// Why something was kept that the head had dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Payer {
    /// A failure that this Envoy saw for itself.
    Budget,
    /// An answer said so, whoever wrote it.
    Signals,
    /// This Envoy had upgraded the trace already.
    Joins,
    /// Another instance asked for the trace.
    Recalls,
    /// All but recalls, also what one of several may have paid for.
    All,
}

impl Payer {
    /// The most within any second, one burst and one second's worth.
    fn limit(self, budget: usize) -> usize {
        let others = TIMES * budget;
        match self {
            Self::Budget => 2 * budget + 1,
            Self::Signals | Self::Recalls => 2 * others + 1,
            Self::Joins => others + others.max(SPANS) + 1,
            Self::All => [Self::Budget, Self::Signals, Self::Joins].iter().map(|payer| payer.limit(budget)).sum(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Budget => "the budget was exceeded",
            Self::Signals => "more signals were believed than ten times the budget",
            Self::Joins => "more was kept of upgraded traces than ten times the budget",
            Self::Recalls => "more recalls were followed than ten times the budget",
            Self::All => "more was kept than all budgets admit",
        }
    }
}

impl Mesh {
    /// An Envoy has kept something at this time, and this paid for it. Requests are judged when they have come to rest, so
    /// that times come in any order.
    pub(crate) fn charge(&mut self, pod: PodId, payer: Payer, at: Duration) {
        let limit = payer.limit(self.options.budget as usize);
        let charges = self.charges.entry((pod, payer)).or_default();
        let place = charges.partition_point(|earlier| *earlier <= at);
        charges.insert(place, at);
        // Of the crowds of one too many that this one is part of, the first.
        let around = &charges[place.saturating_sub(limit)..charges.len().min(place + limit + 1)];
        if let Some(crowd) = around.windows(limit + 1).find(|crowd| crowd[limit] - crowd[0] < SECOND) {
            let details = format!("more than {limit} within a second in pod {pod}");
            self.violations.add(crowd[0] - self.started, payer.words(), details);
        }
    }
}
