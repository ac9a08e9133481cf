//! Scalars that carry their range in their type, so that the check and the JSON Schema cannot differ.

use super::reader::{Read, Reader};
use crate::http::GrpcStatus;
use crate::json::{Step, Tree};
use crate::upgrade::Budget;

/// A whole number from `MIN` to `MAX`; `5.0` and `1e3` are whole, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The smallest and the largest value.
    pub const RANGE: (u64, u64) = (MIN, MAX);

    /// The value, brought into the range: for the defaults, which are in it.
    pub const fn new(value: u64) -> Self {
        Self(if value < MIN {
            MIN
        } else if MAX < value {
            MAX
        } else {
            value
        })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a size; every size has a `MAX` of 32 bits at most.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number in 32 bits; every type that is asked for it has a `MAX` of 32 bits at most.
    pub fn narrow(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

/// A sampling ratio: 0, or 2^-56 to 1. Below that no threshold of the OTel specification exists.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Ratio(pub f64);

impl Ratio {
    /// 2^-56.
    pub const MIN_POSITIVE: f64 = 1.0 / (1_u64 << 56) as f64;
    /// The range in words.
    pub const ALLOWED: &str = "0 (never) or a number from 2^-56 to 1 (5 % is 0.05)";

    /// `None` outside the range, and for what is no number.
    pub fn new(ratio: f64) -> Option<Self> {
        (ratio == 0.0 || (Self::MIN_POSITIVE..=1.0).contains(&ratio)).then_some(Self(ratio))
    }
}

/// A rate a second, 0 to [`Budget::MAX_PER_SECOND`]; fractions are fine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Rate(pub f64);

impl Rate {
    /// The range in words.
    pub const ALLOWED: &str = "a number from 0 to 1000000";
}

/// A factor, 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Factor(pub f64);

impl Factor {
    /// The smallest and the largest.
    pub const RANGE: (f64, f64) = (1.0, 1000.0);
}

/// A number from `MIN` to `MAX`; fractions are fine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Number<const MIN: u64, const MAX: u64>(pub f64);

/// A quantile, 0.5 to 0.9999.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Quantile(pub f64);

impl Quantile {
    /// The smallest and the largest.
    pub const RANGE: (f64, f64) = (0.5, 0.9999);
}

/// A text of `MIN` to `MAX` characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Text<const MIN: u64, const MAX: u64>(pub String);

/// A text that no message shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct Secret(pub String);

/// The name of a header (RFC 9110 section 5.6.2, `token`) of at most 128 bytes, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct HeaderName(pub String);

impl HeaderName {
    /// What is allowed, in words.
    pub const ALLOWED: &str = "the name of a header: 1 to 128 letters, digits or -_.!#$%&'*+^`|~";

    /// Lowers the case. `None` when it is no name.
    pub fn new(name: &str) -> Option<Self> {
        let named = (1..=128).contains(&name.len()) && name.bytes().all(is_token);
        named.then(|| Self(name.to_ascii_lowercase()))
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte)
}

/// One HTTP status code or a class of them: `503`, `"503"` or `"5xx"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatus {
    /// The first code, 100 to 599.
    pub first: u16,
    /// The last code, not before the first.
    pub last: u16,
}

impl HttpStatus {
    const ALLOWED: &str = "a class from \"1xx\" to \"5xx\" or a code from 100 to 599";

    /// The class that begins with this digit, 1 to 5.
    pub const fn class(digit: u8) -> Self {
        let first = digit as u16 * 100;
        Self { first, last: first + 99 }
    }

    fn new(tree: &Tree) -> Option<Self> {
        let code = match tree {
            Tree::Text(text) => match *text.as_bytes() {
                [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => return Some(Self::class(class - b'0')),
                [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().ok()?,
                _ => return None,
            },
            _ => u16::try_from(tree.whole()?).ok().filter(|code| (100..=599).contains(code))?,
        };
        Some(Self { first: code, last: code })
    }
}

/// A gRPC status by its name or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcCode(pub GrpcStatus);

/// An object with keys of the user's choice, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<V>(pub Vec<(String, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// The range of a whole number, in words.
pub fn whole_allowed(min: u64, max: u64) -> String {
    ["a whole number from ", &min.to_string(), " to ", &max.to_string()].concat()
}

/// Not generic over the range: one copy in the module.
fn whole(tree: &Tree, min: u64, max: u64, reader: &mut Reader<'_>) -> Option<u64> {
    match tree.whole().filter(|number| (min..=max).contains(number)) {
        None => reader.refuse_value(tree, &whole_allowed(min, max)),
        number => number,
    }
}

/// As above.
fn text(tree: &Tree, min: u64, max: u64, reader: &mut Reader<'_>) -> Option<String> {
    match tree.text() {
        Some(text) if (min..=max).contains(&(text.chars().count() as u64)) => Some(text.to_owned()),
        _ => {
            let allowed = ["a text of ", &min.to_string(), " to ", &max.to_string(), " characters"].concat();
            reader.refuse_value(tree, &allowed)
        }
    }
}

impl<const MIN: u64, const MAX: u64> Read for Whole<MIN, MAX> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        whole(tree, MIN, MAX, reader).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> Read for Text<MIN, MAX> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        text(tree, MIN, MAX, reader).map(Self)
    }
}

impl Read for Ratio {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        match tree.number().and_then(Self::new) {
            None => reader.refuse_value(tree, Self::ALLOWED),
            ratio => ratio,
        }
    }
}

