//! The rate of a story, for the page.

use crate::mesh::Counted;
use crate::options::Scenario;
use crate::reading::{PerSecond, Reading};
use crate::scenario::{Phase, TARGET};
use clap::ValueEnum;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Readings that are remembered, one a second.
const REMEMBERED: usize = 300;
/// Readings that a point of the curve looks back over: single seconds scatter.
const OVER: usize = 5;

/// A story that runs, or has run: the head follows its target until somebody sets a ratio.
#[derive(Debug)]
pub struct Story {
    scenario: Scenario,
    /// None: it is over.
    phase: Option<&'static Phase>,
    began: Instant,
    readings: VecDeque<Reading>,
}

/// What the page shows of it.
#[derive(Clone, Debug, Serialize)]
pub struct StoryView {
    /// Its name, as on the command line.
    pub name: String,
    /// The part that runs; none when it is over.
    pub phase: Option<&'static str>,
    /// Traces a second that the gateway may keep.
    pub target: f64,
    /// Times that a boost changed the ratio.
    pub boosts: u64,
    /// The curve, a point a second.
    pub points: Vec<PerSecond>,
}

impl Story {
    /// Begins.
    pub fn new(scenario: Scenario, began: Instant) -> Self {
        Self { scenario, phase: None, began, readings: VecDeque::new() }
    }

    /// Another part runs, or none.
    pub fn turn(&mut self, phase: Option<&'static Phase>) {
        self.phase = phase;
    }

    /// The counters were read.
    pub fn read(&mut self, now: Instant, counted: &BTreeMap<String, Counted>) {
        let at_s = now.saturating_duration_since(self.began).as_secs_f64();
        self.readings.push_back(Reading::of(at_s, counted));
        if REMEMBERED < self.readings.len() {
            self.readings.pop_front();
        }
    }

    /// The ratio in force, once it is known.
    pub fn in_force(&self) -> Option<f64> {
        self.readings.back().map(|last| last.in_force).filter(|ratio| 0.0 < *ratio)
    }

    /// This moment.
    pub fn view(&self) -> StoryView {
        let name = self.scenario.to_possible_value().map(|value| value.get_name().to_owned());
        let earlier = self.readings.iter();
        let points = earlier.zip(self.readings.iter().skip(OVER)).map(|(before, now)| now.since(before)).collect();
        let boosts = |reading: Option<&Reading>| reading.map_or(0, |reading| reading.boosts);
        StoryView {
            name: name.unwrap_or_default(),
            phase: self.phase.map(|phase| phase.name),
            target: TARGET,
            boosts: boosts(self.readings.back()).saturating_sub(boosts(self.readings.front())),
            points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::GATEWAY;
    use std::time::Duration;

    #[test]
    fn the_curve_has_a_point_a_second_and_is_bounded() {
        let began = Instant::now();
        let mut story = Story::new(Scenario::LoadStep, began);
        assert_eq!(story.in_force(), None);
        for second in 0..400_u64 {
            let mut counted = Counted { in_force: 0.1, ..Counted::default() };
            counted.dropped.insert("adaptive".to_owned(), 20 * second);
            story.read(began + Duration::from_secs(second), &BTreeMap::from([(GATEWAY.to_owned(), counted)]));
        }
        let view = story.view();
        assert_eq!((view.name.as_str(), view.phase, view.points.len()), ("load-step", None, REMEMBERED - OVER));
        assert!(view.points.iter().all(|point| (point.offered - 20.0).abs() < 1e-9));
        assert_eq!(story.in_force(), Some(0.1));
    }
}
