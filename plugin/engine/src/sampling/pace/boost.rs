//! The boost: by how much the ratio is raised, and for how long.

use super::settings::BoostSettings;

/// By how much it is raised.
const TIMES: f64 = 10.0;

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boost {
    /// What the ratio is multiplied with; 1 where nothing is raised.
    pub times: f64,
    /// Seconds: until then it stays raised, or is not raised again.
    pub until: f64,
}

/// What became of it in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It begins.
    Begins,
    /// It is taken back by half.
    Halves,
    /// It has ended.
    Ends,
}

impl Default for Boost {
    fn default() -> Self {
        Self { times: 1.0, until: f64::NEG_INFINITY }
    }
}

impl Boost {
    /// The ratio is raised.
    pub fn is_on(&self) -> bool {
        1.0 < self.times
    }

    /// What is in force in place of a ratio.
    pub fn raise(&self, settings: &BoostSettings, ratio: f64) -> f64 {
        ratio.max((self.times * ratio).min(settings.max_ratio))
    }

    /// An interval is over. `trouble`: something is unusual.
    pub fn step(&mut self, settings: &BoostSettings, trouble: bool, now: f64) -> Option<Turn> {
        if !self.is_on() {
            if !trouble || now < self.until && self.until <= now + settings.cooldown_s {
                return None; // The second condition: a clock that was set back ends a cooldown.
            }
            *self = Self { times: TIMES, until: now + settings.hold_s };
            return Some(Turn::Begins);
        }
        if trouble && self.times == TIMES {
            self.until = now + settings.hold_s;
        }
        if now < self.until && self.until <= now + settings.hold_s {
            return None;
        }
        self.times *= 0.5;
        if self.is_on() {
            return Some(Turn::Halves);
        }
        *self = Self { times: 1.0, until: now + settings.cooldown_s };
        Some(Turn::Ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BoostSettings =
        BoostSettings { max_ratio: 0.5, hold_s: 60.0, cooldown_s: 300.0, min_requests: 200.0 };

    #[test]
    fn it_is_held_halved_and_cooled_down() {
        let mut boost = Boost::default();
        let mut turns = Vec::new();
        for interval in 0..200_u32 {
            let now = f64::from(interval) * 5.0;
            let trouble = (10..20).contains(&interval) || (60..).contains(&interval);
            if let Some(turn) = boost.step(&SETTINGS, trouble, now) {
                turns.push((interval, turn));
            }
        }
        // The last trouble is in interval 19; 12 intervals later it halves; the cooldown ends 60 intervals after its end.
        let wanted = [
            (10, Turn::Begins),
            (31, Turn::Halves),
            (32, Turn::Halves),
            (33, Turn::Halves),
            (34, Turn::Ends),
            (94, Turn::Begins),
        ];
        assert_eq!(turns, wanted);
    }

    #[test]
    fn the_ratio_is_raised_up_to_the_bound_and_never_lowered() {
        let on = Boost { times: TIMES, until: 0.0 };
        assert_eq!([0.001, 0.2, 0.9].map(|ratio| on.raise(&SETTINGS, ratio)), [0.01, 0.5, 0.9]);
        assert_eq!(Boost::default().raise(&SETTINGS, 0.2), 0.2);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut boost = Boost { times: TIMES, until: 1e6 };
        assert_eq!(boost.step(&SETTINGS, false, 10.0), Some(Turn::Halves));
        let mut cooling = Boost { times: 1.0, until: 1e6 };
        assert_eq!(cooling.step(&SETTINGS, true, 10.0), Some(Turn::Begins));
    }
}
