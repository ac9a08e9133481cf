//! The step at the end of an interval: what was offered becomes the ratio of the next one.

use super::boost::Turn;
use super::fill::fill;
use super::settings::{CARRY_S, INTERVAL_S, Settings, TargetSettings};
use super::state::{Announced, Pace, seconds};

/// Seconds of the slow mean.
const MEAN_S: f64 = 15.0;
/// Seconds that an interval lasts at least: a worker shares what it has counted once in so long.
const SHORTEST_S: f64 = 1.0;
/// Seconds of the interval that follows one in which the load rose steeply, and how steeply that is.
const SHORT_S: f64 = 2.0;
const STEEP: f64 = 1.5;
/// Seconds after which the counts of an interval say nothing of the present.
const STALE_S: f64 = 600.0;
/// How much a ratio may rise in an interval, and from where on, should it be 0.
const RISE: f64 = 1.5;
const LEAST_RISE: f64 = 1e-4;
/// A change that is worth telling.
const NOTABLE: f64 = 1.1;
/// Ratios are kept in four bytes: what they differ by is less than this share.
const TINY: f64 = 1e-6;
/// A bound is left once there is so much room.
const ROOM: f64 = 1.25;

/// Why a ratio has changed notably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It fell, since more traces were offered.
    Load,
    /// It rose, since fewer were.
    Calm,
    /// Upgrades and others left less of the target, or more.
    Budget,
}

/// A bound that wins over the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `min_ratio`: more is kept than the target allows.
    Min,
    /// `max_ratio`: less is kept than the target allows.
    Max,
}

/// A bound was hit or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundChange {
    /// From now on it wins.
    Hit(Bound),
    /// The target is kept again.
    Left(Bound),
}

/// What a step has changed. Ratios are those of all rates together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The ratio in force.
    pub ratio: f64,
    /// Traces offered a second.
    pub load: f64,
    /// Traces a second that the target leaves to the rate.
    pub budget: f64,
    /// Why the ratio has changed, if it has notably, apart from a boost.
    pub cause: Option<Cause>,
    /// A bound was hit or left.
    pub bound: Option<BoundChange>,
    /// What became of the boost.
    pub boost: Option<Turn>,
}

impl Pace {
    /// Takes the step if the interval is over at `now`, in nanoseconds.
    pub fn step(&mut self, settings: &Settings, now: u64) -> Option<Step> {
        let now = seconds(now);
        let elapsed = now - self.began;
        if !(0.0..=STALE_S).contains(&elapsed) {
            self.open(now);
            return None;
        }
        let is_over = INTERVAL_S <= elapsed;
        let is_short = self.hurries != 0.0 && SHORT_S <= elapsed;
        if !is_over && !is_short && (elapsed < SHORTEST_S || settings.target.is_none() || !self.is_overspent(settings))
        {
            return None;
        }
        let (cause, bound) = match &settings.target {
            Some(target) => self.follow(target, elapsed, is_over),
            None => {
                self.average(elapsed);
                (None, None)
            }
        };
        let boost = self.turn(settings, is_over, now);
        self.steps += 1.0;
        self.open(now);
        Some(Step { ratio: self.share(settings), load: self.load(), budget: self.budget, cause, bound, boost })
    }

    fn open(&mut self, now: f64) {
        (self.began, self.expected, self.others) = (now, 0.0, 0.0);
        self.rates.iter_mut().for_each(|rate| rate.offered = 0);
    }

