//! The configuration: any bytes are accepted whole or refused with a text that a person can read.

use tracelift::config::{self, Environment, Loaded, VARIABLES};
use tracelift::sampling::{Parent, Randomness, RequestFacts, Steps, decide};
use tracelift::trace_context::TraceId;

use crate::Input;

/// A line of a log: whatever was quoted from the configuration, nothing in it moves a terminal's cursor.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() && letter != '\n')
}

fn load(configuration: &[u8], environment: &Environment) -> Option<Loaded> {
    match config::load(configuration, environment) {
        Ok(loaded) => {
            let export = &loaded.policy.export;
            assert!(export.max_export_batch_size <= export.max_queue_size, "a batch fits into the queue");
            assert!(!loaded.policy.propagators.is_empty());
            assert!(loaded.warnings.iter().all(|line| is_one_line(line)), "{:?}", loaded.warnings);
            Some(loaded)
        }
        Err(error) => {
            assert!((1..=config::MAX_PROBLEMS).contains(&error.problems().len()), "{error}");
            assert!(is_one_line(&error.to_string()), "{error:?}");
            None
        }
    }
}

/// JSON and environment, divided by the first NUL.
pub(super) fn json(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(at);
    let mut input = Input::new(rest.get(1..).unwrap_or_default());
    let environment: Environment = (0..input.below(6))
        .map(|_| {
            let name = input.one_of(&VARIABLES).name;
            (name.to_owned(), String::from_utf8_lossy(input.bytes()).into_owned())
        })
        .collect();
    let _ = environment.on_invalid_config();
    load(text, &environment);
}

/// The bytes of a `google.protobuf.Struct`.
pub(super) fn protobuf(bytes: &[u8]) {
    load(bytes, &Environment::default());
}

/// A configuration in front, then a request that its rules are asked about.
pub(super) fn rules(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let text = input.bytes();
    let Some(loaded) = load(text, &Environment::default()) else { return };
    let policy = &loaded.policy.sampling;
    let (path, method, host) = (input.bytes(), input.bytes(), input.bytes());
    let headers = input.pairs(6);
    let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let facts = RequestFacts { path, method, host, headers: &headers };
    let rule = policy.first_match(&facts, &mut Steps::default());
    assert!(rule.is_none_or(|index| policy.rule(Some(index)).is_some()));
    let trace_id = TraceId::from_u128(input.any::<u128>().max(1)).expect("not zero");
    let randomness = Randomness::from_trace_id(trace_id);
    let parent = Parent { sampled: input.any(), threshold: None };
    for parent in [None, Some(&parent)] {
        let decision = decide(policy, (rule, None), parent, trace_id, randomness);
        assert!(decision.sampled || decision.threshold.is_none(), "{decision:?}");
    }
}
