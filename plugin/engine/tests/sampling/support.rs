//! Reading test vectors into the plugin's types.

use serde_json::Value;
use tracelift::sampling::{Randomness, Threshold};
use tracelift::trace_context::TraceId;

/// The array `array` of `tests/vectors/<file>`.
pub fn cases(file: &str, array: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut vectors: Value = serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{path}: {error}"));
    match vectors[array].take() {
        Value::Array(cases) if !cases.is_empty() => cases,
        _ => panic!("{path} has no cases in {array}"),
    }
}

/// A text that must be there.
pub fn text(field: &Value) -> &str {
    field.as_str().unwrap_or_else(|| panic!("{field} is no text"))
}

/// 32 hex digits.
pub fn trace_id_of(field: &Value) -> TraceId {
    TraceId::parse(text(field).as_bytes()).unwrap()
}

/// `th`, where there is one.
pub fn threshold_of(field: &Value) -> Option<Threshold> {
    field.as_str().map(|th| Threshold::parse(th.as_bytes()).unwrap())
}

/// `rv`, where there is one.
pub fn rv_of(field: &Value) -> Option<u64> {
    field.as_str().map(|rv| u64::from_str_radix(rv, 16).unwrap())
}

/// R of a trace.
pub fn randomness_of(trace_id: &Value, rv: &Value) -> Randomness {
    rv_of(rv).map_or_else(|| Randomness::from_trace_id(trace_id_of(trace_id)), Randomness::from_rv)
}
