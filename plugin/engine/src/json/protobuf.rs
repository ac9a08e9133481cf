//! `google.protobuf.Struct` on the wire: a typed Envoy configuration reaches the module as these bytes, not as JSON.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

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
pub fn read(configuration: &[u8]) -> Result<Tree, String> {
    let source = Struct::decode(configuration).map_err(|error| error.to_string())?;
    object(source).ok_or_else(|| "more than 256 keys in one protobuf `Struct`".to_owned())
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
        Some(Kind::StringValue(value)) if is_number(&value) => Tree::Numeral(value),
        Some(Kind::StringValue(value)) => Tree::Text(value),
        Some(Kind::BoolValue(value)) => Tree::Bool(value),
        Some(Kind::StructValue(value)) => object(value)?,
        Some(Kind::ListValue(list)) => Tree::List(list.values.into_iter().map(tree).collect::<Option<_>>()?),
    })
}

/// Decimal digits with at most one sign, point and exponent: what Envoy's YAML loader leaves as text, and YAML takes for a
/// number. `inf` and `nan`, which are numbers to Rust, are not.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_a_number_serves_as_either() {
        for (text, number) in [
            ("0.05", Some(0.05)),
            ("1e3", Some(1000.0)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("-2147483649", Some(-2_147_483_649.0)),
            ("1.10", Some(1.1)),
            ("", None),
            (".", None),
            ("inf", None),
            ("+nan", None),
            ("1_000", None),
            ("0x10", None),
            ("0o17", None),
            ("5 ", None),
        ] {
            let read = tree(Value { kind: Some(Kind::StringValue(text.to_owned())) }).expect("a value");
            assert_eq!((read.number(), read.text()), (number, Some(text)), "{text}");
        }
    }
}