impl Read for Rate {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        match tree.number().filter(|rate| (0.0..=Budget::MAX_PER_SECOND).contains(rate)) {
            None => reader.refuse_value(tree, Self::ALLOWED),
            rate => rate.map(Self),
        }
    }
}

/// A number of a range.
fn between(tree: &Tree, (min, max): (f64, f64), allowed: &str, reader: &mut Reader<'_>) -> Option<f64> {
    match tree.number().filter(|number| (min..=max).contains(number)) {
        None => reader.refuse_value(tree, allowed),
        number => number,
    }
}

impl Read for Factor {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        between(tree, Self::RANGE, "a number from 1 to 1000", reader).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> Read for Number<MIN, MAX> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        let allowed = ["a number from ", &MIN.to_string(), " to ", &MAX.to_string()].concat();
        between(tree, (MIN as f64, MAX as f64), &allowed, reader).map(Self)
    }
}

impl Read for Quantile {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        between(tree, Self::RANGE, "a number from 0.5 to 0.9999", reader).map(Self)
    }
}

impl Read for Secret {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        match tree.text() {
            Some(text) => Some(Self(text.to_owned())),
            None => reader.refuse(tree.kind(), "a text", "Write it in quotes."),
        }
    }
}

impl Read for HeaderName {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        tree.text().and_then(Self::new).or_else(|| reader.refuse_value(tree, Self::ALLOWED))
    }
}

impl Read for HttpStatus {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        Self::new(tree).or_else(|| reader.refuse_value(tree, Self::ALLOWED))
    }
}

impl Read for GrpcCode {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        let status = match tree {
            Tree::Text(name) => match GrpcStatus::from_name(name) {
                None => return reader.refuse_name(name, GrpcStatus::names()),
                status => status,
            },
            _ => tree.whole().and_then(|code| u8::try_from(code).ok()).and_then(GrpcStatus::from_code),
        };
        match status {
            None => reader.refuse_value(tree, "the name of a gRPC status or its number from 0 to 16"),
            status => status.map(Self),
        }
    }
}

/// All entries or none.
impl<V: Read> Read for Entries<V> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        let Tree::Object(entries) = tree else { return reader.refuse_kind(tree, "an object", "") };
        let mut read = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let value = reader.inside(Step::Key(key), |reader| V::read(value, reader));
            read.extend(value.map(|value| (key.clone(), value)));
        }
        (read.len() == entries.len()).then_some(Self(read))
    }
}
