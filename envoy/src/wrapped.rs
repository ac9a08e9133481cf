//! The filter wrapped as in `wrapped.yaml`: entered for notable answers alone. Any configuration with the wasm filter becomes one with the
//! wrapped filter, so that one test is for both.

use crate::filter::WASM;
use serde_json::{Value, json};

/// As users copy it.
pub const SHIPPED: &str = include_str!("../wrapped.yaml");

/// The pieces.
pub fn shipped() -> Value {
    yaml_serde::from_str(SHIPPED).unwrap_or_default()
}

/// Wraps every wasm filter of ours in a bootstrap, or in a discovery response of listeners. One that is discovered by itself stays as it
/// is: what is logged of it could not be changed with it.
pub fn wrap(configuration: &mut Value) {
    let pieces = shipped();
    connection_managers(configuration, &pieces);
}

/// Gives a bootstrap slots for the headers that the filter reads, and tells every filter of ours, wrapped or not.
pub fn inline_headers(bootstrap: &mut Value) {
    bootstrap["inline_headers"] = shipped()["inline_headers"].clone();
    each_filter(bootstrap, &mut |filter| settings(filter, |settings| settings["inline_headers"] = true.into()));
}

fn connection_managers(value: &mut Value, pieces: &Value) {
    if let Some(filters) = value.get_mut("http_filters").and_then(Value::as_array_mut) {
        let ours = |filter: &&mut Value| filter["name"] == "tracelift" && filter["typed_config"]["@type"] == WASM;
        let mut logs = Vec::new();
        for filter in filters.iter_mut().filter(ours) {
            settings(&mut filter["typed_config"], |settings| settings["answers"] = "notable".into());
            let mut wrapped = pieces["http_filters"][0].clone();
            if is_edge(&filter["typed_config"]) {
                at_edge(&mut wrapped);
            }
            wrapped["name"] = filter["name"].clone();
            let mut log = pieces["access_log"][0].clone();
            log["typed_config"]["config"] = filter["typed_config"]["config"].clone();
            logs.push(log);
            wrapped["typed_config"]["extension_config"] = filter.take();
            *filter = wrapped;
        }
        if !logs.is_empty() {
            let known = value["access_log"].as_array().into_iter().flatten().cloned();
            value["access_log"] = known.chain(logs).collect();
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| connection_managers(item, pieces)),
        Value::Object(members) => members.values_mut().for_each(|member| connection_managers(member, pieces)),
        _ => {}
    }
}

/// What the shipped file says in a comment.
fn at_edge(wrapped: &mut Value) {
    let pointer = "/typed_config/xds_matcher/matcher_list/matchers/0/predicate/not_matcher/or_matcher/predicate";
    let Some(conditions) = wrapped.pointer_mut(pointer).and_then(Value::as_array_mut) else { return };
    let name = "/single_predicate/input/typed_config/header_name";
    let Some(like) = conditions.iter().find(|one| one.pointer(name) == Some(&json!("x-tracelift-signal"))).cloned()
    else {
        return;
    };
    for header in ["traceresponse", "server-timing"] {
        let mut condition = like.clone();
        if let Some(name) = condition.pointer_mut(name) {
            *name = header.into();
        }
        conditions.push(condition);
    }
}

/// Shows `take` every wasm filter of ours.
fn each_filter(value: &mut Value, take: &mut impl FnMut(&mut Value)) {
    let is_ours = |value: &Value| value["config"]["name"].as_str().is_some_and(|name| name.contains("tracelift"));
    if is_ours(value) {
        return take(value);
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_filter(item, take)),
        Value::Object(members) => members.values_mut().for_each(|member| each_filter(member, take)),
        _ => {}
    }
}

fn is_edge(filter: &Value) -> bool {
    let configuration = &filter["config"]["configuration"]["value"];
    let text = configuration.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    text.as_ref().unwrap_or(configuration)["edge"] == true
}

