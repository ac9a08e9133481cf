//! The rate that steers itself, on the tick: what was counted is shared, the step is taken, and what it has changed is shown.

use super::root::Root;
use crate::door::{Host, Level};
use crate::policy::Policy;
use crate::request::Scope;
use crate::sampling::pace::{Bound, BoundChange, Cause, Settings, Step, Turn, decimal, percent};
use crate::shared::{Rates, Slowness, Steering};
use crate::telemetry::{Metric, Metrics};

impl Root {
    /// Goes by the rates of a policy from now on. What is known of the same settings is still known.
    pub(super) fn steer_by(&mut self, host: &impl Host, policy: &Policy, metrics: &mut Metrics) {
        let of = |known: Option<Rates>, settings: Option<Settings>, plugin: &str| {
            let settings = settings?;
            let known = known.filter(|known| known.is_for(plugin, &settings));
            Some(known.unwrap_or_else(|| Rates::new(host, plugin, settings)))
        };
        let shadow = policy.shadow.as_ref().and_then(|shadow| shadow.sampling.as_ref()).and_then(|shadow| shadow.pace);
        let known = self.scope.steering.take().map(|known| *known).unwrap_or_default();
        let live = of(known.live, policy.sampling.pace, &self.plugin);
        let shadow = of(known.shadow, shadow, &[&self.plugin, "\0shadow"].concat());
        live.iter().for_each(|rates| show(host, rates, metrics));
        let share = shadow.as_ref().map(|rates| rates.pace().share(rates.settings()));
        share.into_iter().for_each(|share| metrics.record(host, Metric::ShadowRatio, millionths(share)));
        let is_on = live.is_some() || shadow.is_some();
        self.scope.steering = is_on.then(|| Box::new(Steering::new(live, shadow)));
    }

    /// Shares what was counted, and goes by the rates in force from now on.
    /// `is_alone`: no other root has the name of this filter. Of several those show their rates that decided something in this process
    /// within the interval: not one that was replaced and drains, nor a listener without traffic.
    pub(super) fn steer(&mut self, host: &impl Host, now: u64, is_alone: bool, metrics: &mut Metrics) {
        let Scope { steering, slow, shadow_slow, audit, .. } = &mut self.scope;
        let Some(steering) = steering.as_deref_mut() else { return };
        steering.settle(&audit.settled());
        let Steering { live, shadow, .. } = steering;
        if let Some(rates) = live {
            metrics.add_count(Metric::AdaptiveOffered, rates.offers());
            if let Some(step) = tick(host, rates, slow, now) {
                if step.decided || is_alone {
                    show(host, rates, metrics);
                }
                count(&step, metrics);
                log(host, rates, &step);
            }
        }
        if let Some(rates) = shadow
            && let Some(step) = tick(host, rates, shadow_slow, now)
        {
            metrics.record(host, Metric::ShadowRatio, millionths(step.ratio));
        }
        steering.obey();
    }
}

#[inline(never)] // For the live policy and its shadow.
fn tick(host: &impl Host, rates: &mut Rates, slow: &mut Option<Box<Slowness>>, now: u64) -> Option<Step> {
    slow.iter_mut().for_each(|slow| rates.timed(slow.take_judged()));
    rates.tick(host, now)
}

/// What is in force, in gauges.
#[inline(never)] // At the start and after a step.
fn show(host: &impl Host, rates: &Rates, metrics: &mut Metrics) {
    let (pace, settings) = (rates.pace(), rates.settings());
    let target = settings.target.map_or(0.0, |target| 1e3 * target.per_second);
    let bound = pace.bound().map_or(0, |bound| if bound == Bound::Min { 1 } else { 2 });
    metrics.record(host, Metric::AdaptiveRatio, millionths(pace.share(settings)));
    metrics.record(host, Metric::AdaptiveTarget, target.round() as u64);
    metrics.record(host, Metric::AdaptiveBound, bound);
    metrics.record(host, Metric::AdaptiveBoosted, pace.is_boosted().into());
}

fn count(step: &Step, metrics: &mut Metrics) {
    let cause = step.cause.map(|cause| match cause {
        Cause::Load => Metric::AdaptiveLoad,
        Cause::Calm => Metric::AdaptiveCalm,
        Cause::Budget => Metric::AdaptiveBudget,
    });
    let boost = step.boost.map(|_| Metric::AdaptiveBoost);
    cause.into_iter().chain(boost).for_each(|metric| metrics.count(metric));
}

/// One line when a bound is hit or left, and when a boost begins or ends.
#[inline(never)] // Rare.
fn log(host: &impl Host, rates: &Rates, step: &Step) {
    let [load, budget] = [step.load, step.budget].map(|number| decimal(number, 2));
    let to_keep =
        if rates.settings().target.is_some() { [" and ", &budget, " to keep"].concat() } else { String::new() };
    let offered =
        ["at ", &load, " new traces a second", &to_keep, ", the ratio in force is ", &percent(step.ratio)].concat();
    if let Some(change) = step.bound {
        let (level, what, again) = match change {
            BoundChange::Hit(Bound::Min) => (
                Level::Warn,
                "sampling.target cannot be met: sampling.target.min_ratio keeps more than upgrades and the target leave",
                0,
            ),
            BoundChange::Hit(Bound::Max) => {
                (Level::Info, "sampling.target is not used up: sampling.target.max_ratio keeps all that it may", 0)
            }
            BoundChange::Left(Bound::Min, again) => {
                (Level::Info, "sampling.target has been met for five minutes, above min_ratio", again)
            }
            BoundChange::Left(Bound::Max, again) => {
                (Level::Info, "sampling.target has been met for five minutes, below max_ratio", again)
            }
        };
        let again = match again {
            0 => String::new(),
            again => [", after it won ", &again.saturating_add(1).to_string(), " times"].concat(),
        };
        host.log(level, &["tracelift: ", what, &again, "; ", &offered].concat());
    }
    let [failed, slow] = rates
        .pace()
        .shares()
        .map(|(now, usual)| [percent(now), " (usually ".to_owned(), percent(usual), ")".to_owned()].concat());
    let what = match step.boost {
        Some(Turn::Begins) => "begins, because more requests than usual fail or are slow: ",
        Some(Turn::Ends) => "ends: ",
        Some(Turn::Halves) | None => return,
    };
    let shares = [". Failures: ", &failed, "; slow answers: ", &slow].concat();
    host.log(Level::Info, &["tracelift: the boost of the sampling ratio ", what, &offered, &shares].concat());
}

fn millionths(ratio: f64) -> u64 {
    (1e6 * ratio).round() as u64
}
