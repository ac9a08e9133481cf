//! Expressions over properties, as far as a tracing filter needs them: `[a.b,has(c.d)?c.d:'']`.
//!
//! Envoy compiles any CEL (foreign functions `expr_create`, `expr_evaluate`). This reads lists of properties, each plain or
//! with a default for when it is absent, and refuses everything else as Envoy refuses what does not parse.

use crate::headers::encode_pairs;
use crate::{Property, PropertyPath, Status};

/// A list of properties.
#[derive(Debug)]
pub(crate) struct Expression(Vec<Item>);

#[derive(Debug)]
struct Item {
    path: PropertyPath,
    /// Its value where the property is absent; without one that is an error of the whole list.
    default: Option<Vec<u8>>,
}

impl Expression {
    /// `None` for what this host cannot evaluate.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let list = text.strip_prefix('[')?.strip_suffix(']')?;
        list.split(',').map(|item| Item::parse(item.trim())).collect::<Option<_>>().map(Self)
    }

    /// The values in Envoy's encoding of a list: a map of values to nothing.
    pub(crate) fn evaluate(&self, mut read: impl FnMut(&[u8]) -> Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> {
        let mut values = Vec::with_capacity(self.0.len());
        for item in &self.0 {
            let value = match (read(&item.path.0), &item.default) {
                (Ok(value), _) => value,
                (Err(_), Some(default)) => default.clone(),
                (Err(_), None) => return Err(Status::InternalFailure),
            };
            values.push((value, Vec::new()));
        }
        Ok(encode_pairs(&values))
    }
}

impl Item {
    fn parse(text: &str) -> Option<Self> {
        let path = |text: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            (!text.is_empty() && text.chars().all(legal)).then(|| PropertyPath::from(text))
        };
        let Some(guarded) = text.strip_prefix("has(") else {
            return Some(Self { path: path(text)?, default: None });
        };
        let (asked, rest) = guarded.split_once(")?")?;
        let (taken, default) = rest.split_once(':')?;
        let default = match default.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            Some(text) => Property::from(text),
            None => Property::from(default.parse::<i64>().ok()?),
        };
        (asked == taken).then_some(Self { path: path(asked)?, default: default.0.ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &[u8]) -> Result<Vec<u8>, Status> {
        if path == b"request\0path" { Ok(b"/a".to_vec()) } else { Err(Status::NotFound) }
    }

    #[test]
    fn a_list_has_a_value_for_each_of_its_properties_or_fails() {
        let evaluate = |text: &str| Expression::parse(text).map(|it| it.evaluate(read));
        let list = |values: &[&[u8]]| {
            let list: Vec<_> = values.iter().map(|value| (value.to_vec(), Vec::new())).collect();
            Some(Ok(encode_pairs(&list)))
        };
        assert_eq!(evaluate("[request.path]"), list(&[b"/a"]));
        assert_eq!(evaluate("[has(request.path)?request.path:'', request.path]"), list(&[b"/a", b"/a"]));
        assert_eq!(evaluate("[has(x.y)?x.y:'',has(x.z)?x.z:7]"), list(&[b"", &7_i64.to_le_bytes()]));
        assert_eq!(evaluate("[request.path,x.y]"), Some(Err(Status::InternalFailure)));
        for text in ["", "request.path", "[]", "[a+b]", "[has(a.b)?c.d:'']", "[has(a.b)?a.b:x]", "[has(a.b)]"] {
            assert_eq!(evaluate(text), None, "{text}");
        }
    }
}
