//! The published schema and the reader agree: what one takes the other takes, defaults and range edges first of all.
#![cfg(feature = "schema")]

use regex_lite::Regex;
use serde_json::{Value, json};
use tracelift::config::{Environment, Key, keys, load, schema};

/// The keywords of JSON Schema (2020-12) that the schema uses; any other is a fault of this validator.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(schema) = schema.as_object() else { panic!("a schema is an object: {schema}") };
    schema.iter().all(|(keyword, wanted)| {
        let number = |value: &Value| value.as_f64().expect("a number");
        let length = |value: &Value| value.as_str().map(|text| text.chars().count() as f64);
        let count = |value: &Value| value.as_array().map(|list| list.len() as f64);
        let entries = value.as_object();
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let place = wanted.as_str().and_then(|place| place.strip_prefix('#')).expect("a local reference");
                valid(root, root.pointer(place).expect("a definition"), value)
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
                one => is_of_type(one, value),
            },
            "const" => value == wanted || (value.is_number() && value.as_f64() == wanted.as_f64()),
            "enum" => wanted.as_array().expect("names").contains(value),
            "oneOf" => wanted.as_array().expect("choices").iter().filter(|one| valid(root, one, value)).count() == 1,
            "anyOf" => wanted.as_array().expect("choices").iter().any(|one| valid(root, one, value)),
            "minimum" => value.as_f64().is_none_or(|found| number(wanted) <= found),
            "maximum" => value.as_f64().is_none_or(|found| found <= number(wanted)),
            "minLength" => length(value).is_none_or(|found| number(wanted) <= found),
            "maxLength" => length(value).is_none_or(|found| found <= number(wanted)),
            "minItems" => count(value).is_none_or(|found| number(wanted) <= found),
            "maxItems" => count(value).is_none_or(|found| found <= number(wanted)),
            "maxProperties" => entries.is_none_or(|entries| entries.len() as f64 <= number(wanted)),
            "uniqueItems" => {
                value.as_array().is_none_or(|list| (1..list.len()).all(|at| !list[..at].contains(&list[at])))
            }
            "pattern" => value
                .as_str()
                .is_none_or(|text| Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern").is_match(text)),
            "items" => value.as_array().is_none_or(|list| list.iter().all(|element| valid(root, wanted, element))),
            "properties" => entries.is_none_or(|entries| {
                entries.iter().all(|(key, value)| wanted.get(key).is_none_or(|schema| valid(root, schema, value)))
            }),
            "additionalProperties" => entries.is_none_or(|entries| {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others = entries.iter().filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                others.all(|(_, value)| *wanted != json!(false) && valid(root, wanted, value))
            }),
            "propertyNames" => entries.is_none_or(|entries| entries.keys().all(|key| valid(root, wanted, &json!(key)))),
            "required" => entries.is_none_or(|entries| {
                wanted.as_array().expect("keys").iter().all(|key| entries.contains_key(key.as_str().expect("a key")))
            }),
            other => panic!("the validator does not know {other}"),
        }
    })
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the validator does not know the type {other}"),
    }
}

/// `value` at this path of the reference, in a configuration that says nothing else.
fn configuration(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, key| match (key, key.strip_suffix("[]")) {
        ("*", _) => json!({ "x-key": value }),
        (_, Some(list)) => json!({ list: [value] }),
        (key, None) => json!({ key: value }),
    })
}

fn accepted(configuration: &Value) -> bool {
    load(configuration.to_string().as_bytes(), &Environment::default()).is_ok()
}

/// Asserts that both say the same; what they say.
fn verdict(schema: &Value, configuration: &Value) -> bool {
    let loads = load(configuration.to_string().as_bytes(), &Environment::default());
    assert_eq!(valid(schema, schema, configuration), loads.is_ok(), "{configuration}: {loads:?}");
    loads.is_ok()
}

fn leaf<'a>(root: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(root, |mut node, key| {
        if let Some(place) = node["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
            node = root.pointer(place).expect("a definition");
        }
        if let Some(first) = node["anyOf"][0]["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
            node = root.pointer(first).expect("a definition");
        }
        let choices = node["oneOf"].as_array().into_iter().flatten();
        let node =
            choices.map(|one| &one["properties"]).find(|one| one.get(key).is_some()).unwrap_or(&node["properties"]);
        match (key, key.strip_suffix("[]")) {
            (_, Some(list)) => &node[list]["items"],
            (key, None) => &node[key],
        }
    })
}

