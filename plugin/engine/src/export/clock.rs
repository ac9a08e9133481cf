//! A clock that never runs backwards, made from one that may.

/// Nanoseconds in a millisecond.
pub(super) const NANOS_PER_MILLI: u64 = 1_000_000;

/// Counts on from the first Unix time it is shown and stands still while the wall clock is set back. A forward jump
/// makes everything due early, which costs an early retry and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    shown: u64,
    now: u64,
}

impl Clock {
    /// Takes note of the wall clock, Unix nanoseconds, and answers the time to reckon with.
    pub(super) fn advance(&mut self, unix_nanos: u64) -> u64 {
        self.now = self.now.saturating_add(unix_nanos.saturating_sub(self.shown));
        self.shown = unix_nanos;
        self.now
    }

    /// The latest time shown; 0 before the first.
    pub(super) fn now(self) -> u64 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_while_the_wall_clock_is_set_back_and_then_goes_on() {
        let mut clock = Clock::default();
        let shown_and_reckoned = [
            (100, 100),
            (150, 150),
            (50, 150),
            (60, 160),
            (0, 160),
            (u64::MAX, u64::MAX),
            (1, u64::MAX),
            (u64::MAX, u64::MAX),
        ];
        for (shown, reckoned) in shown_and_reckoned {
            assert_eq!(clock.advance(shown), reckoned);
            assert_eq!(clock.now(), reckoned);
        }
    }
}
