//! The step at the end of an interval: what was offered becomes the ratio of the next one.

use super::boost::Turn;
use super::bound::{BoundChange, Flow};
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
/// A change that is worth counting.
const NOTABLE: f64 = 1.1;
/// How many times less than usual is no decline that continues, but the end of a load.
const BROKEN_OFF: f64 = 3.0;
/// Three deviations, squared.
const DEVIATIONS: f64 = 9.0;
/// Seconds in which the scatter of the load is learned, and the most of it: twice or none in an interval.
const LEARNED_S: f64 = 60.0;
const MOST_SCATTER: f64 = 0.25;

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
    /// The rates have decided traces in this interval, in any worker.
    pub decided: bool,
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
        let decided = self.rates.iter().any(|rate| rate.offered != 0);
        let (cause, bound) = match &settings.target {
            Some(target) => self.follow(target, (now, elapsed), is_over),
            None => {
                self.average(elapsed);
                (None, None)
            }
        };
        let boost = self.turn(settings, is_over, now);
        self.steps += 1.0;
        self.open(now);
        Some(Step { ratio: self.share(settings), load: self.load(), budget: self.budget, cause, bound, boost, decided })
    }

    fn open(&mut self, now: f64) {
        (self.began, self.expected, self.others) = (now, 0.0, 0.0);
        self.rates.iter_mut().for_each(|rate| rate.offered = 0);
    }

    /// Follows the target.
    #[inline(never)] // Once in five seconds, in one worker.
    fn follow(
        &mut self,
        target: &TargetSettings,
        (now, elapsed): (f64, f64),
        is_over: bool,
    ) -> (Option<Cause>, Option<BoundChange>) {
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
        let whole = target.per_second + self.credit / CARRY_S;
        self.budget = (whole - self.others_mean).max(0.0);
        let level = |budget: f64| fill(loads.iter().copied(), budget.max(0.0), (target.min_ratio, target.max_ratio));
        let (level, whole) = (level(self.budget), level(whole));
        let (mut load, mut kept) = (0.0, 0.0);
        for (rate, offered) in self.rates.iter_mut().zip(&loads) {
            let before = f64::from(rate.whole);
            // What traffic allows rises slowly, since traffic may come back. What upgrades had taken comes back with them.
            let most = if is_over { RISE * before.max(LEAST_RISE) } else { before };
            let most = target.clamp((whole / offered).min(most));
            rate.whole = most as f32;
            rate.ratio = target.clamp((level / offered).min(most)) as f32;
            load += offered;
            kept += offered * f64::from(rate.ratio);
        }
        if load <= 0.0 {
            return (None, None); // Whatever the ratio is, it decides nothing.
        }
        let [least, most] = [load * target.min_ratio, load * target.max_ratio];
        let flow = Flow { least, most, budget: self.budget, kept };
        (self.announce(kept / load, load), self.bounds.step(&flow, now))
    }

    /// Takes the interval into the slow means. What each rate is to be prepared for, traces a second: the mean, or the interval if more was
    /// offered than chance explains, or fewer than chance and the usual scatter do, but not far fewer.
    fn average(&mut self, elapsed: f64) -> Vec<f64> {
        let weight = if self.steps == 0.0 { 1.0 } else { elapsed / (elapsed + MEAN_S) };
        self.others_mean += weight * (self.others / elapsed - self.others_mean);
        self.learn_scatter(elapsed);
        let scatter = self.scatter;
        let each = self.rates.iter_mut().map(|rate| {
            let offered = f64::from(rate.offered);
            let mean = f64::from(rate.mean);
            let mean = mean + weight * (offered / elapsed - mean);
            rate.mean = mean as f32;
            let usual = mean * elapsed;
            let more = offered - usual;
            // Of a load that scatters, and of one that has broken off and may come back as suddenly, the mean is safer than its lows.
            let by_chance = usual + 1.0 + if more < 0.0 { scatter * usual * usual } else { 0.0 };
            let is_steady = usual <= BROKEN_OFF * offered;
            if !is_steady || more * more <= DEVIATIONS * by_chance {
                return mean;
            }
            let load = offered / elapsed;
            if more < 0.0 {
                rate.mean = load as f32; // What was before is over.
            }
            load
        });
        each.collect()
    }

    /// Learns how much the load scatters, by how far three intervals are from a line: load that rises or falls steadily does not scatter.
    fn learn_scatter(&mut self, elapsed: f64) {
        let offered: f64 = self.rates.iter().map(|rate| f64::from(rate.offered)).sum();
        let load = offered / elapsed;
        let [last, before] = self.loads;
        self.loads = [load, last];
        if elapsed < INTERVAL_S || last <= 0.0 || before <= 0.0 {
            return;
        }
        let mean = (load + last + before) / 3.0;
        let away = load - 2.0 * last + before;
        let by_chance = (load + 4.0 * last + before) / elapsed;
        let seen = ((away * away - by_chance) / (6.0 * mean * mean)).max(0.0); // Not a number is 0, too.
        self.scatter += elapsed / (elapsed + LEARNED_S) * (seen.min(MOST_SCATTER) - self.scatter);
    }

    /// Whether a ratio differs notably from the one that was counted last, and why.
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
