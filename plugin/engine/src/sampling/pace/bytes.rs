//! The state as workers share it: the fingerprint of its settings, numbers, and sixteen bytes a rate, little-endian.

use super::alarm::Alarm;
use super::boost::Boost;
use super::bound::Bounds;
use super::settings::Settings;
use super::state::{Announced, Pace, Rate, seconds};

/// Bytes of a rate.
const RATE: usize = 16;
/// Numbers besides.
const NUMBERS: usize = 38;
/// Seconds after which a state is not in use any more.
const IN_USE_S: f64 = 60.0;

impl Pace {
    /// The state of these settings; `None` where the bytes are of others, or of none.
    pub fn read(settings: &Settings, mut bytes: &[u8]) -> Option<Self> {
        if u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?) != settings.fingerprint() {
            return None;
        }
        let mut pace = Self::new(settings, 0);
        for number in pace.numbers() {
            *number = f64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?);
            if number.is_nan() {
                return None;
            }
        }
        for rate in &mut pace.rates {
            let mut word = || bytes.split_off(..4)?.first_chunk::<4>().copied();
            let offered = u32::from_le_bytes(word()?);
            let mut number = || word().map(f32::from_le_bytes);
            *rate = Rate { offered, mean: number()?, ratio: number()?, whole: number()? };
            let is_ratio = |ratio: f32| (0.0..=1.0).contains(&ratio);
            if !rate.mean.is_finite() || !is_ratio(rate.ratio) || !is_ratio(rate.whole) {
                return None;
            }
        }
        bytes.is_empty().then_some(pace)
    }

    /// Whether bytes that are of no settings of ours are of others that were in use within the last minute. `now` in nanoseconds.
    pub fn is_in_use(bytes: &[u8], now: u64) -> bool {
        let began = bytes.get(8..).and_then(<[u8]>::first_chunk).copied().map(f64::from_le_bytes);
        began.is_some_and(|began| (seconds(now) - began).abs() < IN_USE_S)
    }

    /// The state as bytes.
    pub fn write(&mut self, settings: &Settings) -> Vec<u8> {
        let numbers = self.numbers();
        let mut bytes = Vec::with_capacity(8 + 8 * numbers.len() + RATE * settings.rates);
        bytes.extend_from_slice(&settings.fingerprint().to_le_bytes());
        numbers.into_iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        for Rate { offered, mean, ratio, whole } in &self.rates {
            bytes.extend_from_slice(&offered.to_le_bytes());
            [mean, ratio, whole].into_iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
        bytes
    }

    /// All numbers but those of rates, in the order in which they are written.
    fn numbers(&mut self) -> [&mut f64; NUMBERS] {
        let Self { began, steps, expected, others, others_mean, credit, budget, hurries, scatter, .. } = self;
        let [last, before] = &mut self.loads;
        let Bounds { wins, logged, left, again } = &mut self.bounds;
        let Announced { ratio, budget: announced, load } = &mut self.announced;
        let Boost { times, until } = &mut self.boost;
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8] = alarm(&mut self.failures);
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8] = alarm(&mut self.slow);
        [
            began,
            steps,
            expected,
            others,
            others_mean,
            credit,
            budget,
            hurries,
            last,
            before,
            scatter,
            wins,
            logged,
            left,
            again,
            ratio,
            announced,
            load,
            times,
            until,
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            a8,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
            b8,
        ]
    }
}

fn alarm(alarm: &mut Alarm) -> [&mut f64; 9] {
    let Alarm { requests, wrong, began, seconds, learned, learned_wrong, variance, running, share } = alarm;
    [requests, wrong, began, seconds, learned, learned_wrong, variance, running, share]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BoostSettings, Sums, TargetSettings};
    use super::*;

    fn settings(per_second: f64, rates: usize) -> Settings {
        let target = TargetSettings { per_second, carries: true, min_ratio: 0.0001, max_ratio: 1.0 };
        let boost = BoostSettings { max_ratio: 0.5, hold_s: 60.0, cooldown_s: 300.0, min_requests: 200.0 };
        Settings { ratio: 0.05, target: Some(target), boost: Some(boost), rates }
    }

    #[test]
    fn what_is_written_is_read_by_the_same_settings_alone() {
        let settings_of_two = settings(20.0, 2);
        let mut pace = Pace::new(&settings_of_two, 7_000_000_000);
        pace.add(&Sums { offered: vec![70_000, 30], expected: 3_501.5, requests: 9, failed: 2, ..Sums::default() });
        assert!(pace.step(&settings_of_two, 13_000_000_000).is_some());
        pace.add(&Sums { offered: vec![5, 6], expected: 1.0, others: 3, timed: 8, slow: 1, ..Sums::default() });
        let bytes = pace.write(&settings_of_two);
        assert_eq!(bytes.len(), 8 + NUMBERS * 8 + 2 * RATE);
        assert_eq!(Pace::read(&settings_of_two, &bytes), Some(pace));
        for (at, in_use) in [(13, true), (72, true), (74, false)] {
            assert_eq!(Pace::is_in_use(&bytes, at * 1_000_000_000), in_use, "second {at}");
        }
        assert!(!Pace::is_in_use(&[], 0));
        assert_eq!(Pace::read(&settings(21.0, 2), &bytes), None);
        assert_eq!(Pace::read(&settings(20.0, 3), &bytes), None);
        assert_eq!(Pace::read(&settings_of_two, &bytes[1..]), None);
        assert_eq!(Pace::read(&settings_of_two, &bytes[..bytes.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_fatal(mut bytes in prop::collection::vec(any::<u8>(), NUMBERS * 8 + 2 * RATE), now in any::<u64>()) {
            let settings = settings(20.0, 2);
            let mut whole = settings.fingerprint().to_le_bytes().to_vec();
            whole.append(&mut bytes);
            if let Some(mut pace) = Pace::read(&settings, &whole) {
                pace.add(&Sums { offered: vec![u32::MAX; 2], expected: 1e9, ..Sums::default() });
                let _ = pace.step(&settings, now);
                for rate in 0..3 {
                    prop_assert!((0.0..=1.0).contains(&pace.ratio(&settings, rate)));
                }
            }
        }
    }
}
