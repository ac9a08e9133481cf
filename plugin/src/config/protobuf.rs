//! `google.protobuf.Struct` on the wire: a typed Envoy configuration reaches the module as these bytes, not as JSON.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::error::{ConfigError, Problem};
use super::tree::{MAX_KEYS, Tree};

/// Key of field 1 (an entry of `Struct.fields`), length-delimited.
const ENTRY: u8 = 0x0a;
/// Key of field 2 (an entry's value), length-delimited.
const ENTRY_VALUE: u8 = 0x12;

/// Whether these bytes can only be meant as a `Struct`. `ENTRY` alone is a line feed, which JSON may begin with, but no
/// JSON text holds an `ENTRY_VALUE`: as a control character it would have to be escaped (RFC 8259 section 7).
pub fn looks_like_struct(configuration: &[u8]) -> bool {
    configuration.first() == Some(&ENTRY) && configuration.contains(&ENTRY_VALUE)
}

/// Reads a `Struct` into the model that JSON text is read into. How deep it may be is bounded by `prost`; of a key that
/// comes twice the last value counts, as for any map of Protocol Buffers.
pub fn read(configuration: &[u8]) -> Result<Tree, ConfigError> {
    let source = Struct::decode(configuration).map_err(|error| refusal(&error.to_string()))?;
    object(source).ok_or_else(|| refusal("more than 256 keys in one protobuf `Struct`"))
}

fn refusal(found: &str) -> ConfigError {
    let advice = "Give a `google.protobuf.Struct`, or a `google.protobuf.StringValue` that holds JSON text.";
    ConfigError::new(vec![Problem::new("configuration", found, "a protobuf `Struct` or JSON text").advise(advice)])
}

/// `None` if an object has more than [`MAX_KEYS`] keys.
fn object(source: Struct) -> Option<Tree> {
    if MAX_KEYS < source.fields.len() {
        return None;
    }
    let entries: Option<_> = source.fields.into_iter().map(|(key, value)| Some((key, tree(value)?))).collect();
    entries.map(Tree::Object)
}

fn tree(value: Value) -> Option<Tree> {
    Some(match value.kind {
        None | Some(Kind::NullValue(_)) => Tree::Null,
        // A `Struct` knows doubles only. 5.0 is written "5", so that whole numbers stay whole.
        Some(Kind::NumberValue(value)) => Tree::Number(value.to_string()),
        Some(Kind::StringValue(value)) => Tree::Text(value),
        Some(Kind::BoolValue(value)) => Tree::Bool(value),
        Some(Kind::StructValue(value)) => object(value)?,
        Some(Kind::ListValue(list)) => Tree::List(list.values.into_iter().map(tree).collect::<Option<_>>()?),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::ListValue;

    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn entries<const N: usize>(entries: [(&str, Kind); N]) -> Struct {
        Struct { fields: BTreeMap::from(entries.map(|(key, kind)| (key.to_owned(), value(kind)))) }
    }

    #[test]
    fn a_struct_reads_like_the_json_it_was_written_as() {
        let list = vec![value(Kind::StringValue("5xx".to_owned())), value(Kind::NumberValue(429.0))];
        let source = entries([
            ("edge", Kind::BoolValue(true)),
            ("nothing", Kind::NullValue(0)),
            ("sampling", Kind::StructValue(entries([("ratio", Kind::NumberValue(0.05))]))),
            ("status", Kind::ListValue(ListValue { values: list })),
            ("timeout", Kind::NumberValue(-5.0)),
        ]);
        let bytes = source.encode_to_vec();
        let json =
            br#"{"edge": true, "nothing": null, "sampling": {"ratio": 0.05}, "status": ["5xx", 429], "timeout": -5}"#;
        assert!(looks_like_struct(&bytes));
        assert_eq!(Tree::parse(&bytes), Tree::parse(json));
    }

    #[test]
    fn json_that_begins_with_a_line_feed_is_json() {
        for text in ["\n{}", "\n{\n\"edge\": true}", "\n \n{\"edge\": false}", "\n"] {
            assert!(!looks_like_struct(text.as_bytes()), "{text:?}");
            assert!(Tree::parse(text.as_bytes()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn broken_bytes_say_what_to_give() {
        let mut bytes = entries([("edge", Kind::BoolValue(true))]).encode_to_vec();
        bytes.pop();
        let error = Tree::parse(&bytes).expect_err("cut off");
        assert!(error.to_string().contains("google.protobuf.StringValue"), "{error}");
    }

    #[test]
    fn a_deep_struct_is_refused_and_not_followed() {
        let mut source = entries([("a", Kind::BoolValue(true))]);
        for _ in 0..200 {
            source = entries([("a", Kind::StructValue(source))]);
        }
        assert!(Tree::parse(&source.encode_to_vec()).is_err());
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut bytes = entries([("edge", Kind::BoolValue(true))]).encode_to_vec();
        let unknown = [&[0x78, 0x96, 0x01][..], &[0x7d, 1, 2, 3, 4], &[0x79, 1, 2, 3, 4, 5, 6, 7, 8], &[0x7a, 1, b'x']];
        bytes.extend(unknown.concat());
        assert_eq!(Tree::parse(&bytes), Tree::parse(br#"{"edge": true}"#));
    }

    #[test]
    fn keys_are_bounded() {
        let fields = |keys: usize| (0..keys).map(|key| (key.to_string(), value(Kind::NullValue(0)))).collect();
        assert!(read(&Struct { fields: fields(MAX_KEYS) }.encode_to_vec()).is_ok());
        let inner = Kind::StructValue(Struct { fields: fields(MAX_KEYS + 1) });
        let source = entries([("a", Kind::ListValue(ListValue { values: vec![value(inner)] }))]);
        let error = read(&source.encode_to_vec()).expect_err("too many");
        assert!(error.to_string().contains("more than 256 keys"), "{error}");
    }
}
