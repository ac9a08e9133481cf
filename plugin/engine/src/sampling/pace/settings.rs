//! What a checked configuration says of the target and the boost.

use crate::json::names;

/// Seconds of the month that a budget of spans is for: 30.44 days.
pub const MONTH_S: f64 = 2_630_016.0;
/// Seconds that an interval lasts, unless it ends early because far more is kept than the target allows.
pub(super) const INTERVAL_S: f64 = 5.0;
/// Seconds for which what was not spent of a month's budget can be spent later.
pub(super) const CARRY_S: f64 = 3_600.0;

names! {
    /// What has a rate of its own.
    pub enum By {
        /// All traces that begin here have one rate.
        All = "all",
        /// Each route has its own, so that the same number of traces of each is kept.
        Route = "route",
    }
}

/// The rate that is aimed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetSettings {
    /// Traces a second that this Envoy keeps on the mean; above 0.
    pub per_second: f64,
    /// What is not spent is carried over for an hour: a budget for a month.
    pub carries: bool,
    /// The lowest ratio, 0 or 2^-56 to 1. It wins over the target.
    pub min_ratio: f64,
    /// The highest ratio, not below `min_ratio`.
    pub max_ratio: f64,
}

impl TargetSettings {
    /// Traces a second of a budget of spans for a month.
    pub fn of_month(spans: f64) -> f64 {
        spans / MONTH_S
    }
}

/// By how much the ratio is raised when more requests than usual fail or are slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoostSettings {
    /// The highest ratio then, up to 1.
    pub max_ratio: f64,
    /// Seconds for which it stays raised after the last sign of trouble.
    pub hold_s: f64,
    /// Seconds after that in which it is not raised again.
    pub cooldown_s: f64,
    /// Requests that a share is taken of, at least; fewer do after a minute.
    pub min_requests: f64,
}

/// All of it. At least one of `target` and `boost` is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The ratio without a target, and the first one with it; 0 to 1.
    pub ratio: f64,
    /// The target, if there is one.
    pub target: Option<TargetSettings>,
    /// The boost, if there is one.
    pub boost: Option<BoostSettings>,
    /// How many rates there are: 1, or one more than there are routes; the first is for requests without a route.
    pub rates: usize,
}

impl Settings {
    /// The ratio at which so many roots a second keep the target, once the rate has settled and nothing else spends of it.
    pub fn settled(&self, roots_per_second: f64) -> f64 {
        self.target.map_or(self.ratio, |target| target.clamp(target.per_second / roots_per_second))
    }

    /// A number for these settings: workers that go by others do not share their state.
    pub fn fingerprint(&self) -> u64 {
        let target = self.target.map_or([0.0; 4], |target| {
            [target.per_second, f64::from(u8::from(target.carries)), target.min_ratio, target.max_ratio]
        });
        let boost =
            self.boost.map_or([0.0; 4], |boost| [boost.max_ratio, boost.hold_s, boost.cooldown_s, boost.min_requests]);
        let numbers = target.into_iter().chain(boost).chain([self.ratio]).map(f64::to_bits);
        numbers.fold(self.rates as u64, |hash, bits| (hash ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
    }
}

impl TargetSettings {
    pub(super) fn clamp(&self, ratio: f64) -> f64 {
        // Not `f64::clamp`, which panics. Without traffic the ratio is infinite; where nothing is left for none, it is not a number.
        if ratio.is_nan() { self.min_ratio } else { ratio.min(self.max_ratio).max(self.min_ratio) }
    }
}
