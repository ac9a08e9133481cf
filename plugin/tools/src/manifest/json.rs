//! JSON with places. `serde_json` says whether the text is JSON; only then are its values found in it.

use serde::de::IgnoredAny;

use super::located::Entry;
use super::{Finding, Located, Node, Position};
use tracelift::json::MAX_DEPTH;

/// Reads one JSON value with space around it.
pub fn read(text: &str) -> Result<Located, Finding> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
        let told = error.to_string();
        let reason = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
        let at = Position { line: error.line().max(1), column: error.column().max(1) };
        Finding::error(at, "", format!("no valid JSON: {reason}"))
    })?;
    let mut scanner = Scanner { rest: text, at: Position::START, depth: 0 };
    scanner.space();
    scanner
        .value()
        .ok_or_else(|| Finding::error(scanner.at, "", format!("more than {MAX_DEPTH} levels of lists and objects")))
}

/// Walks over text that is known to be JSON.
struct Scanner<'t> {
    rest: &'t str,
    at: Position,
    depth: usize,
}

impl Scanner<'_> {
    /// `None` where it is too deep to go on.
    fn value(&mut self) -> Option<Located> {
        let at = self.at;
        let node = match self.peek() {
            Some('{') => self.inside(Self::object)?,
            Some('[') => self.inside(Self::list)?,
            Some('"') => Node::Text(self.string()),
            _ => match self.word().as_str() {
                "null" => Node::Null,
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                number => Node::Number(number.to_owned()),
            },
        };
        Some(Located { at, node })
    }

    fn inside(&mut self, read: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        if MAX_DEPTH <= self.depth {
            return None;
        }
        self.depth += 1;
        self.next();
        self.space();
        let node = read(self)?;
        self.next();
        self.depth -= 1;
        Some(node)
    }

    fn object(&mut self) -> Option<Node> {
        let mut entries = Vec::new();
        while self.peek() == Some('"') {
            let at = self.at;
            let key = self.string();
            self.separator();
            let value = self.value()?;
            self.separator();
            entries.push(Entry { key, at, value });
        }
        Some(Node::Object(entries))
    }

    fn list(&mut self) -> Option<Node> {
        let mut elements = Vec::new();
        while self.peek().is_some_and(|next| next != ']') {
            elements.push(self.value()?);
            self.separator();
        }
        Some(Node::List(elements))
    }

    /// A colon or a comma and the space around it, if there is one.
    fn separator(&mut self) {
        self.space();
        if self.peek().is_some_and(|next| ",:".contains(next)) {
            self.next();
            self.space();
        }
    }

    fn string(&mut self) -> String {
        let start = self.rest;
        self.next();
        while let Some(character) = self.next() {
            match character {
                '\\' => drop(self.next()),
                '"' => break,
                _ => {}
            }
        }
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        serde_json::from_str(raw).unwrap_or_default() // It is a JSON string: the whole text was JSON.
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.peek().filter(|next| !",]}".contains(*next) && !next.is_ascii_whitespace()) {
            word.push(next);
            self.next();
        }
        word
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|next| next.is_ascii_whitespace()) {
            self.next();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        self.at = self.at.after(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_has_its_place() {
        let fault = read("{\n  \"a\": 1,\n  b\n}").unwrap_err();
        assert_eq!(
            (fault.at, fault.message.as_str()),
            (Position { line: 3, column: 3 }, "no valid JSON: key must be a string")
        );
    }

    #[test]
    fn what_is_too_deep_is_told_and_not_walked() {
        let nested = ["[".repeat(100), "]".repeat(100)].concat();
        assert!(read(&nested).unwrap_err().message.contains("64 levels"));
    }

    proptest! {
        #[test]
        fn what_was_read_is_what_serde_reads(keys in prop::collection::vec("[a-z\u{e9}\"\\\\{}:,\n]{0,6}", 0..5), number in any::<i64>()) {
            let entries = keys.iter().enumerate().map(|(index, key)| (format!("{index}{key}"), serde_json::json!([number, key, {"deep": null}])));
            let wanted = serde_json::Value::Object(entries.collect());
            for text in [wanted.to_string(), serde_json::to_string_pretty(&wanted).unwrap()] {
                let read = read(&text).unwrap().to_json();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&read).unwrap(), wanted.clone());
            }
        }
    }
}
