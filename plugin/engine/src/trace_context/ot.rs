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
    /// The first `th:…` as received, good or bad; empty without one.
    th_text: &'a [u8],
    th_repeated: bool,
}

impl<'a> OtMember<'a> {
    /// Reads the value. One pair that breaks the grammar makes the whole value count as absent, as it does for the
    /// Collector; a `th` or `rv` with a bad number is only ignored. Of repeated keys the first wins.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if MAX_OT_LEN < text.len() {
            return None;
        }
        let mut member = Self { text, ..Self::default() };
        let mut rv_seen = false;
        for pair in pairs(text) {
            let (key, rest) = scan::span(pair, scan::LETTER | scan::DIGIT);
            let [b':', value @ ..] = rest else { return None };
            let starts_with_letter = key.first().is_some_and(|&first| scan::is(first, scan::LETTER));
            let (_, bad) = scan::span(value, scan::LETTER | scan::DIGIT | scan::OT);
            if !starts_with_letter || !bad.is_empty() {
                return None;
            }
            match key {
                b"th" if member.th_text.is_empty() => (member.th_text, member.th) = (pair, left_aligned(value)),
                b"th" => member.th_repeated = true,
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

    /// There is a member, and it keeps to the grammar.
    pub const fn is_present(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether this change of `th` would leave every byte as it is.
    pub(super) fn has(&self, th: ThEdit) -> bool {
        match th {
            ThEdit::Keep => true,
            ThEdit::Erase => self.th_text.is_empty(),
            ThEdit::Set(threshold) => {
                let (digits, len) = th_digits(threshold);
                let text = self.th_text.split_at_checked(b"th:".len()).map(|(_, text)| text);
                text == digits.get(..len) && !self.th_repeated
            }
        }
    }

    /// The value after this change, in the Collector's order: `rv`, `th`, the rest byte for byte. Empty when nothing
    /// is left; `None` when it would be longer than [`MAX_OT_LEN`], and then the change has to be abandoned.
    ///
    /// `rv` is added only when there is none: one trace has one R.
    pub(super) fn edited(&self, th: ThEdit, rv: Option<u64>) -> Option<Vec<u8>> {
        let th = match th {
            ThEdit::Keep => self.th,
            ThEdit::Set(threshold) => Some(threshold),
            ThEdit::Erase => None,
        };
        let mut text = Vec::with_capacity(self.text.len().saturating_add(2 * (b"rv:;".len() + DIGITS)));
        if let Some(rv) = self.rv.or(rv) {
            push(&mut text, b"rv:", &digits(rv));
        }
        if let Some(th) = th {
            let (digits, len) = th_digits(th);
            push(&mut text, b"th:", digits.get(..len)?);
        }
        for pair in self.rest() {
            push(&mut text, pair, b"");
        }
        if text.len() <= MAX_OT_LEN { Some(text) } else { None }
    }
}

/// Appends one pair, given in two parts.
fn push(text: &mut Vec<u8>, head: &[u8], tail: &[u8]) {
    if !text.is_empty() {
        text.push(b';');
    }
    text.extend_from_slice(head);
    text.extend_from_slice(tail);
}

fn pairs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b';')
}

/// 1 to 14 digits, padded with zeros on the right.
fn left_aligned(digits: &[u8]) -> Option<u64> {
    let mut padded = *b"0000000000000000"; // Two more than 56 bits have, in front.
    if digits.is_empty() || DIGITS < digits.len() {
        return None;
    }
    #[allow(clippy::disallowed_methods, reason = "the place is cut to the length of the digits")]
    padded.get_mut(2..)?.get_mut(..digits.len())?.copy_from_slice(digits);
    hex::lower16(&padded).ok()
}

/// The lower 56 bits.
fn digits(number: u64) -> [u8; DIGITS] {
    let [_, _, digits @ ..] = hex::write16(number);
    digits
}

/// The digits of a threshold, and how many are written: without trailing zeros, but one at least.
fn th_digits(threshold: u64) -> ([u8; DIGITS], usize) {
    let zeros = (threshold.trailing_zeros() as usize / 4).min(DIGITS - 1); // Four bits a digit.
    (digits(threshold), DIGITS - zeros)
}
