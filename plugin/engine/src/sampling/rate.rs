//! A ratio in force: a threshold that may be another one for the next request. Small, since every request carries it.

use std::num::NonZeroU64;

use super::threshold::Threshold;

/// One that keeps nothing, and has no threshold.
const NEVER: u64 = 1 << 56;

/// T of the consistent algorithm and 1, so that none takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// Keeps this share, 0 to 1; below the lowest threshold nothing.
    pub fn new(ratio: f64) -> Self {
        let bits = Threshold::from_ratio(ratio).map_or(NEVER, Threshold::bits);
        Self(NonZeroU64::MIN.saturating_add(bits))
    }

    /// Its threshold; `None` where it keeps nothing.
    pub const fn threshold(self) -> Option<Threshold> {
        Threshold::from_bits(self.0.get() - 1)
    }

    /// The share that it keeps, after all rounding.
    pub fn share(self) -> f64 {
        self.threshold().map_or(0.0, Threshold::probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_what_a_threshold_of_its_ratio_does() {
        for ratio in [1.0, 0.5, 0.05, 1e-4, 2f64.powi(-56)] {
            assert_eq!(Rate::new(ratio).threshold(), Threshold::from_ratio(ratio).ok(), "{ratio}");
            assert!((Rate::new(ratio).share() / ratio - 1.0).abs() < 1e-3);
        }
        for nothing in [0.0, 2f64.powi(-58), -1.0, f64::NAN] {
            assert_eq!((Rate::new(nothing).threshold(), Rate::new(nothing).share()), (None, 0.0), "{nothing}");
        }
        assert_eq!(size_of::<Option<Rate>>(), 8);
    }
}