/// Changes `envoy` of a filter's settings: JSON text, or a `Struct`. What is no JSON stays as it is.
fn settings(filter: &mut Value, change: impl FnOnce(&mut Value)) {
    let configuration = &mut filter["config"]["configuration"]["value"];
    if let Some(text) = configuration.as_str() {
        let Ok(mut settings) = serde_json::from_str::<Value>(text) else { return };
        if settings.is_object() {
            change(&mut settings["envoy"]);
            *configuration = settings.to_string().into();
        }
    } else if configuration.is_object() {
        change(&mut configuration["envoy"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bootstrap, Shipped};
    use tracelift::border::{
        ASKED, Condition, INLINE_REQUEST_HEADERS, INLINE_RESPONSE_HEADERS, NOTABLE, NOTABLE_AT_EDGE,
    };

    fn predicate(condition: &Condition) -> Value {
        let value = match condition.prefix {
            None => json!({ "safe_regex": { "google_re2": {}, "regex": ".*" } }),
            Some(prefix) if prefix.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                json!({ "prefix": prefix, "ignore_case": true })
            }
            Some(prefix) => json!({ "prefix": prefix }),
        };
        json!({ "single_predicate": { "value_match": value, "input": { "name": "response_header", "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseHeaderMatchInput",
            "header_name": condition.header } } } })
    }

    fn conditions(filter: &Value) -> Vec<Value> {
        let pointer = "/typed_config/xds_matcher/matcher_list/matchers/0/predicate/not_matcher/or_matcher/predicate";
        filter.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    #[test]
    fn the_shipped_matcher_has_the_conditions_that_the_filter_goes_by_and_the_note_by_which_it_asks() {
        let pieces = shipped();
        let mut expected: Vec<_> = NOTABLE.iter().map(predicate).collect();
        expected.push(json!({ "single_predicate": {
            "value_match": { "safe_regex": { "google_re2": {}, "regex": ".*" } },
            "input": { "name": "filter_state", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
                "key": format!("wasm.{ASKED}") } } } }));
        assert_eq!(conditions(&pieces["http_filters"][0]), expected);
        let slots = |kind: &str, names: &[&str]| -> Vec<Value> {
            names.iter().map(|name| json!({ "inline_header_name": name, "inline_header_type": kind })).collect()
        };
        let (request, response) = (&INLINE_REQUEST_HEADERS[..], &INLINE_RESPONSE_HEADERS[..]);
        let expected = [slots("REQUEST_HEADER", request), slots("RESPONSE_HEADER", response)].concat();
        assert_eq!(pieces["inline_headers"], Value::from(expected));
    }

    #[test]
    fn a_filter_is_wrapped_with_its_own_settings_in_its_access_log_too_and_the_edge_has_two_conditions_more() {
        for which in Shipped::ALL {
            let bootstrap = Bootstrap::shipped(which, std::path::Path::new("/lib/tracelift.wasm")).unwrap();
            let mut value = bootstrap.as_value().clone();
            wrap(&mut value);
            inline_headers(&mut value);
            let listeners = value["static_resources"]["listeners"].as_array().unwrap();
            for listener in listeners {
                let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
                let (filter, log) =
                    (&manager["http_filters"][0], manager["access_log"].as_array().unwrap().last().unwrap());
                let inner = &filter["typed_config"]["extension_config"]["typed_config"];
                assert_eq!(inner["config"], log["typed_config"]["config"], "{which:?}");
                assert_eq!(inner["@type"], WASM);
                let text = inner["config"]["configuration"]["value"].as_str().unwrap();
                assert!(text.contains(r#""envoy":{"answers":"notable","inline_headers":true}"#), "{text}");
                let more = if text.contains(r#""edge":true"#) {
                    NOTABLE_AT_EDGE.iter().map(predicate).collect()
                } else {
                    Vec::new()
                };
                assert!(
                    conditions(filter).ends_with(&more) && conditions(filter).len() == NOTABLE.len() + 1 + more.len()
                );
            }
        }
    }
}
