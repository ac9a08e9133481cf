//! Slower than usual: requests whose answer begins later than what was learned of their route and method allows.
//!
//! The verdict travels upward with the answer, as that of a failure. A callee that was slower than usual has said so before its caller
//! looks at its own clock: so the deepest hop that was slow and heard nothing from below is the culprit, and its callers keep
//! their spans for the signal, without a charge.

use crate::json::names;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;

names! {
    /// What has a baseline of its own.
    pub enum Per {
        /// Each route and method, and each method of gRPC.
        Route = "route",
        /// Each side of a call.
        Side = "side",
    }
}

/// The checked `upgrade.slow` part of the configuration, where it is enabled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowPolicy {
    /// How many times the baseline is slow; 1 or more.
    pub factor: f64,
    /// The quantile that is learned, between 0 and 1.
    pub quantile: f64,
    /// What is slow takes longer than this, in milliseconds.
    pub min_ms: u64,
    /// What has a baseline of its own.
    pub per: Per,
}

/// By how much a request was slower than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// The learned quantile, in milliseconds.
    pub baseline_ms: u32,
    /// The time beyond it, in milliseconds.
    pub excess_ms: u32,
}

impl SlowPolicy {
    /// Judges the time to an answer's head by a baseline, both in nanoseconds; no baseline is known yet where it is 0.
    pub fn judge(&self, took: u64, baseline: u64) -> Option<Slow> {
        if baseline == 0 {
            return None;
        }
        let least = self.min_ms.saturating_mul(NANOS_PER_MILLISECOND);
        let limit = ((baseline as f64 * self.factor) as u64).max(least);
        let milliseconds = |nanos: u64| u32::try_from(nanos / NANOS_PER_MILLISECOND).unwrap_or(u32::MAX);
        (limit < took).then(|| Slow {
            baseline_ms: milliseconds(baseline),
            excess_ms: milliseconds(took.saturating_sub(baseline)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SlowPolicy = SlowPolicy { factor: 1.5, quantile: 0.99, min_ms: 20, per: Per::Route };

    fn judge(took_ms: u64, baseline_ms: u64) -> Option<Slow> {
        POLICY.judge(took_ms * NANOS_PER_MILLISECOND, baseline_ms * NANOS_PER_MILLISECOND)
    }

    #[test]
    fn what_takes_longer_than_the_baseline_allows_is_slow() {
        assert_eq!(judge(150, 100), None);
        assert_eq!(judge(151, 100), Some(Slow { baseline_ms: 100, excess_ms: 51 }));
        assert_eq!(judge(20, 1), None, "quick enough for everybody");
        assert_eq!(judge(21, 1), Some(Slow { baseline_ms: 1, excess_ms: 20 }));
        assert_eq!(judge(10_000, 0), None, "nothing is learned yet");
        assert_eq!(POLICY.judge(u64::MAX, u64::MAX), None);
        let longest = POLICY.judge(u64::MAX, 1).map(|slow| slow.excess_ms);
        assert_eq!(longest, Some(u32::MAX));
    }
}
