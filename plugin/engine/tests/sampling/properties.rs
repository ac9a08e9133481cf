//! Laws that hold for every ratio, trace and request.

use proptest::prelude::*;
use tracelift::sampling::{
    Algorithm, ExportClass, Mode, Parent, Policy, Randomness, Reason, RequestFacts, RequestMatcher, Rule, Sampler,
    Steps, StringMatcher, Threshold, decide, exported_th,
};
use tracelift::trace_context::{ThEdit, TraceId};

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::Consistent),
        Just(Algorithm::TraceIdRatio),
        Just(Algorithm::Modulo),
        any::<u32>().prop_map(|seed| Algorithm::HashSeed { seed }),
    ]
}

/// Every order of magnitude that a threshold can express, the neighbours of both ends, and where the precision changes.
fn ratio() -> impl Strategy<Value = f64> {
    let near_a_power = (0..=13i32, -3..=3i64, any::<bool>()).prop_map(|(power, ulps, complement)| {
        let exact = 16f64.powi(-power);
        let ratio = f64::from_bits(exact.to_bits().saturating_add_signed(ulps));
        if complement { 1.0 - ratio } else { ratio }
    });
    let any_magnitude = (0.0..56.0f64).prop_map(|exponent| (-exponent).exp2());
    prop_oneof![0.0..=1.0f64, any_magnitude, near_a_power]
        .prop_filter("a ratio with a threshold", |ratio| (2f64.powi(-56)..=1.0).contains(ratio))
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1..=u128::MAX).prop_map(|id| TraceId::from_u128(id).unwrap())
}

fn threshold() -> impl Strategy<Value = Threshold> {
    (0..1u64 << 56).prop_map(|bits| Threshold::from_bits(bits).unwrap())
}

fn sampler(algorithm: Algorithm, ratio: f64) -> Sampler {
    Sampler::new(algorithm, ratio).unwrap()
}

