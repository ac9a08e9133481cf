//! What the parser sees: scalars as they are written, with their tags, aliases put in.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag as ParsedTag};

use super::super::{Finding, Position};
use tracelift::json::MAX_DEPTH;

/// Values that one file may have: an alias can stand for a large part of it, again and again.
const MAX_VALUES: usize = 1_000_000;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub struct Raw {
    pub at: Position,
    pub tag: Tag,
    pub node: RawNode,
}

/// What it is.
#[derive(Clone, Debug)]
pub enum RawNode {
    /// A scalar; `plain` when it is neither quoted nor a block.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Raw>),
    /// An object, keys with their values, as they come.
    Object(Vec<(Raw, Raw)>),
}

/// What is said of a value's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Nothing.
    None,
    /// `!`: a text.
    NonSpecific,
    /// `!!int` and the like, by the name behind the marks.
    Core(String),
    /// `!ignore`, which Envoy's loader looks for on keys, or anything else.
    Other(String),
}

impl Raw {
    /// Whether it is an object with this key.
    pub fn has_key(&self, wanted: &str) -> bool {
        let RawNode::Object(entries) = &self.node else { return false };
        entries.iter().any(|(key, _)| matches!(&key.node, RawNode::Scalar { text, .. } if text == wanted))
    }

    fn size(&self) -> usize {
        match &self.node {
            RawNode::Scalar { .. } => 1,
            RawNode::List(elements) => 1 + elements.iter().map(Self::size).sum::<usize>(),
            RawNode::Object(entries) => 1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
        }
    }
}

/// Every document of the text that is not empty.
pub fn read(text: &str) -> Result<Vec<Raw>, Finding> {
    let mut builder = Builder::default();
    let mut at = Position::START;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let hint = if text.contains("{{") { ". It looks like a template: check what it renders to" } else { "" };
            Finding::error(position(error.marker()), "", format!("no valid YAML: {}{hint}", error.info()))
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
    documents: Vec<Raw>,
    open: Vec<Open>,
    anchors: HashMap<usize, Raw>,
    values: usize,
}

/// A list or an object that is being read.
struct Open {
    anchor: usize,
    value: Raw,
    /// The key that waits for its value.
    key: Option<Raw>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Finding> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = RawNode::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.complete(anchor, Raw { at, tag: read_tag(tag), node })
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(value) => {
                    let value = Raw { at, ..value.clone() };
                    self.values += value.size();
                    self.complete(0, value)
                }
                None => Err(Finding::error(at, "", "an alias without its anchor")),
            },
            Event::SequenceStart(anchor, tag) => self.begin(anchor, at, tag, RawNode::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.begin(anchor, at, tag, RawNode::Object(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.complete(open.anchor, open.value),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        anchor: usize,
        at: Position,
        tag: Option<Cow<'_, ParsedTag>>,
        node: RawNode,
    ) -> Result<(), Finding> {
        if MAX_DEPTH <= self.open.len() {
            return Err(Finding::error(at, "", format!("more than {MAX_DEPTH} levels of lists and objects")));
        }
        self.open.push(Open { anchor, value: Raw { at, tag: read_tag(tag), node }, key: None });
        Ok(())
    }

    fn complete(&mut self, anchor: usize, value: Raw) -> Result<(), Finding> {
        self.values += 1;
        if MAX_VALUES < self.values {
            return Err(Finding::error(value.at, "", format!("more than {MAX_VALUES} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if !is_empty(&value) {
                self.documents.push(value);
            }
            return Ok(());
        };
        match &mut open.value.node {
            RawNode::List(elements) => elements.push(value),
            RawNode::Object(entries) => match open.key.take() {
                Some(key) => entries.push((key, value)),
                None => open.key = Some(value),
            },
            RawNode::Scalar { .. } => {}
        }
        Ok(())
    }
}

/// Nothing at all, as between two `---`.
fn is_empty(value: &Raw) -> bool {
    value.tag == Tag::None
        && matches!(&value.node, RawNode::Scalar { text, plain: true } if ["", "~", "null"].contains(&text.as_str()))
}

fn read_tag(tag: Option<Cow<'_, ParsedTag>>) -> Tag {
    let Some(tag) = tag else { return Tag::None };
    match (tag.is_yaml_core_schema(), tag.handle.as_str(), tag.suffix.as_str()) {
        (true, _, suffix) => Tag::Core(suffix.to_owned()),
        (_, "!" | "", "" | "!") => Tag::NonSpecific,
        (_, handle, suffix) => match [handle, suffix].concat().strip_prefix("tag:yaml.org,2002:") {
            Some(core) => Tag::Core(core.to_owned()),
            None => Tag::Other([handle, suffix].concat()),
        },
    }
}
