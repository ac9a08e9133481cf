//! Stories in which the rate steers itself: what the traffic does, and when.

use crate::options::Scenario;
use serde_json::{Value, json};
use std::time::Duration;

/// Traces a second that the gateway may keep while a story runs.
pub const TARGET: f64 = 6.0;
/// The ratio that holds until the first interval is over: about what calm traffic settles at.
const FIRST_RATIO: f64 = 0.2;
/// The highest ratio of a boost.
const BOOSTED: f64 = 0.5;
/// Shorter than the default, so that a story has an end.
const HOLD_S: u64 = 15;
/// Likewise.
const COOLDOWN_S: u64 = 60;
/// Requests that a share of failures is taken of: as many as come in an interval or two.
const MIN_REQUESTS: u64 = 150;

/// What comes to the gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Requests a second.
    pub rate: f64,
    /// Share of requests with a fault, 0 to 1.
    pub failures: f64,
    /// Share of requests for which the catalog is slow, 0 to 1.
    pub slow: f64,
}

/// A part of a story.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// In a word.
    pub name: &'static str,
    /// How long it lasts.
    pub seconds: u64,
    /// What comes in it.
    pub traffic: Traffic,
}

const fn phase(name: &'static str, seconds: u64, rate: f64, failures: f64, slow: f64) -> Phase {
    Phase { name, seconds, traffic: Traffic { rate, failures, slow } }
}

/// Six times the load. What fails stays below the target at either.
const LOAD_STEP: [Phase; 3] =
    [phase("calm", 45, 20.0, 0.02, 0.0), phase("load", 45, 120.0, 0.02, 0.0), phase("calm again", 45, 20.0, 0.02, 0.0)];
/// A boost knows what is usual after a minute and a thousand requests.
const OUTAGE: [Phase; 3] =
    [phase("calm", 80, 40.0, 0.0, 0.0), phase("outage", 40, 40.0, 0.1, 0.0), phase("calm again", 50, 40.0, 0.0, 0.0)];
/// What is usual for a route is known after a thousand requests of it.
const SLOW: [Phase; 3] =
    [phase("learning", 30, 80.0, 0.0, 0.0), phase("slow", 30, 30.0, 0.0, 0.1), phase("calm again", 5, 30.0, 0.0, 0.0)];

impl Scenario {
    /// Its parts, in their order.
    pub fn phases(self) -> &'static [Phase] {
        match self {
            Self::LoadStep => &LOAD_STEP,
            Self::Outage => &OUTAGE,
            Self::Slow => &SLOW,
        }
    }

    /// The part that runs after so long; none when the story is over.
    pub fn at(self, elapsed: Duration) -> Option<&'static Phase> {
        let mut left = elapsed.as_secs_f64();
        self.phases().iter().find(|phase| {
            let is_now = left < phase.seconds as f64;
            left -= phase.seconds as f64;
            is_now
        })
    }

    /// From the beginning of the story to the beginning and the end of the part of that name.
    pub fn span_of(self, name: &str) -> Option<(f64, f64)> {
        let mut begins = 0.0;
        for phase in self.phases() {
            let ends = begins + phase.seconds as f64;
            if phase.name == name {
                return Some((begins, ends));
            }
            begins = ends;
        }
        None
    }

    /// What it puts into the gateway's `sampling`, beside the rules that are there.
    pub fn steer(self, sampling: &mut Value) {
        sampling["ratio"] = FIRST_RATIO.into();
        sampling["target"] = json!({ "traces_per_second": TARGET });
        sampling["boost"] = match self {
            Self::Outage => json!({
                "max_ratio": BOOSTED, "hold_s": HOLD_S, "cooldown_s": COOLDOWN_S, "min_requests": MIN_REQUESTS,
            }),
            Self::LoadStep | Self::Slow => json!({}),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_goes_through_its_parts_and_ends() {
        let at = |seconds| Scenario::LoadStep.at(Duration::from_secs(seconds)).map(|phase| phase.name);
        assert_eq!(
            [0, 44, 45, 89, 90, 134, 135].map(at),
            [Some("calm"), Some("calm"), Some("load"), Some("load"), Some("calm again"), Some("calm again"), None]
        );
        assert_eq!(Scenario::LoadStep.span_of("load"), Some((45.0, 90.0)));
        assert_eq!(Scenario::LoadStep.span_of("slow"), None);
    }

    #[test]
    fn what_fails_stays_below_the_target_so_that_there_is_something_left_to_steer() {
        for scenario in [Scenario::LoadStep, Scenario::Outage, Scenario::Slow] {
            for Phase { traffic: Traffic { rate, failures, slow }, .. } in scenario.phases() {
                assert!(0.9 * rate * (failures + slow) < TARGET, "{scenario:?}");
            }
        }
    }
}
