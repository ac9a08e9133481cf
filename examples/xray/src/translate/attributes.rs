//! Attributes while they are used up, and what becomes of the rest: annotations and metadata.

use crate::settings::ExporterSettings;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Names the annotations of a span beside those of the exporter's settings.
const ANNOTATIONS: &str = "aws.xray.annotations";

/// Attributes by key.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(BTreeMap<&'a str, &'a Any>);

impl<'a> Attributes<'a> {
    pub fn of(list: &'a [KeyValue]) -> Self {
        let present = |pair: &'a KeyValue| match &pair.value {
            Some(AnyValue { value: Some(value) }) => Some((pair.key.as_str(), value)),
            _ => None,
        };
        Self(list.iter().filter_map(present).collect())
    }

    /// Text that is there and not empty.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.0.get(key) {
            Some(Any::StringValue(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        match self.0.get(key) {
            Some(Any::IntValue(number)) => Some(*number),
            _ => None,
        }
    }

    /// What has a place of its own in the document is told nowhere else.
    pub fn use_up(&mut self, key: &str) {
        self.0.remove(key);
    }
}

/// Every character of a key that X-Ray does not take becomes `_`; dots stay since the gate `exporter.xray.allowDot` is on.
pub fn annotation_key(key: &str) -> String {
    key.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' }).collect()
}

/// Of what is left, and of the whole for what the settings name; the resource of segments only.
pub fn annotations_and_metadata<'a>(
    left: &mut Attributes<'a>,
    whole: &Attributes<'a>,
    resource: Option<&Attributes<'_>>,
    settings: &ExporterSettings,
) -> (Value, Value) {
    for name in &settings.indexed_attributes {
        if let Some((key, value)) = whole.0.get_key_value(name.as_str()) {
            left.0.insert(key, value);
        }
    }
    let mut indexed: BTreeSet<&str> = settings.indexed_attributes.iter().map(String::as_str).collect();
    if let Some(Any::ArrayValue(names)) = left.0.remove(ANNOTATIONS) {
        indexed.extend(names.values.iter().filter_map(|name| match &name.value {
            Some(Any::StringValue(name)) => Some(name.as_str()),
            _ => None,
        }));
    }
    let (mut annotations, mut metadata) = (Map::new(), Map::new());
    let of_resource = resource.into_iter().flat_map(|resource| &resource.0);
    let of_resource = of_resource.map(|(key, value)| (format!("otel.resource.{key}"), *value));
    let of_span = left.0.iter().map(|(key, value)| ((*key).to_owned(), *value));
    for (key, value) in of_resource.chain(of_span) {
        let wanted = settings.index_all_attributes || indexed.contains(key.as_str());
        match (scalar(value), wanted) {
            (Some(scalar), true) => annotations.insert(annotation_key(&key), scalar),
            _ => metadata.insert(key, raw(value)),
        };
    }
    let metadata = if metadata.is_empty() { Value::Null } else { json!({ "default": metadata }) };
    (Value::Object(annotations), metadata)
}

/// Annotations hold text, numbers and truth values.
fn scalar(value: &Any) -> Option<Value> {
    match value {
        Any::StringValue(_) | Any::IntValue(_) | Any::DoubleValue(_) | Any::BoolValue(_) => Some(raw(value)),
        _ => None,
    }
}

fn raw(value: &Any) -> Value {
    match value {
        Any::StringValue(text) => text.as_str().into(),
        Any::IntValue(number) => (*number).into(),
        Any::DoubleValue(number) => (*number).into(),
        Any::BoolValue(truth) => (*truth).into(),
        Any::ArrayValue(list) => {
            list.values.iter().map(|item| item.value.as_ref().map_or(Value::Null, raw)).collect::<Vec<_>>().into()
        }
        // A proxy's spans have no maps and no bytes.
        _ => Value::Null,
    }
}
