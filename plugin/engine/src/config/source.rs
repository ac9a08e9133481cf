//! From the bytes of a plugin configuration to the tree that is read.

use super::error::{ConfigError, Problem};
use crate::json::{self, Tree, protobuf};

/// Bytes that a configuration has at most: what a worker spends on reading it is bounded.
pub const MAX_BYTES: usize = 256 * 1024;

/// Reads JSON text, or the bytes of a `google.protobuf.Struct` (Envoy passes a `Struct` as it is on the wire).
/// Nothing, or nothing but space, is an empty object.
pub fn parse(configuration: &[u8]) -> Result<Tree, ConfigError> {
    if MAX_BYTES < configuration.len() {
        let found = [&configuration.len().to_string(), " bytes"].concat();
        let allowed = ["at most ", &MAX_BYTES.to_string(), " bytes"].concat();
        let problem = Problem::new("configuration", found, allowed).advise("Shorten the configuration.");
        return Err(ConfigError::new(vec![problem]));
    }
    if protobuf::looks_like_struct(configuration) {
        return protobuf::read(configuration).map_err(|found| {
            let advice = "Give a `google.protobuf.Struct`, or a `google.protobuf.StringValue` that holds JSON text.";
            let problem = Problem::new("configuration", found, "a protobuf `Struct` or JSON text");
            ConfigError::new(vec![problem.advise(advice)])
        });
    }
    if configuration.iter().all(u8::is_ascii_whitespace) {
        return Ok(Tree::Object(Vec::new()));
    }
    json::read(configuration).map_err(|error| {
        let place = ["line ", &error.line().to_string(), ", column ", &error.column().to_string()].concat();
        let said = error.to_string();
        let reason = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        let found = ["no valid JSON (", reason, ")"].concat();
        let advice = "Correct the text there; a `Struct` or a `StringValue` with JSON text may be given.";
        ConfigError::new(vec![Problem::new(place, found, "one JSON object").advise(advice)])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};

    use super::*;
    use crate::json::MAX_KEYS;
    use crate::json::protobuf::{looks_like_struct, read};

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
        assert_eq!(parse(&bytes), parse(json));
    }

    #[test]
    fn json_that_begins_with_a_line_feed_is_json() {
        for text in ["\n{}", "\n{\n\"edge\": true}", "\n \n{\"edge\": false}", "\n"] {
            assert!(!looks_like_struct(text.as_bytes()), "{text:?}");
            assert!(parse(text.as_bytes()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn broken_bytes_say_what_to_give() {
        let mut bytes = entries([("edge", Kind::BoolValue(true))]).encode_to_vec();
        bytes.pop();
        let error = parse(&bytes).expect_err("cut off");
        assert!(error.to_string().contains("google.protobuf.StringValue"), "{error}");
    }

    #[test]
    fn a_deep_struct_is_refused_and_not_followed() {
        let mut source = entries([("a", Kind::BoolValue(true))]);
        for _ in 0..200 {
            source = entries([("a", Kind::StructValue(source))]);
        }
        assert!(parse(&source.encode_to_vec()).is_err());
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut bytes = entries([("edge", Kind::BoolValue(true))]).encode_to_vec();
        let unknown = [&[0x78, 0x96, 0x01][..], &[0x7d, 1, 2, 3, 4], &[0x79, 1, 2, 3, 4, 5, 6, 7, 8], &[0x7a, 1, b'x']];
        bytes.extend(unknown.concat());
        assert_eq!(parse(&bytes), parse(br#"{"edge": true}"#));
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
