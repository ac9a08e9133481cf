//! `tracelift explain` beside the release module: both do the same with the same request.

mod case;
mod compare;

use case::{Case, Journey, cases};
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decision_headers_and_spans_are_those_of_the_module(case in cases()) {
        let (module, explained) = compare::both(&case);
        prop_assert_eq!(module, explained);
    }
}

fn case(configuration: serde_json::Value, headers: &[(&str, &str)], journey: Journey) -> Case {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Case { configuration, headers, journey, ..Case::default() }
}

const ROOT: &str = "Root=1-65a1b2c3-0af7651916cd43dd8448eb21";

#[test]
fn a_caller_that_asks_hears_what_is_known_when_the_answer_comes_and_not_what_a_slow_end_changes() {
    let configuration =
        json!({"sampling": {"ratio": 0}, "propagators": ["xray", "tracecontext"], "upgrade": {"latency_ms": 800}});
    let asks = [("x-amzn-trace-id", &*format!("{ROOT};Sampled=?"))];
    let slow = Journey { duration_ms: 900, ..Journey::default() };
    let (module, explained) = compare::both(&case(configuration, &asks, slow));
    assert_eq!(explained.answered, [("x-amzn-trace-id".to_owned(), format!("{ROOT};Sampled=0"))]);
    assert_eq!(explained.note.as_deref(), Some("upgraded.latency"));
    assert_eq!(module, explained);
}

#[test]
fn the_edge_touches_only_an_upstreams_signal() {
    let configuration = json!({"sampling": {"ratio": 0}, "edge": true});
    let own = [("traceresponse", "of the client"), ("server-timing", "db;dur=1")];
    let failed = Journey { status: Some(503), ..Journey::default() };
    let (module, explained) = compare::both(&case(configuration.clone(), &own, failed.clone()));
    assert_eq!(explained.answered, []);
    for (name, value) in own {
        assert!(explained.forwarded.contains(&(name.to_owned(), value.to_owned())), "{explained:?}");
    }
    assert_eq!(module, explained);

    let told = Journey { told: Some((true, true)), marked: Some("upgraded"), ..failed };
    let (module, explained) = compare::both(&case(configuration, &[], told));
    assert_eq!(explained.answered, [], "an upstream's signal is taken off");
    assert_eq!(module, explained);
}
