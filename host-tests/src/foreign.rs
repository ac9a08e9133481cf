//! Foreign functions: what Envoy offers beside the ABI. Here are its expressions, as far as lists of attributes go.
//!
//! As Envoy 1.40 was seen to do it, and as `source/extensions/common/wasm/foreign.cc` says.

use std::collections::BTreeMap;

use crate::{Headers, Status};

/// A function that a test puts in the place of Envoy's, by its name.
pub(crate) type Function = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, Status> + Send>;

/// A list of attributes in CEL: each bare, or as `has(x) ? x : ''`.
#[derive(Debug)]
pub(crate) struct List(Vec<Element>);

#[derive(Debug)]
struct Element {
    /// Its parts joined with NUL.
    path: Vec<u8>,
    /// Empty where it is absent, instead of failing the list.
    optional: bool,
}

impl List {
    /// `None` for what is no such list; Envoy knows all of CEL.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: String = text.split_whitespace().collect();
        let elements = text.strip_prefix('[')?.strip_suffix(']')?.split(',');
        elements.map(Element::parse).collect::<Option<_>>().map(Self)
    }

    /// The list in its byte form: a map whose keys are the elements and whose values are empty.
    pub(crate) fn evaluate(&self, read: impl Fn(&[u8]) -> Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> {
        let mut elements = Vec::new();
        for element in &self.0 {
            elements.push(match read(&element.path) {
                Ok(value) => value,
                Err(Status::NotFound) if element.optional => Vec::new(),
                Err(_) => return Err(Status::InternalFailure),
            });
        }
        Ok(Headers::wire(elements.iter().map(|element| (&element[..], &[][..]))))
    }
}

impl Element {
    fn parse(text: &str) -> Option<Self> {
        let (optional, path) = match text.strip_prefix("has(") {
            Some(rest) => {
                let (path, rest) = rest.split_once(")?")?;
                (true, (rest.split_once(':')? == (path, "''")).then_some(path)?)
            }
            None => (false, text),
        };
        let is_name =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        path.split('.').all(is_name).then(|| Self { path: path.replace('.', "\0").into_bytes(), optional })
    }
}

/// The expressions of one root context, by token.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    next: u32,
    lists: BTreeMap<u32, List>,
}

impl Expressions {
    pub(crate) fn create(&mut self, text: &[u8]) -> Result<u32, Status> {
        let list = str::from_utf8(text).ok().and_then(List::parse).ok_or(Status::BadArgument)?;
        let token = self.next;
        self.next += 1;
        self.lists.insert(token, list);
        Ok(token)
    }

    pub(crate) fn get(&self, token: u32) -> Result<&List, Status> {
        self.lists.get(&token).ok_or(Status::NotFound)
    }

    pub(crate) fn delete(&mut self, token: u32) {
        self.lists.remove(&token);
    }

    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_map_of_keys_and_an_absent_attribute_fails_it_unless_it_may_be_absent() {
        let read = |path: &[u8]| if path == b"a\0b" { Ok(b"1".to_vec()) } else { Err(Status::NotFound) };
        let evaluate = |text| List::parse(text).expect("a list").evaluate(read);
        let map = Headers::from([("1", ""), ("", "")]);
        assert_eq!(evaluate("[a.b, has(c.d) ? c.d : '']"), Ok(map.to_pairs()));
        assert_eq!(evaluate("[a.b,c.d]"), Err(Status::InternalFailure));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "a.b", "[]", "[a.b", "[a..b]", "[a.b,]", "[has(a)?b:'']", "[has(a)?a:'x']", "[a+b]"] {
            assert!(List::parse(text).is_none(), "{text}");
        }
    }
}
