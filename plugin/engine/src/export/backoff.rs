//! When to try again: one gate for all batches of an exporter, so that a collector that is down meets one probe at a
//! time and not a storm.

use super::clock::NANOS_PER_MILLI;

/// The shortest wait, milliseconds: also a collector that says `Retry-After: 0` is given time to breathe.
const SHORTEST_MS: u64 = 100;
/// The longest wait before the second attempt, milliseconds. It doubles with each failure in a row.
const FIRST_CEILING_MS: u64 = 1_000;
/// Where the doubling ends, milliseconds.
const LAST_CEILING_MS: u64 = 30_000;
/// The longest wait that a collector can ask for, milliseconds: as long as a batch lives.
const LONGEST_ASKED_MS: u64 = super::GIVE_UP_AFTER_MS;
/// Over how much time those who were asked to wait equally long are spread, milliseconds.
const SPREAD_MS: u64 = 1_000;

/// Exponential backoff with full jitter: after the n-th failure in a row wait between 100 ms and
/// `min(30 s, 1 s * 2^(n-1))`, all equally likely. OTLP specification, "Failures": backoff with jitter, unless the
/// collector names the time.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    opens_at: u64,
    counted_below: u64,
}

impl Backoff {
    /// Whether the latest answer was a failure that is to be retried.
    pub(super) fn is_backing_off(&self) -> bool {
        0 < self.failures
    }

    /// Whether a request may leave at `now`.
    pub(super) fn is_open(&self, now: u64) -> bool {
        self.opens_at <= now
    }

    /// Request number `request` failed; `next` is the number of the request that will leave next, and `asked_ms`
    /// the wait that the collector asked for. Requests that left together and fail together count as one failure.
    /// Answers when the gate opens.
    pub(super) fn fail(&mut self, request: u64, next: u64, asked_ms: Option<u64>, now: u64, random: u64) -> u64 {
        let again = self.counted_below <= request;
        if again {
            self.failures = self.failures.saturating_add(1);
        }
        if again || asked_ms.is_some() {
            self.counted_below = next; // No answer to an earlier request may cut this wait short.
        }
        let wait_ms = match asked_ms {
            Some(asked) => asked.clamp(SHORTEST_MS, LONGEST_ASKED_MS).saturating_add(within(random, SPREAD_MS)),
            None if again => {
                let doublings = self.failures.saturating_sub(1).min(5);
                let ceiling = (FIRST_CEILING_MS << doublings).min(LAST_CEILING_MS);
                SHORTEST_MS.saturating_add(within(random, ceiling.saturating_sub(SHORTEST_MS)))
            }
            None => 0,
        };
        let opens_at = now.saturating_add(wait_ms.saturating_mul(NANOS_PER_MILLI));
        self.opens_at = self.opens_at.max(opens_at);
        self.opens_at
    }

    /// Request number `request` was answered well: the gate opens and the next failure is the first again. A request
    /// that left before the latest failure opens nothing, or it would cut short the wait that the collector asked for.
    pub(super) fn succeed(&mut self, request: u64) {
        if self.counted_below <= request {
            self.failures = 0;
            self.opens_at = 0;
        }
    }
}

/// 0 to `most`, equally likely when `random` is 64 random bits.
fn within(random: u64, most: u64) -> u64 {
    let span = u128::from(most).saturating_add(1);
    u64::try_from((u128::from(random) * span) >> 64).unwrap_or(most) // Below `span`, so it fits.
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_from_one_second_to_thirty() {
        let mut backoff = Backoff::default();
        for (request, ceiling_ms) in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].into_iter().enumerate() {
            let request = request as u64;
            let now = backoff.opens_at;
            let opens_at = backoff.fail(request, request + 1, None, now, u64::MAX);
            assert_eq!(opens_at - now, ceiling_ms * NANOS_PER_MILLI);
            assert!(!backoff.is_open(opens_at - 1) && backoff.is_open(opens_at));
        }
        backoff.succeed(7);
        assert!(backoff.is_open(0) && !backoff.is_backing_off());
        assert_eq!(backoff.fail(8, 9, None, 0, u64::MAX), 1_000 * NANOS_PER_MILLI);
    }

    #[test]
    fn requests_that_fail_together_count_once_and_the_longest_wait_asked_for_holds() {
        let mut backoff = Backoff::default();
        backoff.fail(0, 4, None, 0, u64::MAX);
        for request in 1..4 {
            assert_eq!(backoff.fail(request, 4, None, 0, u64::MAX), 1_000 * NANOS_PER_MILLI);
        }
        assert_eq!(backoff.fail(3, 4, Some(60_000), 0, 0), 60_000 * NANOS_PER_MILLI);
        assert_eq!(backoff.failures, 1);
        backoff.succeed(3);
        assert!(!backoff.is_open(59_999 * NANOS_PER_MILLI), "it had left before the failure");
        backoff.succeed(4);
        assert!(backoff.is_open(0));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_nothing_never_endless_and_never_shorter_than_asked(
            failures in proptest::collection::vec((any::<Option<u64>>(), any::<u64>()), 1..40),
            now in 0..u64::MAX / 2,
        ) {
            let mut backoff = Backoff::default();
            for (request, (asked, random)) in failures.into_iter().enumerate() {
                let request = request as u64;
                let waits = backoff.fail(request, request + 1, asked, now, random) - now;
                prop_assert!(SHORTEST_MS * NANOS_PER_MILLI <= waits);
                prop_assert!(asked.unwrap_or(0).min(LONGEST_ASKED_MS) * NANOS_PER_MILLI <= waits);
                prop_assert!(waits <= (LONGEST_ASKED_MS + SPREAD_MS) * NANOS_PER_MILLI);
            }
        }
    }
}
