//! Is every failing hop's span here? Asked all the time, of what services and clients saw themselves.

use super::traces::Traces;
use crate::hops::Hop;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a span may be under way: batching delay, export, and a retry or two.
const GRACE: Duration = Duration::from_secs(10);

/// Failing hops and what became of their spans.
#[derive(Debug, Default)]
pub struct Completeness {
    pending: VecDeque<(Instant, Hop)>,
    kept: u64,
    missing: u64,
}

impl Completeness {
    /// A hop that failed.
    pub fn expect(&mut self, now: Instant, hop: Hop) {
        self.pending.push_back((now, hop));
    }

    /// Looks for what is not found yet; what stays away for too long is missing.
    pub fn look(&mut self, now: Instant, traces: &Traces) {
        self.pending.retain(|(since, hop)| {
            let found = traces.of(hop.trace_id).iter().any(|span| hop.is(span));
            let late = GRACE < now.saturating_duration_since(*since);
            self.kept += u64::from(found);
            self.missing += u64::from(!found && late);
            !found && !late
        });
    }

    /// Found.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Under way, as far as we know.
    pub fn pending(&self) -> u64 {
        self.pending.len() as u64
    }

    /// Not found in time.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Kind;
    use crate::testing::{arrival, span};
    use crate::truth::Outcome;

    #[test]
    fn a_failing_hop_is_pending_then_kept_or_missing() {
        let start = Instant::now();
        let (mut hops, mut traces) = (Completeness::default(), Traces::default());
        for id in [1, 2] {
            hops.expect(start, Hop::of_arrival(&arrival("cart", 9, id, Outcome::Status(500))).unwrap());
        }
        hops.look(start, &traces);
        assert_eq!((hops.kept(), hops.pending(), hops.missing()), (0, 2, 0));
        traces.add(start, span("cart", Kind::Server, 9, 2, None).upgraded(500).build());
        hops.look(start + GRACE, &traces);
        assert_eq!((hops.kept(), hops.pending(), hops.missing()), (1, 1, 0));
        hops.look(start + GRACE * 2, &traces);
        assert_eq!((hops.kept(), hops.pending(), hops.missing()), (1, 0, 1));
    }
}
