//! A configuration as bytes for the filter's own reader, and the way back from its messages to the file.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::embedded::Embedded;
use super::find::Form;
use super::{Located, Node, Position, json};

/// One configuration of a file.
pub enum Source<'t> {
    /// An object of the file.
    Object { value: &'t Located, bytes: Vec<u8> },
    /// A string of JSON.
    Text { embedded: Embedded<'t>, text: &'t str, inner: Option<Located> },
}

impl<'t> Source<'t> {
    /// What the filter is given of `value`, which stands in `file`.
    pub fn new(file: &'t str, value: &'t Located, form: Form) -> Self {
        match (value.text(), Embedded::new(file, value), form) {
            (Some(text), Some(embedded), Form::Json) => Self::Text { embedded, text, inner: json::read(text).ok() },
            (_, _, Form::Json) => Self::Object { value, bytes: value.to_json().into_bytes() },
            (_, _, Form::Struct) => Self::Object { value, bytes: to_struct(value).encode_to_vec() },
        }
    }

    /// As the filter gets it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Object { bytes, .. } => bytes,
            Self::Text { text, .. } => text.as_bytes(),
        }
    }

    /// The place of a message's path; `key` asks for the key instead of its value.
    pub fn place(&self, path: &str, key: bool) -> Position {
        match self {
            Self::Object { value, .. } => value.place(path, key),
            Self::Text { embedded, inner, .. } => {
                let inner = match (line_and_column(path), inner) {
                    (Some(place), _) => place,
                    (None, Some(inner)) => inner.place(path, key),
                    (None, None) => Position::START,
                };
                embedded.place(inner)
            }
        }
    }

    /// The value at these keys, as it is written.
    pub fn get(&self, path: &[&str]) -> Option<&Located> {
        match self {
            Self::Object { value, .. } => value.path(path),
            Self::Text { inner, .. } => inner.as_ref()?.path(path),
        }
    }
}

/// Text that is no JSON has a place instead of a path in its message.
pub fn line_and_column(path: &str) -> Option<Position> {
    let (line, column) = path.strip_prefix("line ")?.split_once(", column ")?;
    Some(Position { line: line.parse().ok()?, column: column.parse::<usize>().ok()?.max(1) })
}

/// What Envoy makes of an object.
fn to_struct(value: &Located) -> Struct {
    let fields: BTreeMap<_, _> =
        value.entries().iter().map(|entry| (entry.key.clone(), to_value(&entry.value))).collect();
    Struct { fields }
}

fn to_value(value: &Located) -> Value {
    let kind = match &value.node {
        Node::Null => Kind::NullValue(0),
        Node::Bool(value) => Kind::BoolValue(*value),
        // Beyond the range of a double there is nothing that Envoy would read.
        Node::Number(number) => Kind::NumberValue(number.parse().unwrap_or(f64::NAN)),
        Node::Text(text) => Kind::StringValue(text.clone()),
        Node::List(elements) => Kind::ListValue(ListValue { values: elements.iter().map(to_value).collect() }),
        Node::Object(_) => Kind::StructValue(to_struct(value)),
    };
    Value { kind: Some(kind) }
}
