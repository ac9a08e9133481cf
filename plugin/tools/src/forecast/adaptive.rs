//! The rate in force over time, as the target and the boost steer it through what really happened.

use serde::Serialize;

use tracelift::sampling::pace::{Bound, BoundChange, Cause, Step, Turn};

/// Points of a curve, at most.
const POINTS: f64 = 144.0;
/// Seconds that a point may stand for: an interval of the controller, or more.
const STEPS_S: [f64; 14] =
    [5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0];
/// Events that are listed.
const LISTED: usize = 100;

/// What became of the rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Adaptive {
    /// Traces a second that the target allows, at all Envoys together. `None`: there is a boost alone.
    pub target_per_second: Option<f64>,
    /// Envoys where traces begin that the rate decides: one for each service of the log.
    pub envoys: usize,
    /// Seconds that a point stands for. The last one has from half as many to half as many more.
    pub step_s: f64,
    /// The curve, from the first request on.
    pub points: Vec<Point>,
    /// Notable changes, and what made them.
    pub changes: Changes,
    /// Bounds hit and left, boosts begun and ended: the first hundred.
    pub events: Vec<Event>,
    /// Events that are not listed.
    pub more_events: u64,
    /// Traces a second that the rate kept, on the mean.
    pub kept_per_second: f64,
    /// Traces and requests a second that the target pays first, on the mean: upgraded, or kept by a rule's ratio.
    pub paid_first_per_second: f64,
}

/// One stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Seconds since the first request.
    pub at_s: f64,
    /// Seconds that it lasts.
    pub seconds: f64,
    /// Traces a second that the rate decided, sampled or not.
    pub offered: f64,
    /// Traces a second that it kept.
    pub kept: f64,
    /// Traces and requests a second that the target pays first.
    pub paid_first: f64,
    /// The ratio in force, 0 to 1: the mean over the traces that were offered.
    pub ratio: f64,
    /// A boost had raised it, at least for a while.
    pub boosted: bool,
    /// What changed it notably: `load`, `calm`, `budget`, `boost`, each once.
    pub changed_by: Vec<&'static str>,
}

/// Notable changes, by what made them; the counters `tracelift.adaptive.changes.*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// More traces were offered.
    pub load: u64,
    /// Fewer were.
    pub calm: u64,
    /// Upgrades, or what was spent before, left more or less.
    pub budget: u64,
    /// Raised for failures, and taken back.
    pub boost: u64,
}

/// What the filter would log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Seconds since the first request.
    pub at_s: f64,
    /// Whose Envoy, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What happened.
    pub what: &'static str,
    /// The ratio in force from then on, 0 to 1.
    pub ratio: f64,
    /// Traces offered a second.
    pub offered: f64,
}

/// Seconds that a point of so long a time stands for.
pub(super) fn step_s(seconds: f64) -> f64 {
    let days = (seconds / POINTS / 86_400.0).ceil() * 86_400.0;
    STEPS_S.into_iter().find(|step| seconds <= POINTS * step).unwrap_or(days)
}

impl Adaptive {
    /// Takes what a step has changed. `mark`: the words for the point in which it was.
    pub(super) fn note(&mut self, step: &Step, at_s: f64, service: Option<&str>, mark: &mut Vec<&'static str>) {
        let Changes { load, calm, budget, boost } = &mut self.changes;
        let cause = step.cause.map(|cause| match cause {
            Cause::Load => (load, "load"),
            Cause::Calm => (calm, "calm"),
            Cause::Budget => (budget, "budget"),
        });
        let turned = step.boost.map(|_| (boost, "boost"));
        for (count, word) in cause.into_iter().chain(turned) {
            *count += 1;
            if !mark.contains(&word) {
                mark.push(word);
            }
        }
        let bound = step.bound.map(|change| match change {
            BoundChange::Hit(Bound::Min) => "min_ratio wins: more is kept than the target allows",
            BoundChange::Hit(Bound::Max) => "max_ratio wins: less is kept than the target allows",
            BoundChange::Left(..) => "the target is met again",
        });
        let turn = step.boost.and_then(|turn| match turn {
            Turn::Begins => Some("a boost begins: more requests than usual fail"),
            Turn::Halves => None,
            Turn::Ends => Some("the boost has ended"),
        });
        for what in bound.into_iter().chain(turn) {
            if LISTED <= self.events.len() {
                self.more_events += 1;
                continue;
            }
            let service = service.map(str::to_owned);
            self.events.push(Event { at_s, service, what, ratio: step.ratio, offered: step.load });
        }
    }
}

impl Point {
    /// Several as one.
    pub fn merged(points: &[Self]) -> Self {
        let seconds: f64 = points.iter().map(|point| point.seconds).sum();
        let mean = |of: fn(&Self) -> f64| points.iter().map(|point| of(point) * point.seconds).sum::<f64>() / seconds;
        let offered = mean(|point| point.offered);
        let by_rate = mean(|point| point.offered * point.ratio);
        let mut changed_by = Vec::new();
        for word in points.iter().flat_map(|point| &point.changed_by) {
            if !changed_by.contains(word) {
                changed_by.push(word);
            }
        }
        Self {
            at_s: points.first().map_or(0.0, |point| point.at_s),
            seconds,
            offered,
            kept: mean(|point| point.kept),
            paid_first: mean(|point| point.paid_first),
            ratio: if 0.0 < offered { by_rate / offered } else { mean(|point| point.ratio) },
            boosted: points.iter().any(|point| point.boosted),
            changed_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_144_points_at_most_and_none_shorter_than_an_interval() {
        for (seconds, step) in [(1.0, 5.0), (720.0, 5.0), (721.0, 10.0), (86_400.0, 600.0), (30.0 * 86_400.0, 43_200.0)]
        {
            assert_eq!(step_s(seconds), step, "{seconds}");
        }
        assert_eq!(step_s(365.0 * 86_400.0), 3.0 * 86_400.0);
    }

    #[test]
    fn points_are_merged_by_their_time_and_ratios_by_what_was_offered() {
        let point = |seconds, offered, ratio, word| Point {
            seconds,
            offered,
            ratio,
            kept: offered * ratio,
            changed_by: vec![word],
            ..Point::default()
        };
        let merged = Point::merged(&[point(10.0, 100.0, 0.1, "load"), point(30.0, 20.0, 0.5, "load")]);
        assert_eq!((merged.seconds, merged.offered, merged.kept), (40.0, 40.0, 10.0));
        assert!((merged.ratio - 0.25).abs() < 1e-12);
        assert_eq!(merged.changed_by, ["load"]);
    }
}
