//! Serde over a [`Tree`]: knows the path of every fault, and reads on after it, so that one refusal tells of all.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

use super::error::{self, MAX_PROBLEMS, Problem};
use super::tree::{Step, Tree, path_text};

/// Name of the newtype whose content no message may show.
pub const SECRET: &str = "Secret";
/// Name of the one enum whose variants have a value: an object with one key. All others are bare names.
const TAGGED: &str = "StringMatch";

/// Reads what is well-formed and names every fault. The value is the default wherever one was found.
pub fn read<T: for<'de> Deserialize<'de> + Default>(mut tree: Tree) -> (T, Vec<Problem>) {
    let mut problems = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        let fault = match T::deserialize(&tree) {
            Ok(value) => return (value, problems),
            Err(fault) => fault,
        };
        let Fault { mut path, found, allowed, advice } = *fault.0;
        path.reverse();
        let problem = Problem::new(path_text(&path), found, allowed);
        problems.push(match advice {
            Some(advice) => problem.advise(advice),
            None => problem,
        });
        if !tree.prune(&path) {
            break;
        }
    }
    (T::default(), problems)
}

/// Why a value is none of its type. Boxed: every reader returns it.
#[derive(Debug)]
pub struct ReadError(Box<Fault>);

#[derive(Debug)]
struct Fault {
    /// From the leaf to the root: each level adds itself on the way out.
    path: Vec<Step>,
    found: String,
    allowed: String,
    advice: Option<String>,
}

impl ReadError {
    fn new(found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self(Box::new(Fault { path: Vec::new(), found: found.into(), allowed: allowed.into(), advice: None }))
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    fn inside(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    fn unknown(name: &str, known: &[&str]) -> Self {
        let fault = Self::new(error::quoted(name), error::one_of(known));
        match error::nearest(name, known) {
            Some(near) => fault.advise(["Did you mean `", near, "`?"].concat()),
            None => fault,
        }
    }

    fn unknown_key(key: &str, known: &[&str]) -> Self {
        let mut fault = Self::unknown(key, known).inside(Step::Key(key.to_owned()));
        fault.0.found = "an unknown key".to_owned();
        if fault.0.advice.is_none() {
            fault.0.advice = Some("Take it out, or write it where it belongs.".to_owned());
        }
        fault
    }
}

impl Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.found)
    }
}

impl std::error::Error for ReadError {}

/// What serde's own visitors say. Those of this room build a whole fault through `invalid_value`.
impl de::Error for ReadError {
    fn custom<T: Display>(found: T) -> Self {
        Self::new(found.to_string(), "a value of this key")
    }

    fn invalid_type(found: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self::new(found.to_string(), allowed.to_string())
    }

    fn invalid_value(found: Unexpected<'_>, allowed: &dyn Expected) -> Self {
        Self::invalid_type(found, allowed)
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::unknown(name, known)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::unknown_key(key, known)
    }
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Unsigned(value) => visitor.visit_u64(*value),
            Tree::Signed(value) => visitor.visit_i64(*value),
            Tree::Double(value) => visitor.visit_f64(*value),
            Tree::Text(text) => visitor.visit_borrowed_str(text),
            Tree::List(elements) => visitor.visit_seq(Elements { elements, next: 0 }),
            Tree::Object(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if *self == Tree::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Tree::Bool(value) = self else {
            return Err(ReadError::new(self.describe(), "true or false").advise("Write it without quotes."));
        };
        visitor.visit_bool(*value)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Tree::Text(text) = self else {
            return Err(ReadError::new(self.describe(), "a text").advise("Write it in quotes."));
        };
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == SECRET && !matches!(self, Tree::Text(_)) {
            return Err(ReadError::new(self.kind(), "a text").advise("Write it in quotes."));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Tree::List(elements) = self else {
            return Err(ReadError::new(self.describe(), "a list").advise("Write it in square brackets."));
        };
        visitor.visit_seq(Elements { elements, next: 0 })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Tree::Object(entries) = self else {
            return Err(ReadError::new(self.describe(), "an object"));
        };
        visitor.visit_map(Entries { entries, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Tree::Object(entries) = self else {
            return Err(ReadError::new(self.describe(), ["an object with ", &error::one_of(fields)].concat()));
        };
        match entries.iter().find(|(key, _)| !fields.contains(&key.as_str())) {
            Some((key, _)) => Err(ReadError::unknown_key(key, fields)),
            None => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    /// A text is a bare name; an object with one key is a name with a value (`{"prefix": "/pay"}`).
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self {
            Tree::Object(entries) if name == TAGGED => match entries.as_slice() {
                [(key, _)] if variants.contains(&key.as_str()) => {
                    visitor.visit_enum(MapAccessDeserializer::new(Entries { entries, next: 0 }))
                }
                [(key, _)] => Err(ReadError::unknown_key(key, variants)),
                _ => {
                    let found = ["an object with ", &entries.len().to_string(), " keys"].concat();
                    Err(ReadError::new(found, one_key_of(variants)))
                }
            },
            _ if name == TAGGED => {
                let advice = "Write the test, too: {\"exact\": \"...\"}.";
                Err(ReadError::new(self.describe(), one_key_of(variants)).advise(advice))
            }
            Tree::Text(name) if variants.contains(&name.as_str()) => {
                visitor.visit_enum(name.as_str().into_deserializer())
            }
            Tree::Text(name) => Err(ReadError::unknown(name, variants)),
            _ => Err(ReadError::new(self.describe(), error::one_of(variants))),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

fn one_key_of(variants: &[&str]) -> String {
    ["an object with exactly one of ", &error::one_of(variants)].concat()
}

struct Elements<'de> {
    elements: &'de [Tree],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(element) = self.elements.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(element).map(Some).map_err(|fault| fault.inside(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: &'de [(String, Tree)],
    next: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(BorrowedStrDeserializer::new(key))
            .map(Some)
            .map_err(|fault: ReadError| fault.inside(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((key, value)) = self.entries.get(self.next) else {
            return Err(ReadError::new("a key without a value", "a value"));
        };
        self.next += 1;
        seed.deserialize(value).map_err(|fault| fault.inside(Step::Key(key.clone())))
    }
}
