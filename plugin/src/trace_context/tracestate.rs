//! The `tracestate` header. W3C Trace Context Level 2, "Tracestate Header".
//!
//! Nothing is copied: what was received is checked once, and stays as it is until [`TraceState::edit`] changes our own
//! list-member.

use std::ops::Range;

use super::OtMember;
use super::scan;

/// Most list-members of one header; empty ones do not count.
pub const MAX_MEMBERS: usize = 32;
/// Longest key, in bytes.
pub const MAX_KEY_LEN: usize = 256;
/// Longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 256;
/// Longest header that is read at all: 32 of the longest list-members, each with `, ` behind it.
pub const MAX_READ_LEN: usize = MAX_MEMBERS * (MAX_KEY_LEN + "=".len() + MAX_VALUE_LEN + ", ".len());

/// Why a `tracestate` was refused. It is discarded as a whole then, and `traceparent` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceStateError {
    /// Longer than [`MAX_READ_LEN`].
    Length {
        /// Bytes found.
        found: usize,
    },
    /// More than 32 list-members.
    Members,
    /// A key that is empty, too long, or has a byte that Level 2 does not allow.
    Key,
    /// A list-member without `=`.
    NoEquals,
    /// A value that is empty, too long, or has a byte that is not allowed.
    Value,
}

/// What one pass over a valid header found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Where the value of the first `ot` stands; empty when there is none.
    ot: Range<usize>,
    ot_repeated: bool,
    level2_keys: bool,
}

/// A valid `tracestate`, all its lines joined by `,`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceState<'a> {
    combined: &'a [u8],
    shape: Shape,
}

/// One list-member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Up to 256 bytes of `a-z 0-9 _ - * / @`.
    pub key: &'a [u8],
    /// Up to 256 bytes of printable ASCII without `,` and `=`; leading spaces belong to it.
    pub value: &'a [u8],
    /// `key=value`, as received.
    pub text: &'a [u8],
}

impl Shape {
    fn of(combined: &[u8]) -> Result<Self, TraceStateError> {
        if MAX_READ_LEN < combined.len() {
            return Err(TraceStateError::Length { found: combined.len() });
        }
        let mut shape = Self::default();
        let mut members = 0_usize;
        let mut rest = combined;
        loop {
            (_, rest) = scan::span(rest, scan::SPACE | scan::COMMA);
            let Some(&first) = rest.first() else { return Ok(shape) };
            members = members.saturating_add(1);
            if MAX_MEMBERS < members {
                return Err(TraceStateError::Members);
            }
            let (key, after) = key(rest, first, &mut shape)?;
            let (value, after) = scan::value(after);
            let value = scan::trim_end(value);
            if value.is_empty() || MAX_VALUE_LEN < value.len() {
                return Err(TraceStateError::Value);
            }
            if key == b"ot" {
                shape.found_ot(combined.len(), value.len(), rest.len());
            }
            rest = match after {
                [b',', ..] | [] => after,
                // The value ended in a tab, or in something worse.
                _ => match scan::span(after, scan::SPACE).1 {
                    after @ ([b',', ..] | []) => after,
                    _ => return Err(TraceStateError::Value),
                },
            };
        }
    }

    /// `left` bytes of the header start with this `ot=` and its value.
    fn found_ot(&mut self, combined: usize, value: usize, left: usize) {
        if self.ot.is_empty() {
            let start = combined.saturating_sub(left).saturating_add(b"ot=".len());
            self.ot = start..start.saturating_add(value);
        } else {
            self.ot_repeated = true;
        }
    }
}

/// Splits off a key and its `=`.
fn key<'a>(bytes: &'a [u8], first: u8, shape: &mut Shape) -> Result<(&'a [u8], &'a [u8]), TraceStateError> {
    let (plain, mut after) = scan::span(bytes, scan::KEY);
    let mut key = plain;
    if let [b'@', ..] = after {
        let (system, rest) = scan::span(after, scan::KEY | scan::AT);
        key = bytes.get(..plain.len().saturating_add(system.len())).unwrap_or_default();
        after = rest;
        shape.level2_keys |= !is_level1_tenant(plain, system);
    } else {
        shape.level2_keys |= scan::is(first, scan::DIGIT);
    }
    if !scan::is(first, scan::LETTER | scan::DIGIT) || MAX_KEY_LEN < key.len() {
        return Err(TraceStateError::Key);
    }
    match after {
        [b'=', value @ ..] => Ok((key, value)),
        [] | [b',' | b' ' | b'\t', ..] => Err(TraceStateError::NoEquals),
        _ => Err(TraceStateError::Key),
    }
}

/// Level 1 knows one `@`, between a tenant of up to 241 and a system of up to 14 bytes that starts with a letter.
fn is_level1_tenant(tenant: &[u8], system: &[u8]) -> bool {
    let [b'@', system @ ..] = system else { return false };
    matches!(system, [b'a'..=b'z', rest @ ..] if rest.len() < 14 && !rest.contains(&b'@')) && tenant.len() <= 241
}

impl<'a> TraceState<'a> {
    /// A header without list-members, for a trace that starts here.
    pub const fn empty() -> Self {
        Self { combined: &[], shape: Shape { ot: 0..0, ot_repeated: false, level2_keys: false } }
    }

    /// Checks the whole header: Level 2's grammar, at most 32 list-members, empty ones aside.
    pub fn parse(combined: &'a [u8]) -> Result<Self, TraceStateError> {
        Ok(Self { combined, shape: Shape::of(combined)? })
    }

    /// The same header again, without reading it a second time.
    pub(super) fn with_shape(combined: &'a [u8], shape: Shape) -> Self {
        Self { combined, shape }
    }

    /// What the pass over the header found, to be remembered beside its bytes.
    pub(super) fn into_shape(self) -> Shape {
        self.shape
    }

    /// The value of the first list-member of that key.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.members().find(|member| member.key == key).map(|member| member.value)
    }

    /// OTel's list-member; an absent one when it breaks its grammar.
    pub fn ot(&self) -> OtMember<'a> {
        match self.ot_text() {
            [] => OtMember::default(),
            text => OtMember::parse(text).unwrap_or_default(),
        }
    }

    /// The list-members in order, repeated ones included.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        self.combined.split(|&byte| byte == b',').filter_map(|text| {
            let text = scan::trim(text);
            let (key, value) = text.split_at_checked(text.iter().position(|&byte| byte == b'=')?)?;
            Some(Member { key, value: value.split_first()?.1, text })
        })
    }

    /// The list-members in order; of a repeated key only the first.
    pub fn unique_members(&self) -> Vec<Member<'a>> {
        let mut unique: Vec<Member<'a>> = Vec::with_capacity(MAX_MEMBERS);
        for member in self.members() {
            if !unique.iter().any(|earlier| earlier.key == member.key) {
                unique.push(member);
            }
        }
        unique
    }

    /// How many list-members a change of this header would drop because an earlier one has their key.
    pub fn duplicates(&self) -> usize {
        self.members().count().saturating_sub(self.unique_members().len())
    }

    /// Whether Level 1 allows every key. Readers that know only Level 1, the Collector's among them, overlook `th`
    /// otherwise.
    pub const fn level1_keys_only(&self) -> bool {
        !self.shape.level2_keys
    }

    /// The value of the first `ot`, valid or not; empty without one.
    pub(super) fn ot_text(&self) -> &'a [u8] {
        self.combined.get(self.shape.ot.clone()).unwrap_or_default()
    }

    /// A second `ot` follows the first.
    pub(super) const fn ot_repeated(&self) -> bool {
        self.shape.ot_repeated
    }
}
