//! A document whose values know their places.

use serde::Serialize;

/// A place in a text: both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of this byte; the end for one behind it.
    pub fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        Self { line: before.matches('\n').count() + 1, column: column + 1 }
    }

    /// The place after this character.
    pub fn after(self, character: char) -> Self {
        if character == '\n' {
            Self { line: self.line + 1, column: 1 }
        } else {
            Self { column: self.column + 1, ..self }
        }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its first character.
    pub at: Position,
    /// What it is.
    pub node: Node,
}

/// A value of JSON or YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Located>),
    /// An object in the order of the text.
    Object(Vec<Entry>),
}

/// One key of an object and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Position,
    /// The value.
    pub value: Located,
}

impl Located {
    /// The value of this key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value of this field of a protobuf message, written `vm_config` or, as JSON has it, `vmConfig`.
    pub fn proto(&self, field: &str) -> Option<&Self> {
        let entries = self.entries().iter();
        entries.into_iter().find(|entry| is_field(&entry.key, field)).map(|entry| &entry.value)
    }

    /// The value at the end of these keys.
    pub fn path(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Node::Text(text) = &self.node { Some(text) } else { None }
    }

    /// The text at the end of these keys.
    pub fn text_at(&self, keys: &[&str]) -> Option<&str> {
        self.path(keys)?.text()
    }

    /// The keys of an object; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Node::Object(entries) = &self.node { entries } else { &[] }
    }

    /// The elements of a list; none for anything else.
    pub fn elements(&self) -> &[Self] {
        if let Node::List(elements) = &self.node { elements } else { &[] }
    }

    /// Where the value at this path of a message stands (`sampling.rules[2].ratio`, `resource["cloud.region"]`), or the
    /// nearest thing around it that is there. For a key that should not be there, `key` asks for the key's own place.
    pub fn place(&self, path: &str, key: bool) -> Position {
        let mut here = self;
        let mut at = self.at;
        let mut rest = path;
        while let Some((step, after)) = step(rest) {
            rest = after;
            let next = match step {
                Step::Index(index) => here.elements().get(index).map(|element| (element, element.at)),
                Step::Key(name) => {
                    let entry = here.entries().iter().find(|entry| entry.key == name);
                    entry.map(|entry| (&entry.value, if key { entry.at } else { entry.value.at }))
                }
            };
            match next {
                Some((value, place)) => (here, at) = (value, place),
                None => break,
            }
        }
        at
    }

    /// The value as JSON text, numbers as they were written.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, text: &mut String) {
        let quote = |value: &str| serde_json::Value::from(value).to_string();
        match &self.node {
            Node::Null => text.push_str("null"),
            Node::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Node::Number(number) => text.push_str(number),
            Node::Text(value) => text.push_str(&quote(value)),
            Node::List(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    element.write_json(text);
                }
                text.push(']');
            }
            Node::Object(entries) => {
                text.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    text.push_str(&quote(&entry.key));
                    text.push(':');
                    entry.value.write_json(text);
                }
                text.push('}');
            }
        }
    }
}

/// Whether the key is this field in one of its two spellings.
fn is_field(key: &str, field: &str) -> bool {
    let mut wanted = field.chars().peekable();
    key == field
        || key.chars().all(|letter| {
            let next = wanted.next();
            let expected = if next == Some('_') { wanted.next().map(|next| next.to_ascii_uppercase()) } else { next };
            Some(letter) == expected
        }) && wanted.peek().is_none()
}

enum Step {
    Key(String),
    Index(usize),
}

/// The first step of a path in a message, and the rest.
fn step(path: &str) -> Option<(Step, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some(inside) = path.strip_prefix("[\"") {
        let (key, rest) = inside.split_once("\"]")?;
        return Some((Step::Key(key.to_owned()), rest));
    }
    if let Some(inside) = path.strip_prefix('[') {
        let (index, rest) = inside.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), rest));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (key, rest) = path.split_at_checked(end)?;
    (!key.is_empty()).then(|| (Step::Key(key.to_owned()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_value_or_as_near_as_there_is() {
        let text = "{\n  \"sampling\": {\"rules\": [{\"ratio\": 1},\n    {\"ratoi\": 2}]}\n}";
        let document = super::super::json::read(text).unwrap();
        let at = |line, column| Position { line, column };
        assert_eq!(document.place("sampling.rules[0].ratio", false), at(2, 36));
        assert_eq!(document.place("sampling.rules[1].ratoi", true), at(3, 6));
        assert_eq!(document.place("sampling.rules[1].ratoi", false), at(3, 15));
        assert_eq!(document.place("sampling.rules[1].match.path", false), at(3, 5));
        assert_eq!(document.place("configuration", false), at(1, 1));
    }

    #[test]
    fn a_field_has_two_spellings() {
        for (key, field, same) in [
            ("vm_config", "vm_config", true),
            ("vmConfig", "vm_config", true),
            ("vmconfig", "vm_config", false),
            ("vmConfigs", "vm_config", false),
            ("vmConf", "vm_config", false),
            ("@type", "@type", true),
        ] {
            assert_eq!(is_field(key, field), same, "{key}");
        }
    }

    #[test]
    fn bytes_become_lines_and_columns_of_characters() {
        assert_eq!(Position::of("aé\nüx", 6), Position { line: 2, column: 2 });
        assert_eq!(Position::of("", 5), Position::START);
    }
}
