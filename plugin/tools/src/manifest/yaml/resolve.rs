//! From what is written to what it means to Envoy or to Kubernetes.

use std::collections::HashMap;

use super::super::located::Entry;
use super::super::{Finding, Located, Node};
use super::raw::{Raw, RawNode, Tag};
use super::{Dialect, envoy, kubernetes};

/// The value, and a warning for each key that comes twice. Envoy and Kubernetes both take the last one.
pub fn resolve(raw: &Raw, dialect: Dialect, warnings: &mut Vec<Finding>) -> Result<Located, Finding> {
    let node = match &raw.node {
        RawNode::Scalar { text, plain } => match dialect {
            Dialect::Envoy => envoy::scalar(text, *plain, &raw.tag),
            Dialect::Kubernetes => kubernetes::scalar(text, *plain, &raw.tag, raw.at)?,
        },
        RawNode::List(elements) => {
            let elements = elements.iter().map(|element| resolve(element, dialect, warnings));
            Node::List(elements.collect::<Result<_, _>>()?)
        }
        RawNode::Object(entries) => {
            let mut object = Object::default();
            for (key, value) in entries {
                object.take(key, value, dialect, warnings)?;
            }
            Node::Object(object.entries)
        }
    };
    Ok(Located { at: raw.at, node })
}

/// Keys in their order; the index is for objects of very many.
#[derive(Default)]
struct Object {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl Object {
    fn take(&mut self, key: &Raw, value: &Raw, dialect: Dialect, warnings: &mut Vec<Finding>) -> Result<(), Finding> {
        let RawNode::Scalar { text, plain } = &key.node else {
            return Err(Finding::error(key.at, "", "a key that is not a string"));
        };
        let name = match dialect {
            Dialect::Envoy if key.tag == Tag::Other("!ignore".to_owned()) => return Ok(()),
            Dialect::Envoy => envoy::key(text, *plain, &key.tag),
            Dialect::Kubernetes if kubernetes::merges(text, *plain, &key.tag) => {
                return self.merge(value, warnings);
            }
            Dialect::Kubernetes => kubernetes::key(text, *plain, &key.tag, key.at)?,
        };
        let value = resolve(value, dialect, warnings)?;
        if self.put(Entry { key: name.clone(), at: key.at, value }) {
            let message = "stands twice in one object: the last one counts. Take one of them out.";
            warnings.push(Finding::warning(key.at, name, message));
        }
        Ok(())
    }

    /// True if the key was there.
    fn put(&mut self, entry: Entry) -> bool {
        match self.places.get(&entry.key).and_then(|place| self.entries.get_mut(*place)) {
            Some(known) => {
                *known = entry;
                true
            }
            None => {
                self.places.insert(entry.key.clone(), self.entries.len());
                self.entries.push(entry);
                false
            }
        }
    }

    /// `<<`: go-yaml puts the keys of the other object over those that came before, and those that come later over them. Of
    /// several objects the first one counts.
    fn merge(&mut self, value: &Raw, warnings: &mut Vec<Finding>) -> Result<(), Finding> {
        let sources = match &value.node {
            RawNode::List(elements) => elements.iter().rev().collect(),
            _ => vec![value],
        };
        for source in sources {
            if !matches!(source.node, RawNode::Object(_)) {
                let message = "`<<` merges an object or a list of objects; allowed is nothing else";
                return Err(Finding::error(source.at, "<<", message));
            }
            let Node::Object(entries) = resolve(source, Dialect::Kubernetes, warnings)?.node else { continue };
            for entry in entries {
                self.put(entry);
            }
        }
        Ok(())
    }
}
