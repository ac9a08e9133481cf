//! What an application does with one request: decided when it starts, by chance, and known to nobody but the simulation.

use std::time::Duration;

use super::options::Odds;
use crate::random::SeededRandom;

/// Below this depth of calls nobody calls any further.
const DEEPEST: u32 = 6;
/// Longer than a route waits.
const SLOW: (Duration, Duration) = (Duration::from_millis(1100), Duration::from_millis(2500));
const THINKING: (Duration, Duration) = (Duration::from_micros(300), Duration::from_millis(15));
const BODY: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(8));

/// One application's part in one request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Groups of calls that run side by side, one group after the other, each after some thinking.
    pub(crate) steps: Vec<Step>,
    /// The last thinking before the answer.
    pub(crate) thinking: Duration,
    /// It fails by itself.
    pub(crate) fails: bool,
    /// It answers well although a call failed.
    pub(crate) swallows: bool,
    /// Its answer breaks off.
    pub(crate) breaks_off: bool,
    /// From the head of its answer to the end.
    pub(crate) body: Duration,
    /// How many calls it makes after its answer.
    pub(crate) after_answer: usize,
    /// It goes on when its caller has left.
    pub(crate) persists: bool,
}

/// Calls that run side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) thinking: Duration,
    pub(crate) calls: usize,
}

impl Script {
    /// `depth` counts calls from the gateway; `storm` says that the service fails whatever it does.
    pub(crate) fn write(random: &mut SeededRandom, odds: &Odds, depth: u32, storm: bool) -> Self {
        let groups = match depth {
            0 => 1 + random.below(2),
            DEEPEST.. => 0,
            _ => random.below(7) / 4, // 0 four times of seven, else 1
        };
        let steps = (0..groups).map(|_| Step {
            thinking: random.between(THINKING.0, THINKING.1),
            calls: 1 + random.below(5) / 2, // 1, 1, 2, 2, 3
        });
        let steps = steps.collect();
        let slow = random.chance(odds.slow);
        let thinking = if slow { SLOW } else { THINKING };
        Self {
            steps,
            thinking: random.between(thinking.0, thinking.1),
            fails: random.chance(odds.fails) || storm && random.chance(0.9),
            swallows: random.chance(odds.swallows),
            breaks_off: random.chance(odds.breaks_off),
            body: if random.chance(0.5) { Duration::ZERO } else { random.between(BODY.0, BODY.1) },
            after_answer: usize::from(random.chance(odds.after_answer)),
            persists: random.chance(0.5),
        }
    }
}
