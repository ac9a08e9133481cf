//! A scalar as Envoy's loader reads it: a boolean or an integer as yaml-cpp decodes them, else a text. Fractions stay text
//! for the field's type to read; in a `Struct`, which has no such type, they stay text for good.

use super::super::Node;
use super::raw::Tag;

/// What the scalar is. A tag other than `!` says nothing to Envoy, but keeps nothing from being null.
pub fn scalar(text: &str, plain: bool, tag: &Tag) -> Node {
    match tag {
        Tag::None if !plain => return Node::Text(text.to_owned()),
        Tag::NonSpecific => return Node::Text(text.to_owned()),
        Tag::None if is_null(text) => return Node::Null,
        _ => {}
    }
    if let Some(value) = boolean(text) {
        return Node::Bool(value);
    }
    match integer(text) {
        // Larger ones are passed on as text, as JSON for Protocol Buffers has it for 64 bits.
        Some(number) if i32::try_from(number).is_ok() => Node::Number(number.to_string()),
        Some(number) => Node::Text(number.to_string()),
        None => Node::Text(text.to_owned()),
    }
}

/// A key is its text, whatever it looks like.
pub fn key(text: &str, plain: bool, tag: &Tag) -> String {
    if *tag == Tag::None && plain && is_null(text) { "null".to_owned() } else { text.to_owned() }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// YAML 1.1's names, all small, all large or with a large first letter.
fn boolean(text: &str) -> Option<bool> {
    let small = text.to_ascii_lowercase();
    let value = match small.as_str() {
        "y" | "yes" | "true" | "on" => true,
        "n" | "no" | "false" | "off" => false,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let is_flexible = text == small || text == small.to_ascii_uppercase() || rest == small.get(1..)?;
    is_flexible.then_some(value)
}

/// `strtoll` with a base of 0: `0x1F`, `017` and a sign.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None; // Rust would take a second sign.
    }
    i64::from_str_radix(&[sign, digits].concat(), base).ok()
}
