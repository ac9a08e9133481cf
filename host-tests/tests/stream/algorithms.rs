//! The legacy algorithms, bit for bit as the systems that have them decide.

use serde_json::{Value, json};

use crate::kit::{Story, get, text, traceparent, vectors};

/// Runs the cases through the filter, one configuration for each distinct one.
fn check(algorithm: &str, cases: Vec<Value>, setting: impl Fn(&Value) -> (f64, u64), wanted: &str) -> usize {
    let mut story = Story::new(json!({}));
    let mut configured = None;
    let mut sorted: Vec<_> = cases.into_iter().map(|case| (setting(&case), case)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.partial_cmp(other).expect("numbers"));
    let mut checked = 0;
    for ((ratio, seed), case) in sorted {
        if !(0.0..=1.0).contains(&ratio) {
            continue; // Not a ratio that a configuration may have.
        }
        if configured != Some((ratio, seed)) {
            let sampling = json!({"mode": "independent", "algorithm": algorithm, "hash_seed": seed, "ratio": ratio});
            story.reconfigure("inbound", &json!({ "sampling": sampling }));
            configured = Some((ratio, seed));
        }
        let context = traceparent(text(&case, "trace_id"), 0);
        let sent = story.hop("inbound", get([("traceparent", &context[..]), ("tracestate", "ot=th:0,foo=1")]));
        assert_eq!(sent.traceparent().is_sampled(), case[wanted] == true, "{case}");
        assert_eq!(sent.text("tracestate"), Some("foo=1"), "a th of another algorithm means nothing here: {case}");
        checked += 1;
    }
    let spans = story.spans();
    assert!(!spans.is_empty() && spans.iter().all(|span| span.span.trace_state == "foo=1"));
    checked
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("{key} of {case}"))
}

#[test]
fn traceidratio_decides_as_the_go_and_rust_sdks_do() {
    for sdk in ["go", "rust"] {
        let cases: Vec<_> = vectors("traceidratio.json", "cases");
        // 5.4e-20 and 1.1e-19 are below the smallest ratio that a configuration may have.
        let legal = cases.into_iter().filter(|case| number(case, "ratio") == 0.0 || 1e-16 < number(case, "ratio"));
        let checked = check("traceidratio", legal.collect(), |case| (number(case, "ratio"), 0), sdk);
        assert!(100 < checked, "{checked}");
    }
}

#[test]
fn modulo_decides_by_the_remainder_of_the_whole_trace_id() {
    let checked = check("modulo", vectors("modulo.json", "cases"), |case| (number(case, "rate"), 0), "sampled");
    assert!(100 < checked, "{checked}");
}

#[test]
fn hash_seed_decides_as_the_collector_does() {
    let setting = |case: &Value| (number(case, "sampling_percentage") / 100.0, number(case, "hash_seed") as u64);
    let checked = check("hash_seed", vectors("collector_hash.json", "hash_seed"), setting, "sampled");
    assert!(100 < checked, "{checked}");
}
