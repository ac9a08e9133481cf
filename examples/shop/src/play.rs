//! A story as it runs: when which part of it begins.

use crate::options::Scenario;
use crate::scenario::Phase;
use std::time::Instant;

/// A story that has begun.
#[derive(Debug)]
pub struct Play {
    /// Which.
    pub scenario: Scenario,
    /// When.
    pub began: Instant,
    phase: Option<&'static Phase>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// Another part.
    To(&'static Phase),
    /// The story is over.
    Over,
}

impl Play {
    /// Its first part is still to come.
    pub fn new(scenario: Scenario, began: Instant) -> Self {
        Self { scenario, began, phase: None }
    }

    /// What has changed by now, if anything has. After [`Turn::Over`] nothing does.
    pub fn turn(&mut self, now: Instant) -> Option<Turn> {
        let phase = self.scenario.at(now.saturating_duration_since(self.began));
        if phase == self.phase {
            return None;
        }
        self.phase = phase;
        Some(phase.map_or(Turn::Over, Turn::To))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_part_is_told_once_and_so_is_the_end() {
        let began = Instant::now();
        let mut play = Play::new(Scenario::Slow, began);
        let mut turns = Vec::new();
        for second in 0..100 {
            turns.extend(play.turn(began + Duration::from_secs(second)).map(|turn| match turn {
                Turn::To(phase) => (second, phase.name),
                Turn::Over => (second, "over"),
            }));
        }
        assert_eq!(turns, [(0, "learning"), (30, "slow"), (60, "calm again"), (65, "over")]);
    }
}
