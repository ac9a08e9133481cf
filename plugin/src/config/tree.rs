//! The configuration as it was written, before it means anything: one small model for JSON text and for protobuf.

use super::error::{self, ConfigError, Problem};
use super::{json, protobuf};

/// Bytes that a configuration has at most: what a worker spends on reading it is bounded.
pub const MAX_BYTES: usize = 256 * 1024;
/// Keys that one object has at most.
pub const MAX_KEYS: usize = 256;
/// Lists and objects inside of each other at most: reading recurses.
pub const MAX_DEPTH: usize = 64;

/// One value of the configuration. Keys keep their order and come once.
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
    /// Reads JSON text, or the bytes of a `google.protobuf.Struct` (Envoy hands over a `Struct` as it is on the wire).
    /// Nothing, or nothing but space, is an empty object.
    pub fn parse(configuration: &[u8]) -> Result<Self, ConfigError> {
        if MAX_BYTES < configuration.len() {
            let found = [&configuration.len().to_string(), " bytes"].concat();
            let allowed = ["at most ", &MAX_BYTES.to_string(), " bytes"].concat();
            let problem = Problem::new("configuration", found, allowed).advise("Shorten the configuration.");
            return Err(ConfigError::new(vec![problem]));
        }
        if protobuf::looks_like_struct(configuration) {
            return protobuf::read(configuration);
        }
        if configuration.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::Object(Vec::new()));
        }
        json::read(configuration).map_err(|error| {
            let place = ["line ", &error.line().to_string(), ", column ", &error.column().to_string()].concat();
            let told = error.to_string();
            let reason = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
            let found = ["no valid JSON (", reason, ")"].concat();
            let advice = "Correct the text there; a `Struct` or a `StringValue` with JSON text may be given.";
            ConfigError::new(vec![Problem::new(place, found, "one JSON object").advise(advice)])
        })
    }

    /// The value at this path of keys.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, key| match tree {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        })
    }

    /// The text that this is.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
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
            Self::Text(text) => error::quoted(text),
            Self::Null | Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }

    /// The kind alone, for a message about a value that may be a secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The whole number that this is, if it is one and not negative: `5`, and also `5.0` and `1e3`, as a template engine
    /// writes it.
    pub fn whole(&self) -> Option<u64> {
        let Self::Number(text) = self else { return None };
        let by_value = || self.number().filter(|value| value.fract() == 0.0 && (0.0..EXACT).contains(value));
        text.parse().ok().or_else(|| by_value().map(|value| value as u64))
    }

    /// The number that this is, to the last bit.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }
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
            Step::Key(key) => text.push_str(&["[", &error::quoted(key), "]"].concat()),
        }
    }
    if text.is_empty() { "configuration".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Tree {
        Tree::parse(text.as_bytes()).expect("a configuration")
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
}