#[test]
fn both_take_every_default() {
    let schema = schema();
    assert!(verdict(&schema, &json!({})));
    assert!(verdict(&schema, &schema_defaults(&schema)));
    for Key { path, default, .. } in keys() {
        if let Some(default) = default {
            assert!(verdict(&schema, &configuration(&path, default)), "{path}");
        }
    }
}

/// Every key of the top level with its default.
fn schema_defaults(schema: &Value) -> Value {
    let properties = schema["properties"].as_object().expect("keys");
    properties.iter().map(|(key, child)| (key.clone(), child["default"].clone())).collect()
}

#[test]
fn a_default_written_out_means_what_leaving_it_out_means() {
    let read = |configuration: &Value| {
        let loaded = load(configuration.to_string().as_bytes(), &Environment::default()).expect("a configuration");
        format!("{:?}", loaded.policy)
    };
    assert_eq!(read(&schema_defaults(&schema())), read(&json!({})));
}

#[test]
fn both_draw_every_line_at_the_same_place() {
    let schema = schema();
    let mut edges = 0;
    // A session needs a secret beside its name, which the schema leaves to the reader.
    let alone = |key: &&Key| !key.path.contains('*') && !key.path.contains("sampling.session");
    for Key { path, .. } in keys().iter().filter(alone) {
        let node = leaf(&schema, path);
        let at = |value: Value| verdict(&schema, &configuration(path, value));
        if let (Some(least), Some(most)) = (node["minimum"].as_f64(), node["maximum"].as_f64()) {
            let wide = path != "export.max_export_batch_size"; // Its upper edge needs a queue of that size.
            assert!(at(node["minimum"].clone()) && (!wide || at(node["maximum"].clone())), "{path}");
            assert!(!at(json!(least - 1.0)) && !at(json!(most + 1.0)), "{path}");
            edges += 1;
        }
        if let (Some(least), Some(most)) = (node["minLength"].as_u64(), node["maxLength"].as_u64()) {
            let text = |length: u64| {
                // A name or a pattern, or a path of one segment.
                let first = if ["regex", "namespace", "force.keys[].id"].iter().any(|end| path.ends_with(end)) {
                    "a"
                } else {
                    "/"
                };
                let length = usize::try_from(length).expect("a length");
                json!([first, &"a".repeat(length)].concat()[..length])
            };
            assert!(at(text(least)) && at(text(most)) && !at(text(most + 1)), "{path}");
            assert!(least == 0 || !at(text(least - 1)), "{path}");
            edges += 1;
        }
        if path.ends_with("upgrade.recall.enabled") || path.ends_with("upgrade.applications.enabled") {
            continue; // True needs a token, which the schema leaves to the reader.
        }
        for wrong in [json!(null), json!(true), json!([]), json!({}), json!("no"), json!(0.5), json!(-1), json!([null])]
        {
            at(wrong);
        }
    }
    assert!(20 < edges, "{edges} edges");
}

