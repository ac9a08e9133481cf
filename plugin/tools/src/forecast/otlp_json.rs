//! OTLP's JSON into its messages. Lenient, as protobuf's JSON is: both spellings of a field, numbers as text, enums by name
//! or number. The generated types read JSON, too, but not a `doubleValue` where serde_json keeps numbers as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::Value;

/// Values inside of each other; serde_json itself stops at 128.
const MAX_DEPTH: usize = 128;
const KINDS: [&str; 6] = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];

/// The value of a field by its name in JSON or in the schema.
pub fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let object = object.as_object()?;
    object.get(name).or_else(|| {
        let schema = name.chars().fold(String::new(), |mut text, letter| {
            if letter.is_ascii_uppercase() {
                text.push('_');
            }
            text.push(letter.to_ascii_lowercase());
            text
        });
        object.get(&schema)
    })
}

/// The elements of a list; none where there is no list.
pub fn list<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    member(object, name).and_then(Value::as_array).into_iter().flatten()
}

/// One span; `Err` says what in it is not OTLP.
pub fn span(span: &Value) -> Result<Span, String> {
    if !span.is_object() {
        return Err("a span that is not an object".to_owned());
    }
    let status = member(span, "status")
        .map(|status| Status { message: text(status, "message"), code: named(status, "code", "STATUS_CODE_", &CODES) });
    Ok(Span {
        trace_id: id(span, "traceId", 16)?,
        span_id: id(span, "spanId", 8)?,
        parent_span_id: id(span, "parentSpanId", 8)?,
        trace_state: text(span, "traceState"),
        flags: number(span, "flags") as u32,
        name: text(span, "name"),
        kind: named(span, "kind", "SPAN_KIND_", &KINDS),
        start_time_unix_nano: number(span, "startTimeUnixNano"),
        end_time_unix_nano: number(span, "endTimeUnixNano"),
        attributes: attributes(span),
        dropped_attributes_count: number(span, "droppedAttributesCount") as u32,
        events: list(span, "events").map(event).collect(),
        dropped_events_count: number(span, "droppedEventsCount") as u32,
        links: list(span, "links").map(link).collect::<Result<_, _>>()?,
        dropped_links_count: number(span, "droppedLinksCount") as u32,
        status,
    })
}

fn event(event: &Value) -> Event {
    Event {
        time_unix_nano: number(event, "timeUnixNano"),
        name: text(event, "name"),
        attributes: attributes(event),
        dropped_attributes_count: number(event, "droppedAttributesCount") as u32,
    }
}

fn link(link: &Value) -> Result<Link, String> {
    Ok(Link {
        trace_id: id(link, "traceId", 16)?,
        span_id: id(link, "spanId", 8)?,
        trace_state: text(link, "traceState"),
        attributes: attributes(link),
        dropped_attributes_count: number(link, "droppedAttributesCount") as u32,
        flags: number(link, "flags") as u32,
    })
}

/// The attributes of a span, a resource, an event.
pub fn attributes(object: &Value) -> Vec<KeyValue> {
    key_values(object, "attributes", 0)
}

fn key_values(object: &Value, name: &str, depth: usize) -> Vec<KeyValue> {
    let one = |pair: &Value| KeyValue {
        key: text(pair, "key"),
        value: member(pair, "value").map(|value| any(value, depth)),
        ..KeyValue::default()
    };
    list(object, name).map(one).collect()
}

fn any(value: &Value, depth: usize) -> AnyValue {
    if MAX_DEPTH <= depth {
        return AnyValue::default();
    }
    let kind = value.as_object().and_then(|object| object.iter().next()).and_then(|(name, value)| {
        Some(match name.as_str() {
            "stringValue" | "string_value" => AnyKind::StringValue(value.as_str()?.to_owned()),
            "boolValue" | "bool_value" => AnyKind::BoolValue(value.as_bool()?),
            "intValue" | "int_value" => AnyKind::IntValue(as_text(value)?.parse().ok()?),
            "doubleValue" | "double_value" => AnyKind::DoubleValue(as_text(value)?.parse().ok()?),
            "bytesValue" | "bytes_value" => AnyKind::BytesValue(STANDARD.decode(value.as_str()?).ok()?),
            "arrayValue" | "array_value" => AnyKind::ArrayValue(ArrayValue {
                values: list(value, "values").map(|element| any(element, depth + 1)).collect(),
            }),
            "kvlistValue" | "kvlist_value" => {
                AnyKind::KvlistValue(KeyValueList { values: key_values(value, "values", depth + 1) })
            }
            _ => return None,
        })
    });
    AnyValue { value: kind }
}

/// The first of these attributes, as text; a list by its texts, joined by commas.
pub fn attribute(attributes: &[KeyValue], keys: &[&str]) -> Option<String> {
    let found = keys.iter().find_map(|key| attributes.iter().find(|attribute| attribute.key == *key))?;
    match found.value.as_ref()?.value.as_ref()? {
        AnyKind::StringValue(text) => Some(text.clone()),
        AnyKind::IntValue(number) => Some(number.to_string()),
        AnyKind::DoubleValue(number) => Some(number.to_string()), // 503.0 is written "503".
        AnyKind::ArrayValue(list) => {
            let texts = list.values.iter().filter_map(|value| match &value.value {
                Some(AnyKind::StringValue(text)) => Some(text.as_str()),
                _ => None,
            });
            Some(texts.collect::<Vec<_>>().join(","))
        }
        _ => None,
    }
}

fn text(object: &Value, name: &str) -> String {
    member(object, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number, or a text with one in it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(object: &Value, name: &str) -> u64 {
    let text = member(object, name).and_then(as_text).unwrap_or_default();
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|number| number as u64)).unwrap_or_default()
}

fn named(object: &Value, name: &str, prefix: &str, names: &[&str]) -> i32 {
    let known = |text: &str| names.iter().position(|known| text.strip_prefix(prefix).unwrap_or(text) == *known);
    let place = match member(object, name) {
        Some(Value::String(text)) => known(text),
        _ => usize::try_from(number(object, name)).ok().filter(|place| *place < names.len()),
    };
    place.and_then(|place| i32::try_from(place).ok()).unwrap_or_default()
}

/// An id: hexadecimal, as OTLP has it, or base64, as protobuf's own JSON has it. Empty where there is none.
fn id(object: &Value, name: &str, size: usize) -> Result<Vec<u8>, String> {
    let text = text(object, name);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let hex = || {
        let pairs = text.as_bytes().chunks_exact(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>()
    };
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() == 2 * size;
    let bytes = if is_hex { hex() } else { STANDARD.decode(&text).ok() };
    let bytes = bytes.filter(|bytes| bytes.is_empty() || bytes.len() == size);
    bytes.ok_or_else(|| format!("a span whose {name} has not {size} bytes"))
}
