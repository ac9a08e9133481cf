//! What was written, before it means anything: one small model for JSON text and for protobuf.

/// Keys that one object has at most.
pub const MAX_KEYS: usize = 256;
/// Lists and objects inside of each other at most: reading recurses.
pub const MAX_DEPTH: usize = 64;

/// One value. Keys keep their order and come once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as text, which may be of any size; JSON itself has no `inf` and no `NaN`, but protobuf has.
    Number(String),
    /// A text.
    Text(String),
    /// A text of a `Struct` that is a number, too: Envoy's YAML loader passes `0.05` and `1e3` on as text, so that what was
    /// meant is known only where it is read. JSON text has none.
    Numeral(String),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object(Vec<(String, Tree)>),
}

/// Where in the tree something is, from the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'t> {
    /// The value of this key.
    Key(&'t str),
    /// The element at this place of a list, from 0.
    Index(usize),
}

/// 2^53: below it a double holds every whole number exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Tree {
    /// The value at this path of keys.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, key| match tree {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        })
    }

    /// The text that this is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Numeral(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of the list that this is; none of anything else.
    pub fn elements(&self) -> &[Self] {
        if let Self::List(list) = self { list } else { &[] }
    }

    /// Puts the value at this path unless something is there. A parent that is no object is left for the check.
    pub fn fill(&mut self, path: &[&str], value: Self) {
        let (Some((key, rest)), Self::Object(entries)) = (path.split_first(), self) else { return };
        let place = entries.iter().position(|(name, _)| name == key);
        match (place.and_then(|place| entries.get_mut(place)), rest.is_empty()) {
            (Some((_, child)), false) => child.fill(rest, value),
            (Some(_), true) => {}
            (None, true) => entries.push(((*key).to_owned(), value)),
            (None, false) => {
                let mut child = Self::Object(Vec::new());
                child.fill(rest, value);
                entries.push(((*key).to_owned(), child));
            }
        }
    }

    /// The value, for a message; of a list or an object the kind only.
    pub fn describe(&self) -> String {
        match self {
            Self::Bool(true) => "true".to_owned(),
            Self::Bool(false) => "false".to_owned(),
            Self::Number(text) => text.chars().take(40).collect(),
            Self::Text(text) | Self::Numeral(text) => quoted(text),
            Self::Null | Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }

    /// The kind alone, for a message about a value that may be a secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) | Self::Numeral(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The whole number that this is, if it is one and not negative: `5`, and also `5.0` and `1e3`, as a template engine
    /// writes it.
    pub fn whole(&self) -> Option<u64> {
        let (Self::Number(text) | Self::Numeral(text)) = self else { return None };
        let by_value = || self.number().filter(|value| value.fract() == 0.0 && (0.0..EXACT).contains(value));
        text.parse().ok().or_else(|| by_value().map(|value| value as u64))
    }

    /// The number that this is, to the last bit.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(text) | Self::Numeral(text) => number(text),
            _ => None,
        }
    }
}

/// The number that a decimal text says, to the last bit of a double. One beyond all doubles is infinite; one that is too small for
/// any is none, since 0 is what switches things off.
pub fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let mut digits = text.bytes().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
    let vanished = value == 0.0 && digits.any(|digit| matches!(digit, b'1'..=b'9'));
    (!vanished).then_some(value)
}

/// A path as it stands in a message: `sampling.rules[2].ratio`, `resource["cloud.region"]`.
pub fn path_text(path: &[Step<'_>]) -> String {
    let plain =
        |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text.push_str(&["[", &index.to_string(), "]"].concat()),
            Step::Key(key) if plain(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Key(key) => text.push_str(&["[", &quoted(key), "]"].concat()),
        }
    }
    if text.is_empty() { "configuration".to_owned() } else { text }
}

/// A text as it stands in a message: quoted, escaped, and cut to 60 characters.
pub fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(60) {
        if character.is_control() || matches!(character, '"' | '\\') {
            shown.extend(character.escape_default()); // A message stays on its line.
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(60).is_some() {
        shown.push_str("...");
    }
    ["\"", &shown, "\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Tree {
        super::super::read(text.as_bytes()).expect("JSON")
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let number = |text: &str| Tree::Number(text.to_owned());
        let mut tree = parse(r#"{"export": {"timeout_ms": 5}, "sampling": 3}"#);
        tree.fill(&["export", "timeout_ms"], number("6"));
        tree.fill(&["export", "compression"], Tree::Text("gzip".to_owned()));
        tree.fill(&["sampling", "ratio"], number("1"));
        tree.fill(&["upgrade", "edge"], Tree::Bool(true));
        let filled =
            r#"{"export": {"timeout_ms": 5, "compression": "gzip"}, "sampling": 3, "upgrade": {"edge": true}}"#;
        assert_eq!(tree, parse(filled));
    }

    #[test]
    fn paths_read_like_a_query() {
        let path = [Step::Key("sampling"), Step::Key("rules"), Step::Index(2), Step::Key("ratio")];
        assert_eq!(path_text(&path), "sampling.rules[2].ratio");
        assert_eq!(path_text(&[Step::Key("resource"), Step::Key("cloud.region")]), r#"resource["cloud.region"]"#);
        assert_eq!(path_text(&[]), "configuration");
    }

    #[test]
    fn numbers_keep_every_bit() {
        for (text, number, whole) in [
            ("0.9999999999999999", 1.0 - f64::EPSILON / 2.0, None),
            ("1e-20", 1e-20, None),
            ("5.0", 5.0, Some(5)),
            ("-0", 0.0, Some(0)),
            ("-3", -3.0, None),
            ("18446744073709551615", 18_446_744_073_709_551_615.0, Some(u64::MAX)),
            ("18446744073709551616", 18_446_744_073_709_551_616.0, None),
            ("9007199254740993", 9_007_199_254_740_992.0, Some(9_007_199_254_740_993)),
            ("1.048576e+06", 1_048_576.0, Some(1_048_576)),
            ("1e400", f64::INFINITY, None),
        ] {
            let tree = parse(text);
            assert_eq!((tree.number(), tree.whole()), (Some(number), whole), "{text}");
        }
    }

    #[test]
    fn what_is_too_small_for_a_double_is_not_zero() {
        for text in ["1e-400", "-1e-400", "0.1E-330", "0.00010e-9999999"] {
            for tree in [parse(text), Tree::Numeral(text.to_owned())] {
                assert_eq!((tree.number(), tree.whole()), (None, None), "{text}");
            }
        }
        for text in ["0", "0.0", "-0", "0e-400", "0.000e5", "5e-324"] {
            assert!(parse(text).number().is_some(), "{text}");
        }
    }

    #[test]
    fn a_text_in_a_message_is_one_short_line() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quoted(&"x".repeat(61)), format!("\"{}...\"", "x".repeat(60)));
    }
}