    /// Follows the target.
    #[inline(never)] // Once in five seconds, in one worker.
    fn follow(&mut self, target: &TargetSettings, elapsed: f64, is_over: bool) -> (Option<Cause>, Option<BoundChange>) {
        let before = self.load();
        let loads = self.average(elapsed);
        let rises = 0.0 < before && STEEP * before < loads.iter().sum();
        self.hurries = f64::from(u8::from(rises && self.hurries == 0.0));
        let most = CARRY_S * target.per_second;
        let unspent = target.per_second * elapsed - self.expected - self.others;
        let change = match target.carries {
            true => unspent,
            // Only what a boost spends too much is paid back, in the hours that follow.
            false if self.boost.is_on() => unspent.min(0.0),
            false => -self.credit * elapsed / CARRY_S,
        };
        self.credit = (self.credit + change).max(-most).min(most);
        self.budget = (target.per_second + self.credit / CARRY_S - self.others_mean).max(0.0);
        let level = fill(loads.iter().copied(), self.budget, (target.min_ratio, target.max_ratio));
        let (mut load, mut kept) = (0.0, 0.0);
        for (rate, offered) in self.rates.iter_mut().zip(loads) {
            let before = f64::from(rate.ratio);
            let most = if is_over { RISE * before.max(LEAST_RISE) } else { before };
            rate.ratio = target.clamp((level / offered).min(most)) as f32;
            load += offered;
            kept += offered * f64::from(rate.ratio);
        }
        if load <= 0.0 {
            return (None, None); // Whatever the ratio is, it decides nothing.
        }
        (self.announce(kept / load, load), self.meet_bounds(target, load, kept))
    }

    /// Takes the interval into the slow means. What each rate is to be prepared for, traces a second: the mean, or the interval if more was
    /// offered than chance explains.
    fn average(&mut self, elapsed: f64) -> Vec<f64> {
        let weight = if self.steps == 0.0 { 1.0 } else { elapsed / (elapsed + MEAN_S) };
        self.others_mean += weight * (self.others / elapsed - self.others_mean);
        let each = self.rates.iter_mut().map(|rate| {
            let offered = f64::from(rate.offered);
            let mean = f64::from(rate.mean);
            let mean = mean + weight * (offered / elapsed - mean);
            rate.mean = mean as f32;
            let usual = mean * elapsed;
            if 3.0 * (usual + 1.0).sqrt() < offered - usual { offered / elapsed } else { mean }
        });
        each.collect()
    }

    /// Whether a ratio differs notably from the one that was told last, and why.
    fn announce(&mut self, ratio: f64, load: f64) -> Option<Cause> {
        let Announced { ratio: before, budget, load: load_before } = self.announced;
        if times(ratio, before) < NOTABLE {
            return None;
        }
        self.announced = Announced { ratio, budget: self.budget, load };
        Some(match ratio < before {
            _ if times(load, load_before) < times(self.budget, budget) => Cause::Budget,
            true => Cause::Load,
            false => Cause::Calm,
        })
    }

    /// `kept`: traces a second that the ratios in force keep of this load.
    fn meet_bounds(&mut self, target: &TargetSettings, load: f64, kept: f64) -> Option<BoundChange> {
        let [least, most] = [load * target.min_ratio, load * target.max_ratio];
        let before = self.bound();
        // While the ratio is still rising it is not the bound that holds it down.
        let is_highest = most <= kept * (1.0 + TINY);
        let now = match before {
            Some(Bound::Min) if self.budget < ROOM * least => before,
            Some(Bound::Max) if most < ROOM * self.budget => before,
            _ if self.budget <= least => Some(Bound::Min),
            _ if most <= self.budget && is_highest => Some(Bound::Max),
            _ => None,
        };
        self.bound = now.map_or(0.0, |bound| if bound == Bound::Min { 1.0 } else { 2.0 });
        match (before, now) {
            (before, now) if before == now => None,
            (_, Some(bound)) => Some(BoundChange::Hit(bound)),
            (Some(bound), None) => Some(BoundChange::Left(bound)),
            (None, None) => None,
        }
    }

    fn turn(&mut self, settings: &Settings, is_over: bool, now: f64) -> Option<Turn> {
        let boost = settings.boost.as_ref()?;
        self.failures.look(now, boost.min_requests);
        self.slow.look(now, boost.min_requests);
        if !is_over {
            return None;
        }
        // Where all is kept that may be, there is nothing to raise.
        let is_able = self.boost.is_on() || self.share(settings) < boost.max_ratio;
        let trouble = is_able && (self.failures.is_raised() || self.slow.is_raised());
        self.boost.step(boost, trouble, now)
    }
}

/// How many times one number is the other, whichever is larger.
fn times(one: f64, other: f64) -> f64 {
    if one == other { 1.0 } else { (one / other).max(other / one) }
}
