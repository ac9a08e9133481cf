//! What the workers of a process share of a rate: the sums of the interval, what was learned, and the ratios in force.

use super::alarm::Alarm;
use super::boost::Boost;
use super::bound::{Bound, Bounds};
use super::settings::{INTERVAL_S, Settings};
use super::sums::Sums;

/// One rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    /// Traces offered in this interval.
    pub offered: u32,
    /// Traces offered a second, on a slow mean.
    pub mean: f32,
    /// The ratio that the target allows; the boost comes on top.
    pub ratio: f32,
    /// The ratio that it would allow if nothing else had to be paid: to this there is a limit by which it may rise.
    pub whole: f32,
}

/// The state that was counted as a change last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Announced {
    /// The ratio, without a boost.
    pub ratio: f64,
    /// Traces a second that it may keep.
    pub budget: f64,
    /// Traces offered a second.
    pub load: f64,
}

/// The state of all rates of one filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Seconds at which the interval began.
    pub(super) began: f64,
    /// Intervals so far.
    pub(super) steps: f64,
    /// Traces that the rates keep in this interval, on the mean.
    pub(super) expected: f64,
    /// Traces that something else keeps.
    pub(super) others: f64,
    /// The same a second, on a slow mean.
    pub(super) others_mean: f64,
    /// Traces that were not spent, or spent too many (below 0).
    pub(super) credit: f64,
    /// Traces a second that the rates may keep.
    pub(super) budget: f64,
    /// The load has risen steeply in the last interval: this one is a short one, which sees nothing but the new load. 0: no.
    pub(super) hurries: f64,
    /// Traces offered a second in the last interval and in the one before it; 0: not known.
    pub(super) loads: [f64; 2],
    /// How much the load scatters beyond chance: a variance, as a share of the load.
    pub(super) scatter: f64,
    pub(super) bounds: Bounds,
    pub(super) announced: Announced,
    pub(super) failures: Alarm,
    pub(super) slow: Alarm,
    pub(super) boost: Boost,
    pub(super) rates: Vec<Rate>,
}

impl Pace {
    /// Before anything is known: the fixed ratio is in force. `now`: nanoseconds of a clock that all workers share.
    pub fn new(settings: &Settings, now: u64) -> Self {
        let ratio = settings.target.map_or(settings.ratio, |target| target.clamp(settings.ratio));
        let budget = settings.target.map_or(0.0, |target| target.per_second);
        let began = seconds(now);
        let alarm = Alarm { began, ..Alarm::default() };
        Self {
            began,
            steps: 0.0,
            expected: 0.0,
            others: 0.0,
            others_mean: 0.0,
            credit: 0.0,
            budget,
            hurries: 0.0,
            loads: [0.0; 2],
            scatter: 0.0,
            bounds: Bounds::default(),
            announced: Announced { ratio, budget, load: 0.0 },
            failures: alarm,
            slow: alarm,
            boost: Boost::default(),
            rates: vec![Rate { ratio: ratio as f32, whole: ratio as f32, ..Rate::default() }; settings.rates],
        }
    }

    /// Adds what a worker has counted.
    pub fn add(&mut self, sums: &Sums) {
        for (rate, offered) in self.rates.iter_mut().zip(&sums.offered) {
            rate.offered = rate.offered.saturating_add(*offered);
        }
        self.expected += sums.expected;
        self.others += f64::from(sums.others);
        self.failures.add(sums.requests, sums.failed);
        self.slow.add(sums.timed, sums.slow);
    }

    /// The ratio in force of a rate, 0 to 1.
    pub fn ratio(&self, settings: &Settings, rate: usize) -> f64 {
        let own = self.rates.get(rate).or(self.rates.first()).map_or(settings.ratio, |rate| f64::from(rate.ratio));
        self.raised(settings, if settings.target.is_some() { own } else { settings.ratio })
    }

    /// The share of the traces offered that is kept by all rates together, with loads as they are on the mean.
    pub fn share(&self, settings: &Settings) -> f64 {
        let load = self.load();
        let kept: f64 = (0..).zip(&self.rates).map(|(k, rate)| f64::from(rate.mean) * self.ratio(settings, k)).sum();
        if 0.0 < load { kept / load } else { self.ratio(settings, 0) }
    }

    /// Traces offered a second, on a slow mean.
    pub fn load(&self) -> f64 {
        self.rates.iter().map(|rate| f64::from(rate.mean)).sum()
    }

    /// The share of requests that fail, and of those that are slow: in the last window, and as it usually is.
    pub fn shares(&self) -> [(f64, f64); 2] {
        [&self.failures, &self.slow].map(|alarm| (alarm.share, alarm.usual()))
    }

    /// The bound that wins over the target.
    pub fn bound(&self) -> Option<Bound> {
        self.bounds.wins()
    }

    /// A boost raises the ratio.
    pub fn is_boosted(&self) -> bool {
        self.boost.is_on()
    }

    /// Far more is kept than was to be expected and than the target allows: the interval is over at once.
    pub(super) fn is_overspent(&self, settings: &Settings) -> bool {
        let planned: f64 = (0..).zip(&self.rates).map(|(k, rate)| f64::from(rate.mean) * self.ratio(settings, k)).sum();
        let offered = (0..).zip(&self.rates).filter(|(_, rate)| rate.offered != 0);
        let highest = offered.map(|(k, _)| self.ratio(settings, k)).fold(0.0, f64::max);
        let by_chance = 4.0 * (highest * self.expected).sqrt() + 4.0 * highest;
        let most = planned.max(self.budget * self.boost.times);
        2.0 * INTERVAL_S * most + by_chance < self.expected
    }

    fn raised(&self, settings: &Settings, ratio: f64) -> f64 {
        settings.boost.map_or(ratio, |boost| self.boost.raise(&boost, ratio))
    }
}

pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