#[test]
fn both_agree_on_what_no_number_says() {
    let schema = schema();
    let wide = json!({"export": {"max_export_batch_size": 65536, "max_queue_size": 65536}});
    let many = |count: usize| (0..count).map(|at| (format!("k{at}"), json!("v"))).collect::<Value>();
    let rules = |count: usize| json!({"sampling": {"rules": vec![json!({}); count]}});
    let matched = |matcher: Value| json!({"sampling": {"rules": [{"match": matcher}]}});
    for (configuration, wanted) in [
        (wide, true),
        (json!({"sampling": {"ratio": 0}}), true),
        (json!({"sampling": {"ratio": 1}}), true),
        (json!({"sampling": {"ratio": 2f64.powi(-56)}}), true),
        (json!({"sampling": {"ratio": 2f64.powi(-57)}}), false),
        (json!({"sampling": {"ratio": 1.0 + f64::EPSILON}}), false),
        (json!({"sampling": {"rules": [{"ratio": null, "name": null, "latency_ms": null}]}}), true),
        (json!({"sampling": {"ratio": null}}), false),
        (json!({"propagators": ["b3", "xray", "b3multi", "tracecontext"]}), true),
        (json!({"propagators": ["b3", "b3"]}), false),
        (json!({"propagators": []}), false),
        (json!({"upgrade": {"http_status": ["1xx", "5XX", "100", 599, 503.0]}}), true),
        (json!({"upgrade": {"http_status": ["0xx"]}}), false),
        (json!({"upgrade": {"http_status": ["600"]}}), false),
        (json!({"upgrade": {"http_status": [600]}}), false),
        (json!({"upgrade": {"grpc_status": ["OK", 0, 16]}}), true),
        (json!({"upgrade": {"grpc_status": [17]}}), false),
        (json!({"upgrade": {"grpc_status": ["ok"]}}), false),
        (json!({"resource": many(64)}), true),
        (json!({"resource": many(65)}), false),
        (json!({"export": {"headers": many(32)}}), true),
        (json!({"export": {"headers": many(33)}}), false),
        (json!({"export": {"headers": {"a b": "v"}}}), false),
        (json!({"export": {"path": "v1"}}), false),
        (json!({"export": {"authority": "a b"}}), false),
        (json!({"sampling": {"xray": {"authority": "collector:2000"}}}), true),
        (json!({"sampling": {"xray": {"authority": "a b"}}}), false),
        (json!({"sampling": {"session": null}}), true),
        (json!({"sampling": {"session": {"cookie": "sid", "key": "k".repeat(16)}}}), true),
        (json!({"sampling": {"session": {"header": "x-session", "key": "k".repeat(15)}}}), false),
        (json!({"force": {"keys": [{"id": "dev", "secret": "s".repeat(16)}]}}), true),
        (json!({"force": {"keys": [{"id": "dev", "secret": "s".repeat(15)}]}}), false),
        (json!({"force": {"keys": [{"id": "a.b", "secret": "s".repeat(16)}]}}), false),
        (json!({"force": {"keys": vec![json!({}); 9]}}), false),
        (rules(1), true),
        (rules(257), false),
        (matched(json!({"path": {"exact": ""}})), true),
        (matched(json!({"path": {}})), false),
        (matched(json!({"path": {"exact": "/", "prefix": "/"}})), false),
        (matched(json!({"path": "exact"})), false),
        (matched(json!({"host": {"present": true}, "headers": {"X-A": {"suffix": "a"}}})), true),
        (matched(json!({"headers": {"x a": {"suffix": "a"}}})), false),
        (matched(json!({"method": ["GET", "M-SEARCH"]})), true),
        (matched(json!({"method": ["GE T"]})), false),
        (matched(json!({"method": vec!["GET"; 33]})), false),
        (json!({"export": {"headers": {"a": "", "b": "c\td e"}}}), true),
        (json!({"export": {"headers": {"a": " "}}}), false),
        (json!({"export": {"headers": {"a": "b\n"}}}), false),
        (json!({"export": {"headers": {"a": "b ".repeat(2048)}}}), false),
        (json!({"export": {"headers": {"a": "b".repeat(4097)}}}), false),
        (json!({"upgrade": {"recall": {"token": "!".repeat(256)}}}), true),
        (json!({"upgrade": {"recall": {"token": "!".repeat(257)}}}), false),
        (json!({"upgrade": {"recall": {"token": "a b"}}}), false),
        (json!({"attributes": {"request_headers": ["X-A"]}}), true),
        (json!({"attributes": {"request_headers": ["x a"]}}), false),
        (json!({"no_such_key": null}), false),
    ] {
        assert_eq!(verdict(&schema, &configuration), wanted, "{configuration}");
    }
}

#[test]
fn every_key_has_a_description_and_every_plain_key_a_default() {
    let keys = keys();
    for Key { path, default, description, allowed } in &keys {
        let free = path.contains('*') || path.contains(".path.") || path.contains(".host.");
        assert!(!allowed.is_empty(), "{path}");
        assert!(free || !description.is_empty(), "{path}");
        assert!(free || default.is_some(), "{path}");
    }
    let paths: Vec<&str> = keys.iter().map(|key| key.path.as_str()).collect();
    for path in ["service_name", "sampling.rules[].match.path.regex", "upgrade.recall.token", "export.tracestate"] {
        assert!(paths.contains(&path), "{path}");
    }
    let timeout = keys.iter().find(|key| key.path == "export.timeout_ms").expect("a key");
    assert_eq!((timeout.allowed.as_str(), &timeout.default), ("integer, 1 to 600000", &Some(json!(10_000))));
}

#[test]
fn every_key_of_the_reference_is_a_key_of_the_reader() {
    for Key { path, default, .. } in keys() {
        if let Some((parent, key)) = path.rsplit_once('.').filter(|_| default.is_some()) {
            let slip = configuration(&format!("{parent}.{key}_"), default.expect("a default"));
            assert!(!accepted(&slip), "{slip}");
        }
    }
}
