//! The configuration as it was written, before it means anything: one small model for JSON text and for protobuf.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{self, ConfigError, Problem};
use super::protobuf;

/// Bytes that a configuration has at most: what a worker spends on reading it is bounded.
pub const MAX_BYTES: usize = 256 * 1024;
/// Keys that one object has at most.
pub const MAX_KEYS: usize = 256;

/// One value of the configuration. Keys keep their order and come once.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// A number with a fraction or an exponent, or one too large for the others.
    Double(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object(Vec<(String, Tree)>),
}

/// Where in the tree something is, from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of this key.
    Key(String),
    /// The element at this place of a list, from 0.
    Index(usize),
}

impl Tree {
    /// Reads JSON text, or the bytes of a `google.protobuf.Struct` (Envoy hands over a `Struct` as it is on the wire).
    /// Nothing, or nothing but space, is an empty object.
    pub fn parse(configuration: &[u8]) -> Result<Self, ConfigError> {
        if MAX_BYTES < configuration.len() {
            let found = [&configuration.len().to_string(), " bytes"].concat();
            let allowed = ["at most ", &MAX_BYTES.to_string(), " bytes"].concat();
            let advice = "Shorten the configuration.";
            return Err(ConfigError::new(vec![Problem::new("configuration", found, allowed).advise(advice)]));
        }
        if protobuf::looks_like_struct(configuration) {
            return protobuf::read(configuration);
        }
        if configuration.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::Object(Vec::new()));
        }
        serde_json::from_slice(configuration).map_err(|error| {
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

    /// Takes the value of the path's last key away, so that the rest can be checked too; with it go objects that this
    /// leaves empty. An element of a list takes its list along, lest those behind it get another index. False at the root.
    pub fn prune(&mut self, path: &[Step]) -> bool {
        let Some(last) = path.iter().rposition(|step| matches!(step, Step::Key(_))) else { return false };
        self.cut(path.get(..=last).unwrap_or_default())
    }

    fn cut(&mut self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else { return false };
        match (step, self) {
            (Step::Index(index), Self::List(elements)) => elements.get_mut(*index).is_some_and(|tree| tree.cut(rest)),
            (Step::Key(key), Self::Object(entries)) => {
                let Some(place) = entries.iter().position(|(name, _)| name == key) else { return false };
                let gone = rest.is_empty()
                    || entries.get_mut(place).is_some_and(|(_, child)| {
                        child.cut(rest) && matches!(child, Self::Object(entries) if entries.is_empty())
                    });
                if gone {
                    entries.remove(place);
                }
                true
            }
            _ => false,
        }
    }

    /// The kind and the value, for a message.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Double(value) => number(*value),
            Self::Text(text) => error::quoted(text),
            Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }

    /// The kind alone, for a message about a value that may be a secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The whole number that this is: `5`, and also `5.0` and `1e3`, as a `Struct` or a template engine writes it.
    pub fn whole(&self) -> Option<i128> {
        match *self {
            Self::Unsigned(value) => Some(i128::from(value)),
            Self::Signed(value) => Some(i128::from(value)),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < EXACT => Some(value as i128),
            _ => None,
        }
    }

    /// The number that this is.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Double(value) => Some(value),
            _ => None,
        }
    }
}

/// 2^53: below it a double holds every whole number exactly.
pub const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number as it stands in a message: the shortest form that reads back to it.
pub fn number(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| "no finite number".to_owned(), |number| number.to_string())
}

/// A path as it stands in a message: `sampling.rules[2].ratio`, `resource["cloud.region"]`.
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text.push_str(&["[", &index.to_string(), "]"].concat()),
            Step::Key(key)
                if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) =>
            {
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

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
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
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(u64::try_from(value).map_or(Tree::Signed(value), Tree::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object: Vec<(String, Tree)> = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(["the key ", &error::quoted(&key), " twice in one object"].concat()));
            }
            if MAX_KEYS <= object.len() {
                return Err(A::Error::custom("more than 256 keys in one object"));
            }
            object.push((key, entries.next_value()?));
        }
        Ok(Tree::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    fn parse(text: &str) -> Tree {
        Tree::parse(text.as_bytes()).expect("a configuration")
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let mut tree = parse(r#"{"export": {"timeout_ms": 5}, "sampling": 3}"#);
        tree.fill(&["export", "timeout_ms"], Tree::Unsigned(6));
        tree.fill(&["export", "compression"], Tree::Text("gzip".to_owned()));
        tree.fill(&["sampling", "ratio"], Tree::Unsigned(1));
        tree.fill(&["upgrade", "edge"], Tree::Bool(true));
        let filled =
            r#"{"export": {"timeout_ms": 5, "compression": "gzip"}, "sampling": 3, "upgrade": {"edge": true}}"#;
        assert_eq!(tree, parse(filled));
    }

    #[test]
    fn pruning_takes_the_fault_and_leaves_the_indices() {
        let whole = r#"{"a": [{"b": 1}, {"b": {"c": 2}, "d": 3}], "e": {"f": [1, 2]}}"#;
        let mut tree = parse(whole);
        assert!(tree.prune(&[key("a"), Step::Index(1), key("b"), key("c")]));
        assert!(tree.prune(&[key("e"), key("f"), Step::Index(1)]));
        assert_eq!(tree, parse(r#"{"a": [{"b": 1}, {"d": 3}]}"#));
        assert!(!tree.prune(&[]));
        assert!(!tree.prune(&[key("nothing")]));
    }

    #[test]
    fn paths_read_like_a_query() {
        assert_eq!(
            path_text(&[key("sampling"), key("rules"), Step::Index(2), key("ratio")]),
            "sampling.rules[2].ratio"
        );
        assert_eq!(path_text(&[key("resource"), key("cloud.region")]), r#"resource["cloud.region"]"#);
        assert_eq!(path_text(&[]), "configuration");
    }

    #[test]
    fn numbers_keep_every_bit() {
        let tree = parse("[0.9999999999999999, 1e-20, 5.0, 18446744073709551615, -3, 1.048576e+06]");
        let Tree::List(numbers) = &tree else { panic!("a list") };
        assert_eq!(numbers[0], Tree::Double(1.0 - f64::EPSILON / 2.0));
        assert_eq!(numbers[1].number(), Some(1e-20));
        assert_eq!(numbers[2].whole(), Some(5));
        assert_eq!(numbers[3].whole(), Some(i128::from(u64::MAX)));
        assert_eq!(numbers[4].whole(), Some(-3));
        assert_eq!(numbers[5].whole(), Some(1_048_576));
    }
}
