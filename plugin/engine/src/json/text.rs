//! JSON text (RFC 8259) into a [`Tree`], by `serde_json`. Numbers stay text, so that none is rounded before it is asked for
//! and a message shows what the user wrote.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::tree::{MAX_DEPTH, MAX_KEYS, Tree, quoted};

/// The one key of the map as which `serde_json` with `arbitrary_precision` hands over a number that fits into no integer.
/// An object that a user writes with this key reads as a number, too, and is checked like any other.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads one JSON value with space around it.
pub fn read(text: &[u8]) -> serde_json::Result<Tree> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let tree = Reading { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// Appends the value as JSON text. A number is written as it was read, so one that JSON does not know stays none.
pub fn write(tree: &Tree, text: &mut String) {
    match tree {
        Tree::Null => text.push_str("null"),
        Tree::Bool(true) => text.push_str("true"),
        Tree::Bool(false) => text.push_str("false"),
        Tree::Number(number) => text.push_str(number),
        Tree::Text(value) | Tree::Numeral(value) => write_text(value, text),
        Tree::List(list) => {
            text.push('[');
            for (index, element) in list.iter().enumerate() {
                if 0 < index {
                    text.push(',');
                }
                write(element, text);
            }
            text.push(']');
        }
        Tree::Object(entries) => {
            text.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if 0 < index {
                    text.push(',');
                }
                write_text(key, text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
    }
}

/// Appends a text in quotes. RFC 8259, section 7: what must be escaped is.
pub fn write_text(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                let code = u32::from(character);
                text.push_str("\\u00");
                text.extend([code >> 4, code & 0xf].map(|digit| char::from_digit(digit, 16).unwrap_or('0')));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// Reads a value inside of this many lists and objects.
#[derive(Clone, Copy)]
struct Reading {
    depth: usize,
}

impl Reading {
    fn inside(self) -> Self {
        Self { depth: self.depth.saturating_add(1) }
    }
}

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        if MAX_DEPTH <= self.depth {
            return Err(D::Error::custom("more than 64 levels of lists and objects"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    /// Numbers come as text; the default would word a fault, see below.
    fn visit_f64<E: Error>(self, _: f64) -> Result<Tree, E> {
        Err(E::custom("a number instead of a string"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self.inside())? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object: Vec<(String, Tree)> = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.is_empty() && key == NUMBER {
                // Asked for as a `String`, a fault would be worded by serde, which brings two float formatters along: 15 KB.
                return match entries.next_value_seed(self.inside())? {
                    // The plus of an exponent comes whether it was written or not; most write none.
                    Tree::Text(number) => Ok(Tree::Number(number.replace("e+", "e"))),
                    _ => Err(A::Error::custom("a number instead of a string")),
                };
            }
            if object.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(["the key ", &quoted(&key), " twice in one object"].concat()));
            }
            if MAX_KEYS <= object.len() {
                return Err(A::Error::custom("more than 256 keys in one object"));
            }
            object.push((key, entries.next_value_seed(self.inside())?));
        }
        Ok(Tree::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Tree {
        Tree::Number(text.to_owned())
    }

    #[test]
    fn keys_keep_their_order() {
        let wanted = Tree::Object(vec![
            ("b".to_owned(), Tree::List(vec![Tree::Null, Tree::Bool(true), Tree::Text("\u{e9}\"".to_owned())])),
            ("a".to_owned(), Tree::Object(Vec::new())),
            ("c".to_owned(), number("5")),
        ]);
        let text = r#" {"b": [null, true, "\u00e9\""], "a": {}, "c": 5} "#;
        assert_eq!(read(text.as_bytes()).ok(), Some(wanted));
    }

    #[test]
    fn numbers_stay_text() {
        for text in [
            "0",
            "-0",
            "5.0",
            "0.9999999999999999",
            "1.048576e06",
            "1e-7",
            "1e400",
            "-1e400",
            "-9223372036854775809",
            "18446744073709551616",
        ] {
            assert_eq!(read(text.as_bytes()).ok(), Some(number(text)));
        }
        assert_eq!(read(b"-1.5E+7").ok(), Some(number("-1.5e7")));
    }

    #[test]
    fn a_user_who_knows_how_numbers_are_handed_over_gains_nothing_by_it() {
        for (value, tree) in [("\"0.5\"", Some(number("0.5"))), ("\"x\"", Some(number("x"))), ("5", None), ("{}", None)]
        {
            assert_eq!(read(format!("{{\"{NUMBER}\": {value}}}").as_bytes()).ok(), tree);
        }
        assert!(number("x").number().is_none() && number("x").whole().is_none());
        assert!(read(format!("{{\"{NUMBER}\": \"1\", \"a\": 1}}").as_bytes()).is_err());
    }

    #[test]
    fn a_fault_is_where_the_eye_finds_it() {
        for (text, line, column) in
            [("{\"a\": }", 1, 7), ("{\n\"a\" 1}", 2, 5), ("[1,\n 2", 2, 2), ("{\"a\": 1,\n\"a\": 2}", 2, 3)]
        {
            let place = read(text.as_bytes()).map_err(|error| (error.line(), error.column()));
            assert_eq!(place, Err((line, column)), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(read(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(read("[".repeat(200_000).as_bytes()).is_err());
    }

    #[test]
    fn keys_are_bounded() {
        let object = |keys: usize| {
            let keys: Vec<_> = (0..keys).map(|key| format!("\"{key}\": 1")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert!(read(object(MAX_KEYS).as_bytes()).is_ok());
        assert!(read(object(MAX_KEYS + 1).as_bytes()).is_err());
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::Bool),
            any::<i64>().prop_map(|number| Tree::Number(number.to_string())),
            any::<String>().prop_map(Tree::Text),
        ];
        leaf.prop_recursive(3, 30, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|entries| Tree::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(tree in any_tree()) {
            let mut text = String::new();
            write(&tree, &mut text);
            prop_assert_eq!(read(text.as_bytes()).ok(), Some(tree));
        }

        #[test]
        fn numbers_come_back_to_the_last_bit(number in any::<f64>()) {
            let text = serde_json::to_string(&number).expect("JSON");
            let read = read(text.as_bytes()).expect("a number").number();
            prop_assert_eq!(read.map(f64::to_bits), number.is_finite().then(|| number.to_bits()));
        }
    }
}