prop_compose! {
    /// A policy of two rules, the second without a ratio of its own.
    fn policy()(
        independent in any::<bool>(),
        fallback in (algorithm(), prop_oneof![Just(0.0), Just(1.0), ratio()]),
        own in (algorithm(), prop_oneof![Just(0.0), Just(1.0), ratio()]),
    ) -> Policy {
        let rule = |sampler| Rule {
            name: String::new(), matcher: RequestMatcher::default(), sampler, upgrade: true, latency_ms: None,
            metrics: true,
        };
        Policy {
            mode: if independent { Mode::Independent } else { Mode::ParentBased },
            fallback: sampler(fallback.0, fallback.1),
            pace: None,
            rules: vec![rule(Some(sampler(own.0, own.1))), rule(None)],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_a_ratio_keeps_every_larger_ratio_keeps(
        algorithm in algorithm(), one in ratio(), other in ratio(), id in trace_id(), rv in any::<Option<u64>>(),
    ) {
        let (low, high) = (one.min(other), one.max(other));
        let randomness = rv.map_or_else(|| Randomness::from_trace_id(id), Randomness::from_rv);
        let (rare, often) = (sampler(algorithm, low), sampler(algorithm, high));
        prop_assert!(!rare.sample(id, randomness).keep || often.sample(id, randomness).keep);
    }

    #[test]
    fn thresholds_nest_at_every_precision(one in ratio(), other in ratio(), digits in 1..=14usize) {
        let (low, high) = (one.min(other), one.max(other));
        let rejected = |ratio| Threshold::from_ratio_with_digits(ratio, digits).unwrap();
        prop_assert!(rejected(high) <= rejected(low), "{:?} {:?}", rejected(low), rejected(high));
    }

    #[test]
    fn four_digits_are_within_an_eighth_of_a_thousandth_of_the_ratio(ratio in ratio()) {
        let kept = Threshold::from_ratio(ratio).unwrap().probability();
        let resolution = 2f64.powi(-57); // Half of the smallest step of a threshold: all that counts near 2^-56.
        prop_assert!((kept - ratio).abs() <= ratio / 8000.0 + resolution, "{ratio} became {kept}");
    }

    #[test]
    fn a_th_that_is_written_can_be_read(threshold in threshold()) {
        let text = format!("{:014x}", threshold.bits());
        prop_assert_eq!(Threshold::parse(text.as_bytes()), Ok(threshold));
    }

    #[test]
    fn a_trace_that_is_not_sampled_never_has_a_th_and_one_that_has_satisfies_it(
        policy in policy(), rule in prop_oneof![Just(None), (0..4u16).prop_map(Some)],
        parent in proptest::option::of((any::<bool>(), proptest::option::of(threshold()))),
        id in trace_id(), rv in any::<Option<u64>>(),
    ) {
        let parent = parent.map(|(sampled, threshold)| Parent { sampled, threshold });
        let randomness = rv.map_or_else(|| Randomness::from_trace_id(id), Randomness::from_rv);
        let decision = decide(&policy, (rule, None), parent.as_ref(), id, randomness);
        if !decision.sampled {
            prop_assert_eq!((decision.threshold, decision.th), (None, ThEdit::Erase));
        }
        if let Some(threshold) = decision.threshold {
            prop_assert!(threshold.keeps(randomness));
        }
        match decision.th {
            ThEdit::Set(bits) => prop_assert_eq!(decision.threshold.map(Threshold::bits), Some(bits)),
            ThEdit::Keep => prop_assert_eq!(decision.threshold, parent.and_then(|parent| parent.threshold)),
            ThEdit::Erase => prop_assert_eq!(decision.threshold, None),
        }
        prop_assert!(!decision.inconsistent || (decision.sampled && decision.reason == Reason::Parent));
    }

    #[test]
    fn a_parents_flag_has_authority_over_every_ratio_and_rule(
        mut policy in policy(), rule in prop_oneof![Just(None), (0..4u16).prop_map(Some)],
        sampled in any::<bool>(), threshold in proptest::option::of(threshold()), id in trace_id(),
    ) {
        policy.mode = Mode::ParentBased;
        let parent = Parent { sampled, threshold };
        let decision = decide(&policy, (rule, None), Some(&parent), id, Randomness::from_trace_id(id));
        prop_assert_eq!((decision.sampled, decision.reason), (sampled, Reason::Parent));
    }

    #[test]
    fn an_exported_span_never_counts_for_more_than_its_head_decision(
        policy in policy(), sampled in any::<bool>(), threshold in proptest::option::of(threshold()), id in trace_id(),
    ) {
        let parent = Parent { sampled, threshold };
        let decision = decide(&policy, (None, None), Some(&parent), id, Randomness::from_trace_id(id));
        for class in [ExportClass::Head, ExportClass::KeptWhole, ExportClass::Signalled] {
            if let (Some(head), Some(exported)) = (decision.threshold, decision.exported_threshold(class)) {
                prop_assert!(exported <= head);
            }
            if let ThEdit::Set(bits) = exported_th(&decision, class) {
                prop_assert_eq!(decision.exported_threshold(class).map(Threshold::bits), Some(bits));
            }
        }
    }

    #[test]
    fn no_bytes_of_a_client_upset_a_rule(
        path in any::<Vec<u8>>(), method in any::<Vec<u8>>(), host in "[\\[\\]:a-zA-Z.]{0,8}",
        headers in proptest::collection::vec(("[ab]", any::<Vec<u8>>()), 0..4), wanted in "\\PC{0,4}",
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let facts = RequestFacts { path: &path, method: &method, host: host.as_bytes(), headers: &headers };
        let kinds = [StringMatcher::Exact, StringMatcher::Prefix, StringMatcher::Suffix, StringMatcher::Contains];
        for kind in kinds {
            let matcher = RequestMatcher {
                path: Some(kind(wanted.clone())),
                host: Some(kind(wanted.clone())),
                headers: vec![("a".into(), kind(wanted.clone()))],
                ..RequestMatcher::default()
            };
            let rule = Rule { name: String::new(), matcher, sampler: None, upgrade: true, latency_ms: None, metrics: true };
            let policy = Policy { mode: Mode::Independent, fallback: sampler(Algorithm::Consistent, 1.0), pace: None, rules: vec![rule] };
            let found = policy.first_match(&facts, &mut Steps::default());
            prop_assert!(found.is_none() || headers.iter().any(|(name, _)| name == b"a"));
        }
    }
}

/// SplitMix64: the same ids in every run.
fn ids(mut seed: u64) -> impl Iterator<Item = TraceId> {
    let mut next = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(mixed ^ (mixed >> 31))
    };
    std::iter::from_fn(move || Some(TraceId::from_u128((next() << 64) | next()))).flatten() // Zero is no id.
}

#[test]
fn the_share_kept_is_the_ratio_within_binomial_bounds() {
    const TRACES: u32 = 100_000;
    let algorithms =
        [Algorithm::Consistent, Algorithm::TraceIdRatio, Algorithm::Modulo, Algorithm::HashSeed { seed: 22 }];
    for algorithm in algorithms {
        for (seed, ratio) in [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.99].into_iter().enumerate() {
            let sampler = sampler(algorithm, ratio);
            let sample = |id: &TraceId| sampler.sample(*id, Randomness::from_trace_id(*id)).keep;
            let kept = ids(seed as u64).take(TRACES as usize).filter(sample).count() as f64;
            let (mean, deviation) = (f64::from(TRACES) * ratio, (f64::from(TRACES) * ratio * (1.0 - ratio)).sqrt());
            assert!((kept - mean).abs() < 4.0 * deviation, "{algorithm:?} kept {kept} instead of {mean} at {ratio}");
        }
    }
}

#[test]
fn adjusted_counts_of_the_kept_add_up_to_all() {
    const TRACES: u32 = 200_000;
    let rule = sampler(Algorithm::Consistent, 0.05);
    let verdicts = ids(5).take(TRACES as usize).map(|id| rule.sample(id, Randomness::from_trace_id(id)));
    let estimate: f64 = verdicts.filter_map(|verdict| verdict.threshold).map(Threshold::adjusted_count).sum();
    let relative_deviation = (0.95 / 0.05 / f64::from(TRACES)).sqrt();
    assert!((estimate / f64::from(TRACES) - 1.0).abs() < 4.0 * relative_deviation, "{estimate}");
}
