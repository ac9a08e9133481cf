//! Workers of one process, each with a tick of its own, and what they keep of the traffic.

use tracelift::sampling::pace::{BoostSettings, Pace, Settings, Step, Sums, TargetSettings};

use crate::chance::Chance;

/// Nanoseconds between two ticks of a worker.
const TICK: u64 = 1_000_000_000;
/// The clock at the beginning.
const START: u64 = 1_800_000_000_000_000_000;

/// Requests of one route in a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Traces that the rate decides, on the mean.
    pub offered: f64,
    /// Share that fails.
    pub failing: f64,
    /// Traces that something else keeps, on the mean.
    pub others: f64,
}

/// What became of one second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// Traces that were offered.
    pub offered: f64,
    /// Those that the rate kept.
    pub kept: f64,
    /// Sum of their adjusted counts.
    pub estimated: f64,
    /// The variance of that.
    pub variance: f64,
    /// Kept by something else.
    pub others: f64,
}

impl Kept {
    /// The sum of several seconds.
    pub fn sum<'a>(seconds: impl IntoIterator<Item = &'a Self>) -> Self {
        seconds.into_iter().fold(Self::default(), |sum, second| Self {
            offered: sum.offered + second.offered,
            kept: sum.kept + second.kept,
            estimated: sum.estimated + second.estimated,
            variance: sum.variance + second.variance,
            others: sum.others + second.others,
        })
    }

    /// Deviations between estimate and number.
    pub fn z(&self) -> f64 {
        (self.estimated - self.offered) / self.variance.sqrt()
    }
}

/// The world.
pub struct World {
    pub settings: Settings,
    pub chance: Chance,
    shared: Vec<u8>,
    /// What each worker has taken over at its last tick.
    workers: Vec<Pace>,
    now: u64,
    /// The second of each step, and what it was.
    pub steps: Vec<(u64, Step)>,
}

/// A target of so many traces a second.
pub fn target(per_second: f64) -> TargetSettings {
    TargetSettings { per_second, carries: false, min_ratio: 0.0001, max_ratio: 1.0 }
}

/// Settings with one rate and no boost.
pub fn settings(target: TargetSettings) -> Settings {
    Settings { ratio: 0.05, target: Some(target), boost: None, rates: 1 }
}

/// The boost with its defaults.
pub fn boost(max_ratio: f64) -> BoostSettings {
    BoostSettings { max_ratio, hold_s: 60.0, cooldown_s: 300.0, min_requests: 200.0 }
}

impl World {
    /// So many workers, that nothing is known of yet.
    pub fn new(settings: Settings, workers: usize, seed: u64) -> Self {
        let workers = vec![Pace::new(&settings, START); workers];
        Self { settings, chance: Chance(seed), shared: Vec::new(), workers, now: START, steps: Vec::new() }
    }

    /// One second of traffic, route by route.
    pub fn second(&mut self, traffic: &[Second]) -> Vec<Kept> {
        let mut all = vec![Kept::default(); traffic.len()];
        let workers = self.workers.len() as u64;
        for worker in 0..self.workers.len() {
            let mut sums = Sums { offered: vec![0; traffic.len()], ..Sums::default() };
            for (rate, (second, kept)) in traffic.iter().zip(&mut all).enumerate() {
                let ratio = self.workers[worker].ratio(&self.settings, rate);
                let offered = self.chance.poisson(second.offered / workers as f64);
                let by_rate = self.chance.binomial(offered, ratio);
                let others = self.chance.poisson(second.others / workers as f64);
                sums.offered[rate] = offered;
                sums.expected += f64::from(offered) * ratio;
                sums.others += others;
                sums.requests += offered;
                sums.failed += self.chance.binomial(offered, second.failing);
                *kept = Kept::sum([&*kept, &of(offered, by_rate, ratio, others)]);
            }
            // The ticks of workers are spread over the second.
            let at = self.now + TICK * (worker as u64 + 1) / workers;
            self.tick(worker, &sums, at);
        }
        self.now += TICK;
        all
    }

    fn tick(&mut self, worker: usize, sums: &Sums, at: u64) {
        let mut pace = Pace::read(&self.settings, &self.shared).unwrap_or_else(|| Pace::new(&self.settings, at));
        pace.add(sums);
        if let Some(step) = pace.step(&self.settings, at) {
            self.steps.push(((at - START) / TICK, step));
        }
        self.shared = pace.write(&self.settings);
        self.workers[worker] = pace;
    }

    /// So many seconds of traffic of one route.
    pub fn run(&mut self, seconds: u32, traffic: impl Fn(f64) -> Second) -> Vec<Kept> {
        (0..seconds).map(|second| self.second(&[traffic(f64::from(second))])[0]).collect()
    }

    /// The process ends, and another one begins.
    pub fn restart(&mut self) {
        self.shared = Vec::new();
        self.workers.fill(Pace::new(&self.settings, self.now));
    }

    /// What a worker goes by.
    pub fn worker(&self, number: usize) -> &Pace {
        &self.workers[number]
    }
}

fn of(offered: u32, kept: u32, ratio: f64, others: u32) -> Kept {
    let (offered, kept) = (f64::from(offered), f64::from(kept));
    Kept {
        offered,
        kept,
        estimated: if 0.0 < ratio { kept / ratio } else { 0.0 },
        variance: if 0.0 < ratio { offered * (1.0 - ratio) / ratio } else { 0.0 },
        others: f64::from(others),
    }
}

/// A steady second.
pub fn steady(offered: f64) -> Second {
    Second { offered, failing: 0.002, others: 0.0 }
}
