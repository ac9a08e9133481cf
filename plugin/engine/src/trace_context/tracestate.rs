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
        let mut members = 0;
        let mut at = 0;
        loop {
            let (start, Some(first)) = skip_separators(combined, at) else { return Ok(shape) };
            members += 1;
            if MAX_MEMBERS < members {
                return Err(TraceStateError::Members);
            }
            let (equals, has_at) = scan::key_end(combined, start);
            if !scan::is(first, scan::LETTER | scan::DIGIT) || MAX_KEY_LEN < equals - start {
                return Err(TraceStateError::Key);
            }
            match combined.get(equals) {
                Some(b'=') => {}
                None | Some(b',' | b' ' | b'\t') => return Err(TraceStateError::NoEquals),
                Some(_) => return Err(TraceStateError::Key),
            }
            let stop = scan::value_end(combined, equals + 1);
            let end = without_spaces(combined, equals + 1, stop);
            if end == equals + 1 || MAX_VALUE_LEN < end - (equals + 1) {
                return Err(TraceStateError::Value);
            }
            if equals - start == 2 && combined.get(start..equals) == Some(b"ot") {
                if shape.ot.is_empty() {
                    shape.ot = equals + 1..end;
                } else {
                    shape.ot_repeated = true;
                }
            }
            if has_at || scan::is(first, scan::DIGIT) {
                shape.level2_keys |= !combined.get(start..equals).is_some_and(is_level1_tenant);
            }
            at = match combined.get(stop) {
                Some(b',') => stop + 1,
                None => return Ok(shape),
                // The value ended in a tab, or in something worse.
                Some(_) => match scan::trim_start(combined.get(stop..).unwrap_or_default()) {
                    [] => return Ok(shape),
                    after @ [b',', ..] => combined.len() - after.len(),
                    _ => return Err(TraceStateError::Value),
                },
            };
        }
    }
}

/// Where the next list-member starts, and its first byte.
fn skip_separators(bytes: &[u8], mut at: usize) -> (usize, Option<u8>) {
    loop {
        match bytes.get(at) {
            Some(&byte) if scan::is(byte, scan::SEPARATOR) => at += 1,
            first => return (at, first.copied()),
        }
    }
}

/// Where a value that starts and stops there ends, the spaces behind it aside.
fn without_spaces(bytes: &[u8], start: usize, mut stop: usize) -> usize {
    while start < stop && bytes.get(stop - 1) == Some(&b' ') {
        stop -= 1;
    }
    stop
}

/// Level 1 knows one `@`, between a tenant of up to 241 and a system of up to 14 bytes that starts with a letter; and a
/// digit as the first byte of a tenant only.
fn is_level1_tenant(key: &[u8]) -> bool {
    let mut parts = key.split(|&byte| byte == b'@');
    let (Some(tenant), Some([b'a'..=b'z', system @ ..]), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    tenant.len() <= 241 && system.len() < 14
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

    /// There is no header to speak of: not even separators.
    pub const fn is_empty(&self) -> bool {
        self.combined.is_empty()
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
    pub const fn members(&self) -> Members<'a> {
        Members { combined: self.combined, at: 0 }
    }

    /// The list-members in order; of a repeated key only the first.
    pub fn unique_members(&self) -> Vec<Member<'a>> {
        let mut unique: Vec<(u32, Member<'a>)> = Vec::with_capacity(self.combined.len().div_ceil(4).min(MAX_MEMBERS));
        for member in self.members() {
            // All pairs are compared, so first by something cheaper than the bytes.
            let mark = member.key.iter().fold(0_u32, |mark, &byte| mark.wrapping_mul(31).wrapping_add(u32::from(byte)));
            if !unique.iter().any(|(earlier, known)| *earlier == mark && known.key == member.key) {
                unique.push((mark, member));
            }
        }
        unique.into_iter().map(|(_, member)| member).collect()
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

/// The list-members of a valid header.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    combined: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        // The header is valid: a key ends at its `=`, a value at a separator.
        let (start, _) = skip_separators(self.combined, self.at);
        let equals = scan::value_end(self.combined, start);
        self.at = scan::value_end(self.combined, equals + 1);
        let end = without_spaces(self.combined, equals + 1, self.at);
        Some(Member {
            key: self.combined.get(start..equals)?,
            value: self.combined.get(equals + 1..end)?,
            text: self.combined.get(start..end)?,
        })
    }
}
