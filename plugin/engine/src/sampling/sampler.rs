//! One ratio, compiled once for one algorithm.

use super::compatible::{HashSeed, Modulo, TraceIdRatio};
use super::threshold::{Randomness, RatioError, Threshold};
use crate::trace_context::TraceId;

/// How a ratio becomes a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// R >= T in 56 bits; writes `th`. OTel "TraceState: Probability Sampling". The default, and the only one that nests
    /// with every other hop of a mesh.
    #[default]
    Consistent,
    /// `TraceIdRatioBased` as the Go and Rust SDKs compute it. Nests with itself only.
    TraceIdRatio,
    /// `trace_id % 100 < int(ratio * 100)`: whole percents, the product truncated.
    Modulo,
    /// The collector's `probabilistic_sampler` in `hash_seed` mode, with its seed.
    HashSeed {
        /// The collector's `hash_seed`.
        seed: u32,
    },
}

/// A ratio ready to decide; holds no float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler(Rule);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Never,
    Consistent(Threshold),
    TraceIdRatio(TraceIdRatio),
    Modulo(Modulo),
    HashSeed(HashSeed),
}

/// What a sampler says about one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The trace is recorded and exported.
    pub keep: bool,
    /// The probability behind it, as a threshold that R satisfies. `None` when dropped, and for every algorithm but
    /// `consistent`: theirs is a probability of something else than R. That holds at ratio 1 as well: a `hash_seed`
    /// collector, whose users choose that algorithm, refuses spans that carry a `th`.
    pub threshold: Option<Threshold>,
}

impl Sampler {
    /// `ratio` is 0 (never) to 1 (always). `Consistent` refuses what is above 0 and below 2^-56, since no threshold means
    /// it; the others take it and keep nothing or next to nothing, as their originals do.
    pub fn new(algorithm: Algorithm, ratio: f64) -> Result<Self, RatioError> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(RatioError::OutOfRange);
        }
        if ratio == 0.0 {
            return Ok(Self(Rule::Never));
        }
        Ok(Self(match algorithm {
            Algorithm::Consistent => Rule::Consistent(Threshold::from_ratio(ratio)?),
            Algorithm::TraceIdRatio => Rule::TraceIdRatio(TraceIdRatio::new(ratio)),
            Algorithm::Modulo => Rule::Modulo(Modulo::new(ratio)),
            Algorithm::HashSeed { seed } => Rule::HashSeed(HashSeed::new(seed, ratio)),
        }))
    }

    /// The share of random traces that is kept, 0 to 1, after all rounding.
    pub fn share(&self) -> f64 {
        match self.0 {
            Rule::Never => 0.0,
            Rule::Consistent(threshold) => threshold.probability(),
            Rule::TraceIdRatio(rule) => rule.share(),
            Rule::Modulo(rule) => rule.share(),
            Rule::HashSeed(rule) => rule.share(),
        }
    }

    /// The threshold by which it decides; `None` for ratio 0 and for every algorithm but `consistent`.
    pub const fn threshold(&self) -> Option<Threshold> {
        match self.0 {
            Rule::Consistent(threshold) => Some(threshold),
            _ => None,
        }
    }

    /// It decides by the trace-id itself, whatever R is.
    pub const fn reads_trace_id(&self) -> bool {
        matches!(self.0, Rule::TraceIdRatio(_) | Rule::Modulo(_) | Rule::HashSeed(_))
    }

    /// Decides one trace: the same answer for the same arguments, everywhere.
    pub fn sample(&self, trace_id: TraceId, randomness: Randomness) -> Verdict {
        let keep = match self.0 {
            Rule::Never => false,
            Rule::Consistent(threshold) => threshold.keeps(randomness),
            Rule::TraceIdRatio(rule) => rule.keeps(trace_id),
            Rule::Modulo(rule) => rule.keeps(trace_id),
            Rule::HashSeed(rule) => rule.keeps(trace_id),
        };
        let threshold = match self.0 {
            Rule::Consistent(threshold) if keep => Some(threshold),
            _ => None,
        };
        Verdict { keep, threshold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [Algorithm; 4] =
        [Algorithm::Consistent, Algorithm::TraceIdRatio, Algorithm::Modulo, Algorithm::HashSeed { seed: 7 }];

    fn sample(sampler: Sampler, id: u128) -> Verdict {
        let id = TraceId::from_u128(id).unwrap();
        sampler.sample(id, Randomness::from_trace_id(id))
    }

    #[test]
    fn ratio_zero_keeps_nothing_and_ratio_one_keeps_everything() {
        for algorithm in ALGORITHMS {
            let (never, always) = (Sampler::new(algorithm, 0.0).unwrap(), Sampler::new(algorithm, 1.0).unwrap());
            for id in [1, 99, 100, u128::from(u64::MAX), 1 << 64, u128::MAX - 55, u128::MAX] {
                assert_eq!(sample(never, id), Verdict { keep: false, threshold: None }, "{algorithm:?} {id:x}");
                assert!(sample(always, id).keep, "{algorithm:?} {id:x}");
            }
        }
    }

    #[test]
    fn only_the_consistent_algorithm_knows_a_threshold_and_only_when_it_keeps() {
        for algorithm in ALGORITHMS {
            let sampler = Sampler::new(algorithm, 0.5).unwrap();
            for id in (1..2000u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)) {
                let verdict = sample(sampler, id);
                let wanted =
                    (verdict.keep && algorithm == Algorithm::Consistent).then(|| Threshold::parse(b"8").unwrap());
                assert_eq!(verdict.threshold, wanted, "{algorithm:?}");
            }
        }
    }

    #[test]
    fn the_share_is_the_ratio_as_near_as_the_algorithm_gets_to_it() {
        for (algorithm, share) in ALGORITHMS.into_iter().zip([0.2929, 0.293, 0.29, 0.293]) {
            for (ratio, share) in [(0.0, 0.0), (0.293, share), (1.0, 1.0)] {
                let found = Sampler::new(algorithm, ratio).unwrap().share();
                assert!((found - share).abs() < 1e-3, "{algorithm:?} {ratio}: {found}");
            }
        }
    }

    #[test]
    fn a_ratio_too_small_for_a_threshold_is_refused_by_the_consistent_algorithm_only() {
        for algorithm in ALGORITHMS {
            let result = Sampler::new(algorithm, 1e-18).err();
            assert_eq!(result, (algorithm == Algorithm::Consistent).then_some(RatioError::TooSmall), "{algorithm:?}");
        }
    }

    #[test]
    fn no_algorithm_takes_what_is_no_ratio() {
        for algorithm in ALGORITHMS {
            for ratio in [-0.1, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(Sampler::new(algorithm, ratio), Err(RatioError::OutOfRange), "{algorithm:?} {ratio}");
            }
        }
    }
}
