//! OpenTelemetry's own list-member of `tracestate`: `ot=rv:…;th:…`. OTel "TraceState Handling" and "TraceState:
//! Probability Sampling".

use super::{ThEdit, hex, scan};

/// Longest value of the `ot` list-member, in bytes. OTel "TraceState Handling".
pub const MAX_OT_LEN: usize = 256;

const DIGITS: usize = 14; // Of T and R: 56 bits.

/// The value of the `ot` list-member. `default()` is an absent one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtMember<'a> {
    /// Rejection threshold T: 0 to 2^56 - 1, left-aligned (`th:8` is 2^55). `None` when absent or no 1 to 14 digits.
    pub th: Option<u64>,
    /// Explicit randomness R: 0 to 2^56 - 1. `None` when absent or not exactly 14 digits.
    pub rv: Option<u64>,
    /// The value as received; empty when the member is absent or breaks the grammar, which makes it absent.
    text: &'a [u8],
}

impl<'a> OtMember<'a> {
    /// Reads the value. One pair that breaks the grammar makes the whole value count as absent, as it does for the
    /// Collector; a `th` or `rv` with a bad number is only ignored. Of repeated keys the first wins.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if MAX_OT_LEN < text.len() {
            return None;
        }
        let mut member = Self { text, ..Self::default() };
        let (mut th_seen, mut rv_seen) = (false, false);
        for pair in pairs(text) {
            let (key, rest) = scan::span(pair, scan::LETTER | scan::DIGIT);
            let [b':', value @ ..] = rest else { return None };
            let starts_with_letter = key.first().is_some_and(|&first| scan::is(first, scan::LETTER));
            let (_, bad) = scan::span(value, scan::LETTER | scan::DIGIT | scan::OT);
            if !starts_with_letter || !bad.is_empty() {
                return None;
            }
            match key {
                b"th" if !th_seen => (th_seen, member.th) = (true, left_aligned(value)),
                b"rv" if !rv_seen => {
                    rv_seen = true;
                    member.rv = if value.len() == DIGITS { left_aligned(value) } else { None };
                }
                _ => {}
            }
        }
        Some(member)
    }

    /// The unknown pairs `key:value`, in order.
    pub fn rest(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let known = |pair: &&[u8]| !pair.starts_with(b"th:") && !pair.starts_with(b"rv:");
        pairs(self.text).filter(move |pair| !pair.is_empty() && known(pair))
    }

    /// The value after this change, in the Collector's order: `rv`, `th`, the rest byte for byte. Empty when nothing
    /// is left; `None` when it would be longer than [`MAX_OT_LEN`], and then the change has to be abandoned.
    ///
    /// `rv` is added only when there is none: one trace has one R.
    pub(super) fn edited(&self, th: ThEdit, rv: Option<u64>) -> Option<OtText> {
        let th = match th {
            ThEdit::Keep => self.th,
            ThEdit::Set(threshold) => Some(threshold).filter(|threshold| threshold >> 56 == 0),
            ThEdit::Erase => None,
        };
        let mut text = OtText::default();
        if let Some(rv) = self.rv.or(rv) {
            text.push(b"rv:", &digits(rv))?;
        }
        if let Some(th) = th {
            let digits = digits(th);
            let len = digits.iter().rposition(|&digit| digit != b'0').unwrap_or(0).saturating_add(1);
            text.push(b"th:", digits.split_at_checked(len)?.0)?;
        }
        for pair in self.rest() {
            text.push(pair, b"")?;
        }
        Some(text)
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b';')
}

/// 1 to 14 digits, padded with zeros on the right.
fn left_aligned(digits: &[u8]) -> Option<u64> {
    let missing = DIGITS.checked_sub(digits.len()).filter(|_| !digits.is_empty())?;
    let number = u64::try_from(hex::lower(digits).ok()?).ok()?;
    number.checked_shl(u32::try_from(missing).ok()?.checked_mul(4)?)
}

/// The lower 56 bits.
fn digits(number: u64) -> [u8; DIGITS] {
    let [_, _, digits @ ..] = hex::write16(number);
    digits
}

/// A value under construction: on the stack, since most turn out to be what was there before.
pub(super) struct OtText {
    bytes: [u8; MAX_OT_LEN],
    len: usize,
}

impl Default for OtText {
    fn default() -> Self {
        Self { bytes: [0; MAX_OT_LEN], len: 0 }
    }
}

impl OtText {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends one pair, given in two parts; `None` when it does not fit.
    fn push(&mut self, head: &[u8], tail: &[u8]) -> Option<()> {
        let separator: &[u8] = if self.len == 0 { b"" } else { b";" };
        for part in [separator, head, tail] {
            let end = self.len.checked_add(part.len())?;
            self.bytes.get_mut(self.len..end)?.copy_from_slice(part);
            self.len = end;
        }
        Some(())
    }
}
