//! YAML with places, by the parser of the `saphyr` project. Scalars mean what YAML 1.2's core schema says, as Kubernetes and
//! Envoy have it for everything that occurs in their files.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::located::Entry;
use super::{Finding, Located, Node, Position};
use tracelift::json::MAX_DEPTH;

/// Values that one file may have: an alias can stand for a large part of it, again and again.
const MAX_VALUES: usize = 1_000_000;

/// Every document of the text that is not empty.
pub fn read(text: &str) -> Result<Vec<Located>, Finding> {
    let mut builder = Builder::default();
    let mut at = Position::START;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            Finding::error(position(error.marker()), "", format!("no valid YAML: {}", error.info()))
        })?;
        at = position(&span.start);
        builder.take(event, at)?;
    }
    if builder.open.is_empty() { Ok(builder.documents) } else { Err(Finding::error(at, "", "the file ends too early")) }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

#[derive(Default)]
struct Builder {
    documents: Vec<Located>,
    open: Vec<Open>,
    anchors: HashMap<usize, Located>,
    values: usize,
}

/// A list or an object that is being read.
struct Open {
    anchor: usize,
    value: Located,
    /// The key that waits for its value.
    key: Option<(String, Position)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Finding> {
        match event {
            Event::Scalar(text, style, anchor, _) => self.complete(anchor, Located { at, node: scalar(&text, style) }),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(value) => {
                    let value = Located { at, ..value.clone() };
                    self.values += size(&value);
                    self.complete(0, value)
                }
                None => Err(Finding::error(at, "", "an alias without its anchor")),
            },
            Event::SequenceStart(anchor, _) => self.begin(anchor, at, Node::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, at, Node::Object(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.complete(open.anchor, open.value),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, at: Position, node: Node) -> Result<(), Finding> {
        if MAX_DEPTH <= self.open.len() {
            return Err(Finding::error(at, "", format!("more than {MAX_DEPTH} levels of lists and objects")));
        }
        self.open.push(Open { anchor, value: Located { at, node }, key: None });
        Ok(())
    }

    fn complete(&mut self, anchor: usize, value: Located) -> Result<(), Finding> {
        self.values += 1;
        if MAX_VALUES < self.values {
            return Err(Finding::error(value.at, "", format!("more than {MAX_VALUES} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if value.node != Node::Null {
                self.documents.push(value);
            }
            return Ok(());
        };
        match (&mut open.value.node, open.key.take()) {
            (Node::List(elements), _) => elements.push(value),
            (Node::Object(entries), Some((key, at))) => {
                if entries.iter().any(|entry| entry.key == key) {
                    return Err(Finding::error(at, key, "the key stands twice in one object"));
                }
                entries.push(Entry { key, at, value });
            }
            (_, _) => {
                let key = match value.node {
                    Node::Text(text) | Node::Number(text) => text,
                    Node::Bool(value) => value.to_string(),
                    Node::Null => String::new(),
                    Node::List(_) | Node::Object(_) => {
                        return Err(Finding::error(value.at, "", "a key that is no text"));
                    }
                };
                open.key = Some((key, value.at));
            }
        }
        Ok(())
    }
}

fn size(value: &Located) -> usize {
    let children = value.elements().iter().chain(value.entries().iter().map(|entry| &entry.value));
    children.map(|child| 1 + size(child)).sum()
}

/// YAML 1.2.2, "10.3.2 Tag Resolution". Only plain scalars are anything but text.
fn scalar(text: &str, style: ScalarStyle) -> Node {
    if style != ScalarStyle::Plain {
        return Node::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        _ => number(text).map_or_else(|| Node::Text(text.to_owned()), Node::Number),
    }
}

/// The number as JSON writes it.
fn number(text: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "a sign is refused before, and any length is allowed")]
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.starts_with('+'))?;
        u64::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(number.to_string());
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None; // `inf` and `nan` are numbers to Rust.
    }
    let value: f64 = text.parse().ok()?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    Some(if is_json { text.to_owned() } else { value.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_their_values_and_places() {
        let documents = read("---\na: [1, 0x10, '2', ~, yes]\nb: &b {c: .5}\n---\n# nothing\n---\nd: 1.0.0\n").unwrap();
        let json: Vec<_> = documents.iter().map(Located::to_json).collect();
        assert_eq!(json, [r#"{"a":[1,16,"2",null,"yes"],"b":{"c":0.5}}"#, r#"{"d":"1.0.0"}"#]);
        assert_eq!(documents[0].place("b.c", false), Position { line: 3, column: 11 });
        assert_eq!(documents[1].place("d", true), Position { line: 7, column: 1 });
    }

    #[test]
    fn a_number_of_another_radix_has_no_sign_behind_its_prefix() {
        let documents = read("[0x1f, 0o17, 0x+1, 0x-1, 0x]").unwrap();
        assert_eq!(documents[0].to_json(), r#"[31,15,"0x+1","0x-1","0x"]"#);
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        let documents = read("a: &x {b: 1}\nc: *x\n").unwrap();
        assert_eq!(documents[0].to_json(), r#"{"a":{"b":1},"c":{"b":1}}"#);
    }

    #[test]
    fn aliases_that_multiply_end_at_a_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(read(&text).unwrap_err().message.contains("more than"));
    }

    #[test]
    fn faults_have_their_places() {
        let place = |text: &str| read(text).map_err(|fault| fault.at);
        assert_eq!(place("a: 1\na: 2\n"), Err(Position { line: 2, column: 1 }));
        assert_eq!(place("a: [1\nb: 2\n").unwrap_err().line, 2);
    }
}
