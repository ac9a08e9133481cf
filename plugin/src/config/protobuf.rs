//! `google.protobuf.Struct` on the wire: a typed Envoy configuration reaches the module as these bytes, not as JSON.

use super::error::{ConfigError, Problem};
use super::tree::{MAX_DEPTH, MAX_KEYS, Tree};

/// Key of field 1 (an entry of `Struct.fields`), length-delimited.
const ENTRY: u8 = 0x0a;
/// Key of field 2 (an entry's value), length-delimited.
const ENTRY_VALUE: u8 = 0x12;

/// Whether these bytes can only be meant as a `Struct`. `ENTRY` alone is a line feed, which JSON may begin with, but no
/// JSON text holds an `ENTRY_VALUE`: as a control character it would have to be escaped (RFC 8259 section 7).
pub fn looks_like_struct(configuration: &[u8]) -> bool {
    configuration.first() == Some(&ENTRY) && configuration.contains(&ENTRY_VALUE)
}

/// Reads a `Struct` into the model that JSON text is read into. By hand, because the generated types would take ten
/// kilobytes of the module for these three messages.
pub fn read(configuration: &[u8]) -> Result<Tree, ConfigError> {
    object(configuration, 0).map_err(|what| {
        let advice = "Give a `google.protobuf.Struct`, or a `google.protobuf.StringValue` that holds JSON text.";
        let problem = Problem::new("configuration", what, "a protobuf `Struct` or JSON text");
        ConfigError::new(vec![problem.advise(advice)])
    })
}

/// What is wrong, in words.
type Fault = &'static str;

const CUT_OFF: Fault = "a protobuf `Struct` that is cut off";
const NO_STRUCT: Fault = "protobuf that is no `Struct`";

/// `Struct`: field 1 is an entry of a map, whose field 1 is the key and field 2 the value.
fn object(message: &[u8], depth: usize) -> Result<Tree, Fault> {
    let mut entries: Vec<(String, Tree)> = Vec::new();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        let entry = match field {
            (1, Content::Bytes(entry)) => entry,
            (1, _) => return Err(NO_STRUCT),
            _ => continue,
        };
        let (mut key, mut value) = (String::new(), Tree::Null);
        let mut fields = Fields(entry);
        while let Some(field) = fields.next()? {
            match field {
                (1, Content::Bytes(bytes)) => key = text(bytes)?,
                (2, Content::Bytes(bytes)) => value = tree(bytes, depth + 1)?,
                (1 | 2, _) => return Err(NO_STRUCT),
                _ => {}
            }
        }
        if entries.iter().any(|(known, _)| *known == key) {
            return Err("a key twice in one protobuf `Struct`");
        }
        if MAX_KEYS <= entries.len() {
            return Err("more than 256 keys in one protobuf `Struct`");
        }
        entries.push((key, value));
    }
    Ok(Tree::Object(entries))
}

/// `Value`: one of null, number, text, boolean, `Struct` and `ListValue`; the last that is there counts.
fn tree(message: &[u8], depth: usize) -> Result<Tree, Fault> {
    if MAX_DEPTH <= depth {
        return Err("a protobuf `Struct` of more than 64 levels");
    }
    let mut tree = Tree::Null;
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        tree = match field {
            (1, Content::Varint(_)) => Tree::Null,
            // A `Struct` knows doubles only. 5.0 is written "5", so that whole numbers stay whole.
            (2, Content::Fixed64(bytes)) => Tree::Number(f64::from_le_bytes(bytes).to_string()),
            (3, Content::Bytes(bytes)) => Tree::Text(text(bytes)?),
            (4, Content::Varint(value)) => Tree::Bool(value != 0),
            (5, Content::Bytes(bytes)) => object(bytes, depth)?,
            (6, Content::Bytes(bytes)) => list(bytes, depth)?,
            (1..=6, _) => return Err(NO_STRUCT),
            _ => tree,
        };
    }
    Ok(tree)
}

/// `ListValue`: field 1 is an element.
fn list(message: &[u8], depth: usize) -> Result<Tree, Fault> {
    let mut list = Vec::new();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Content::Bytes(element)) => list.push(tree(element, depth + 1)?),
            (1, _) => return Err(NO_STRUCT),
            _ => {}
        }
    }
    Ok(Tree::List(list))
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a protobuf text that is no UTF-8")
}

/// What a field holds on the wire.
enum Content<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message. Protocol Buffers, "Encoding".
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Number and content of the next field; `None` at the end.
    fn next(&mut self) -> Result<Option<(u32, Content<'a>)>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| NO_STRUCT)?;
        let content = match key & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(self.take(8)?.try_into().map_err(|_| CUT_OFF)?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT_OFF)?;
                Content::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Content::Fixed32)?,
            _ => return Err(NO_STRUCT),
        };
        match key >> 3 {
            0 => Err(NO_STRUCT),
            number => Ok(Some((number, content))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first; at most ten bytes.
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(NO_STRUCT)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};

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

    /// The same by the generated types, which share no code with ours; a null comes without a kind, too.
    fn generated(value: Value) -> Tree {
        match value.kind {
            None | Some(Kind::NullValue(_)) => Tree::Null,
            Some(Kind::NumberValue(value)) => Tree::Number(value.to_string()),
            Some(Kind::StringValue(value)) => Tree::Text(value),
            Some(Kind::BoolValue(value)) => Tree::Bool(value),
            Some(Kind::StructValue(value)) => {
                Tree::Object(value.fields.into_iter().map(|(key, value)| (key, generated(value))).collect())
            }
            Some(Kind::ListValue(list)) => Tree::List(list.values.into_iter().map(generated).collect()),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Kind::NullValue(0)),
            any::<f64>().prop_map(Kind::NumberValue),
            any::<String>().prop_map(Kind::StringValue),
            any::<bool>().prop_map(Kind::BoolValue),
        ];
        leaf.prop_map(value).prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::btree_map(any::<String>(), inner.clone(), 0..5)
                    .prop_map(|fields| value(Kind::StructValue(Struct { fields }))),
                prop::collection::vec(inner, 0..5).prop_map(|values| value(Kind::ListValue(ListValue { values }))),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_struct_is_read_as_the_generated_types_read_it(fields in prop::collection::btree_map("[a-z]{0,3}", any_value(), 0..5)) {
            let source = Struct { fields };
            let read = object(&source.encode_to_vec(), 0);
            prop_assert_eq!(read, Ok(generated(value(Kind::StructValue(source)))));
        }

        #[test]
        fn what_the_generated_types_refuse_is_refused(bytes in prop::collection::vec(prop_oneof![0..=34_u8, any::<u8>()], 0..40)) {
            let ours = object(&bytes, 0);
            if Struct::decode(&bytes[..]).is_err() {
                prop_assert!(ours.is_err(), "{ours:?}");
            }
        }
    }
}
