//! The samplers against the decisions of others: tables made from the specification, the SDKs and the collector.

use crate::support::{cases, randomness_of, text, threshold_of, trace_id_of};
use tracelift::sampling::{Algorithm, Randomness, RatioError, Sampler, Threshold};

fn ratio_of(case: &serde_json::Value, field: &str) -> f64 {
    case[field].as_f64().unwrap_or_else(|| panic!("{field} of {case}"))
}

#[test]
fn a_ratio_becomes_the_th_that_the_collector_writes_at_every_precision() {
    let all = cases("th_rv.json", "encode");
    for case in &all {
        let ratio = ratio_of(case, "probability");
        for digits in [1, 2, 3, 4, 5, 6, 8, 10, 12, 14] {
            let wanted = threshold_of(&case[format!("th_{digits}")]).unwrap();
            assert_eq!(Threshold::from_ratio_with_digits(ratio, digits), Ok(wanted), "{ratio} in {digits} digits");
        }
        let ours = Threshold::from_ratio(ratio).unwrap();
        assert_eq!(Some(ours), threshold_of(&case["th_4"]), "{ratio}");
        assert_eq!(ours.adjusted_count(), ratio_of(case, "adjusted_count_4"), "{ratio}");
        assert_eq!(ours.probability(), ratio_of(case, "effective_probability_4"), "{ratio}");
    }
    assert_eq!(all.len(), 21);
}

#[test]
fn a_ratio_that_no_threshold_expresses_is_refused() {
    for case in cases("th_rv.json", "encode_errors") {
        let ratio = ratio_of(&case, "probability");
        let wanted = if (0.0..=1.0).contains(&ratio) { RatioError::TooSmall } else { RatioError::OutOfRange };
        assert_eq!(Threshold::from_ratio(ratio), Err(wanted), "{ratio}");
    }
}

#[test]
fn a_th_tells_how_many_traces_a_kept_one_stands_for() {
    for case in cases("th_rv.json", "adjusted_count") {
        let threshold = threshold_of(&case["th"]).unwrap();
        assert_eq!(threshold.adjusted_count(), ratio_of(&case, "adjusted_count"), "{case}");
        assert_eq!(threshold.probability(), ratio_of(&case, "probability"), "{case}");
    }
}

#[test]
fn r_from_the_trace_id_or_from_rv_is_compared_with_the_rounded_threshold() {
    for case in cases("th_rv.json", "decisions") {
        let digits = case["precision"].as_u64().unwrap() as usize;
        let threshold = Threshold::from_ratio_with_digits(ratio_of(&case, "probability"), digits).unwrap();
        let randomness = randomness_of(&case["trace_id"], &case["rv"]);
        assert_eq!(Some(threshold), threshold_of(&case["th"]), "{case}");
        assert_eq!(Some(threshold), threshold_of(&case["threshold"]), "{case}");
        assert_eq!(format!("{:014x}", randomness.bits()), text(&case["randomness"]), "{case}");
        assert_eq!(threshold.keeps(randomness), case["sampled"].as_bool().unwrap(), "{case}");
        if digits == 4 {
            let sampler = Sampler::new(Algorithm::Consistent, ratio_of(&case, "probability")).unwrap();
            let verdict = sampler.sample(trace_id_of(&case["trace_id"]), randomness);
            assert_eq!(verdict.keep, case["sampled"].as_bool().unwrap(), "{case}");
            assert_eq!(verdict.threshold, verdict.keep.then_some(threshold), "{case}");
        }
    }
}

// The arrays `equalizing` and `proportional` of th_rv.json are modes of a later stage (the collector's processor), which
// this filter does not offer; its own rule for a parent with a `th` is in interplay.rs.

#[test]
fn traceidratio_decides_as_the_go_and_rust_sdks_do() {
    let all = cases("traceidratio.json", "cases");
    for case in &all {
        let sampler = Sampler::new(Algorithm::TraceIdRatio, ratio_of(case, "ratio")).unwrap();
        let verdict = sampler.sample(trace_id_of(&case["trace_id"]), randomness_of(&case["trace_id"], &case["rv"]));
        assert_eq!(Some(verdict.keep), case["rust"].as_bool(), "{case}");
        assert_eq!(Some(verdict.keep), case["go"].as_bool(), "{case}");
        assert_eq!(verdict.threshold, None, "{case}");
    }
    assert_eq!(all.len(), 176);
}

#[test]
fn ids_that_begin_with_a_clock_do_not_bend_the_algorithms_offered() {
    for case in cases("traceidratio.json", "xray_format_ids") {
        let (id, ratio) = (trace_id_of(&case["trace_id"]), ratio_of(&case, "ratio"));
        let sampler = Sampler::new(Algorithm::TraceIdRatio, ratio).unwrap();
        assert_eq!(Some(sampler.sample(id, Randomness::from_trace_id(id)).keep), case["go"].as_bool(), "{case}");
        let threshold = Threshold::from_ratio_with_digits(ratio, 14).unwrap(); // The table is in full precision.
        let kept = threshold.keeps(Randomness::from_trace_id(id));
        assert_eq!(Some(kept), case["otel_threshold_56"].as_bool(), "{case}");
    }
}

#[test]
fn modulo_decides_as_the_formula_of_the_home_made_processors() {
    for case in cases("modulo.json", "cases") {
        let (id, ratio) = (trace_id_of(&case["trace_id"]), ratio_of(&case, "rate"));
        match Sampler::new(Algorithm::Modulo, ratio) {
            Ok(sampler) => {
                let verdict = sampler.sample(id, Randomness::from_trace_id(id));
                assert_eq!(Some(verdict.keep), case["sampled"].as_bool(), "{case}");
                assert_eq!(verdict.threshold, None, "{case}");
            }
            // The processors take any number; a configuration of ours that says -0.1 or 1.5 is refused.
            Err(error) => assert!(error == RatioError::OutOfRange && !(0.0..=1.0).contains(&ratio), "{case}"),
        }
    }
}

#[test]
fn modulo_floors_the_three_whole_percents_that_the_product_misses() {
    for case in cases("modulo.json", "truncation") {
        let sampler = Sampler::new(Algorithm::Modulo, ratio_of(&case, "rate")).unwrap();
        let bound = case["int_rate_times_100"].as_u64().unwrap();
        for residue in 0..100u64 {
            let id = tracelift::trace_context::TraceId::from_u128(u128::from(residue) + 100).unwrap();
            assert_eq!(sampler.sample(id, Randomness::from_trace_id(id)).keep, residue < bound, "{case} {residue}");
        }
    }
}

#[test]
fn hash_seed_decides_as_the_collector_does() {
    let all = cases("collector_hash.json", "hash_seed");
    let mut above_one = 0;
    for case in &all {
        let percentage = ratio_of(case, "sampling_percentage");
        if 100.0 < percentage {
            above_one += 1; // The collector reads 200 as 100; a ratio of 2 is refused.
            continue;
        }
        let seed = u32::try_from(case["hash_seed"].as_u64().unwrap()).unwrap();
        let sampler = Sampler::new(Algorithm::HashSeed { seed }, percentage / 100.0).unwrap();
        let id = trace_id_of(&case["trace_id"]);
        let verdict = sampler.sample(id, Randomness::from_trace_id(id));
        assert_eq!(Some(verdict.keep), case["sampled"].as_bool(), "{case}");
        assert_eq!(verdict.threshold, None, "{case}");
    }
    assert!(all.len() == 113 && above_one < 20, "{} cases, {above_one} not offered", all.len());
}
