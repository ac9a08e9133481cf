//! A scalar as Kubernetes reads it: `sigs.k8s.io/yaml`, which is go-yaml's second version and then JSON. YAML 1.1 with a few
//! additions, see `resolve.go` there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::{Finding, Node, Position};
use super::raw::Tag;

/// What the scalar is; an error where Kubernetes reads nothing.
pub fn scalar(text: &str, plain: bool, tag: &Tag, at: Position) -> Result<Node, Finding> {
    let core = match tag {
        Tag::None if plain => "",
        Tag::Core(core) => core.as_str(),
        Tag::None | Tag::NonSpecific | Tag::Other(_) => "str",
    };
    let node = match core {
        "str" | "timestamp" => return Ok(Node::Text(text.to_owned())),
        "binary" => {
            let bytes = STANDARD.decode(text).map_err(|_| cannot(at, text, "!!binary"))?;
            return Ok(Node::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        "" | "int" | "float" | "bool" | "null" => untagged(text),
        _ => return Ok(Node::Text(text.to_owned())),
    };
    let fits = matches!(
        (core, &node),
        ("", _)
            | ("bool", Resolved::Bool(_))
            | ("null", Resolved::Null)
            | ("int", Resolved::Integer(_))
            | ("float", Resolved::Float(_) | Resolved::Integer(_))
    );
    if !fits {
        return Err(cannot(at, text, &["!!", core].concat()));
    }
    Ok(match node {
        Resolved::Null => Node::Null,
        Resolved::Bool(value) => Node::Bool(value),
        Resolved::Integer(number) => Node::Number(number),
        Resolved::Float(number) if number.is_finite() => Node::Number(number.to_string()),
        Resolved::Float(_) => return Err(cannot(at, text, "a number of JSON")),
        Resolved::Text => Node::Text(text.to_owned()),
    })
}

fn cannot(at: Position, text: &str, what: &str) -> Finding {
    Finding::error(
        at,
        "",
        format!("Kubernetes cannot read `{text}` as {what}. Put a text into quotes, or correct the value."),
    )
}

/// A key as JSON has it: the boolean that `y` is becomes `true`.
pub fn key(text: &str, plain: bool, tag: &Tag, at: Position) -> Result<String, Finding> {
    Ok(match scalar(text, plain, tag, at)? {
        Node::Text(text) | Node::Number(text) => text,
        Node::Bool(value) => value.to_string(),
        Node::Null | Node::List(_) | Node::Object(_) => {
            return Err(Finding::error(at, "", "a key that is null: Kubernetes refuses it. Put it into quotes."));
        }
    })
}

/// Whether the key is YAML 1.1's mark of a merge.
pub fn merges(text: &str, plain: bool, tag: &Tag) -> bool {
    text == "<<" && (*tag == Tag::Core("merge".to_owned()) || (plain && *tag == Tag::None))
}

enum Resolved {
    Null,
    Bool(bool),
    /// In decimal.
    Integer(String),
    Float(f64),
    Text,
}

fn untagged(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        _ => {}
    }
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        ".inf" | ".Inf" | ".INF" => return Resolved::Float(f64::INFINITY),
        _ => {}
    }
    if text.starts_with('.') {
        return float(text);
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) {
        return Resolved::Text;
    }
    let bare = text.replace('_', "");
    integer(&bare).map_or_else(|| float(&bare), Resolved::Integer)
}

/// Go's `strconv.ParseInt` and `ParseUint` with a base of 0.
fn integer(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let small = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = prefixes.iter().find_map(|(prefix, base)| Some((small.strip_prefix(prefix)?, *base)));
    let (digits, base) = prefixed.unwrap_or(match small.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        Some(octal) => (octal, 8),
        None => (small.as_str(), 10),
    });
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None; // Rust would take a second sign.
    }
    // Without a sign up to 64 bits, with one a bit less.
    let most = if text.starts_with(['+', '-']) { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    let number = i128::from_str_radix(&[sign, digits].concat(), base).ok();
    number.filter(|number| (i128::from(i64::MIN)..=most).contains(number)).map(|number| number.to_string())
}

/// Decimal digits with at most one sign, point and exponent, in the range of a double.
fn float(text: &str) -> Resolved {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    match number.filter(|_| unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')) {
        Some(number) => Resolved::Float(number),
        None => Resolved::Text,
    }
}
