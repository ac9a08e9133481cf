//! The JSON Schema of the configuration, made from the types that read it, and the list of its keys for the reference.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::bounded::{
    Entries, Factor, GrpcCode, HeaderName, HttpStatus, Number, Quantile, Rate, Ratio, Secret, Text, Whole,
};
use super::raw::Configuration;
use crate::http::GrpcStatus;
use crate::span::bounds;
use crate::upgrade::Budget;

/// JSON Schema (draft 2020-12) of the plugin configuration: descriptions, ranges, names and defaults.
pub fn schema() -> Value {
    schemars::schema_for!(Configuration).to_value()
}

/// One key of the configuration, for a reference table.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// `sampling.rules[].ratio`; `[]` stands for an element of a list, `*` for a key of the user's choice.
    pub path: String,
    /// What may be there, in words: `integer, 1 to 600000`.
    pub allowed: String,
    /// What it is when left out; `None` for what has no default of its own: an element, a free key, a choice.
    pub default: Option<Value>,
    /// What it means, one paragraph.
    pub description: String,
}

/// Every key of the configuration, parents before children, in the order of the schema.
pub fn keys() -> Vec<Key> {
    let root = schema();
    let mut keys = Vec::new();
    walk(&root, &root, "", "", &mut keys);
    keys
}

/// `meaning` describes keys that do not say so themselves: the one key of a choice.
fn walk(root: &Value, node: &Value, path: &str, meaning: &str, keys: &mut Vec<Key>) {
    let node = resolve(root, node);
    let inside = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        add(root, child, inside(name), meaning, keys);
    }
    if node["additionalProperties"].is_object() {
        add(root, &node["additionalProperties"], inside("*"), "", keys);
    }
    if has_keys(&node["items"]) {
        walk(root, &node["items"], &format!("{path}[]"), "", keys);
    }
    // The null beside an optional object has nothing inside.
    for choice in ["oneOf", "anyOf"].into_iter().filter_map(|key| node[key].as_array()).flatten() {
        walk(root, choice, path, choice["description"].as_str().unwrap_or_default(), keys);
    }
}

fn add(root: &Value, node: &Value, path: String, meaning: &str, keys: &mut Vec<Key>) {
    let description = node["description"].as_str().or(resolve(root, node)["description"].as_str()).unwrap_or(meaning);
    let key = Key {
        path: path.clone(),
        allowed: allowed(root, node),
        default: node.get("default").cloned(),
        description: description.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    keys.push(key);
    walk(root, node, &path, "", keys);
}

fn has_keys(node: &Value) -> bool {
    node["properties"].is_object()
}

fn resolve<'a>(root: &'a Value, node: &'a Value) -> &'a Value {
    let target = node["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(node)
}

fn allowed(root: &Value, node: &Value) -> String {
    let node = resolve(root, node);
    if let Some(choices) = node["oneOf"].as_array().or(node["anyOf"].as_array()) {
        let mut words: Vec<String> = choices.iter().map(|choice| allowed(root, choice)).collect();
        words.dedup();
        return words.join(" or ");
    }
    if let Some(constant) = node.get("const") {
        return constant.to_string();
    }
    if let Some(names) = node["enum"].as_array() {
        return names.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    let mut words = match &node["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        one => one.as_str().unwrap_or("any").to_owned(),
    };
    for (least, most) in [("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")] {
        match (node.get(least), node.get(most)) {
            (Some(least), Some(most)) => words.push_str(&format!(", {least} to {most}")),
            (Some(least), None) => words.push_str(&format!(", at least {least}")),
            (None, Some(most)) => words.push_str(&format!(", at most {most}")),
            (None, None) => {}
        }
    }
    if node["items"].is_object() && !has_keys(&node["items"]) {
        words.push_str(&format!(" of {}", allowed(root, &node["items"])));
    }
    words
}

const HEADER_NAME: &str = "^[-_.!#$%&'*+^`|~0-9A-Za-z]{1,128}$";

/// An HTTP method: a token, RFC 9110 section 9.1.
pub const METHOD: &str = "^[-_.!#$%&'*+^`|~0-9A-Za-z]+$";

/// Keys of an object of headers.
pub fn header_names() -> Value {
    json!({ "pattern": HEADER_NAME })
}

/// Keys of the resource.
pub fn resource_names() -> Value {
    json!({ "minLength": 1, "maxLength": bounds::KEY })
}

/// A scalar's schema stands where it is used.
macro_rules! scalar {
    ([$($generics:tt)*] $type:ty, $name:literal, $schema:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_id() -> Cow<'static, str> {
                std::any::type_name::<Self>().into() // The range is part of what it is.
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

scalar!([const MIN: u64, const MAX: u64] Whole<MIN, MAX>, "Whole", json_schema!({
    "type": "integer", "minimum": MIN, "maximum": MAX
}));
scalar!([const MIN: u64, const MAX: u64] Text<MIN, MAX>, "Text", json_schema!({
    "type": "string", "minLength": MIN, "maxLength": MAX
}));
scalar!([] Ratio, "Ratio", json_schema!({
    "oneOf": [{ "const": 0 }, { "type": "number", "minimum": Ratio::MIN_POSITIVE, "maximum": 1 }]
}));
scalar!([] Rate, "Rate", json_schema!({ "type": "number", "minimum": 0, "maximum": Budget::MAX_PER_SECOND }));
scalar!([] Factor, "Factor", json_schema!({
    "type": "number", "minimum": Factor::RANGE.0, "maximum": Factor::RANGE.1
}));
scalar!([const MIN: u64, const MAX: u64] Number<MIN, MAX>, "Number", json_schema!({
    "type": "number", "minimum": MIN, "maximum": MAX
}));
scalar!([] Quantile, "Quantile", json_schema!({
    "type": "number", "minimum": Quantile::RANGE.0, "maximum": Quantile::RANGE.1
}));
scalar!([] Secret, "Secret", json_schema!({
    "type": "string", "maxLength": 4096, "pattern": "^([!-~]([\t -~]*[!-~])?)?$"
}));
scalar!([] HeaderName, "HeaderName", json_schema!({ "type": "string", "pattern": HEADER_NAME }));
scalar!([] HttpStatus, "HttpStatus", json_schema!({
    "oneOf": [
        { "type": "string", "pattern": "^[1-5]([xX]{2}|[0-9]{2})$" },
        { "type": "integer", "minimum": 100, "maximum": 599 }
    ]
}));
scalar!([] GrpcCode, "GrpcCode", json_schema!({
    "oneOf": [{ "enum": GrpcStatus::names() }, { "type": "integer", "minimum": 0, "maximum": 16 }]
}));

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", V::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Entries<{}>", V::schema_id()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<V>() })
    }
}

impl Serialize for HttpStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first)
        } else {
            serializer.serialize_str(&format!("{}xx", self.first / 100))
        }
    }
}

impl Serialize for GrpcCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<V: Serialize> Serialize for Entries<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
