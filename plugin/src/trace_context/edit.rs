//! What is to become of a header, and of the threshold inside `tracestate`.

use super::TraceState;
use super::tracestate::MAX_MEMBERS;

/// Bytes that a changed `tracestate` may have; W3C Trace Context asks everybody to propagate that many.
pub const MAX_WRITTEN_LEN: usize = 512;

/// List-members longer than this go first when a `tracestate` has to be shortened. W3C, "Tracestate Limits".
const LONG_MEMBER_LEN: usize = 128;

/// What a sampling decision wants done with the `th` of the `ot` list-member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThEdit {
    /// As it is, also when there is none.
    Keep,
    /// This rejection threshold, below 2^56 (`0` keeps everything). A larger number has no wire form and erases.
    Set(u64),
    /// No threshold: the probability is unknown, or the trace is dropped.
    Erase,
}

/// What is to become of a header as a whole; all its lines count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Not touched: its bytes stay what the caller sent.
    Keep,
    /// One line with this value in place of all lines of that name.
    Replace(Vec<u8>),
    /// No line of that name.
    Remove,
}

impl TraceState<'_> {
    /// Changes the `ot` list-member and nothing else: it moves to the far left, the others keep their bytes and order.
    /// `rv` is written only when there is none. [`HeaderEdit::Keep`] when the member would not change, and when it would
    /// become longer than its specification allows.
    ///
    /// A changed header carries no empty or repeated list-members, at most 32, and at most [`MAX_WRITTEN_LEN`] bytes.
    pub fn edit(&self, th: ThEdit, rv: Option<u64>) -> HeaderEdit {
        let before = self.ot_text();
        if before.is_empty() && matches!((th, rv), (ThEdit::Keep | ThEdit::Erase, None)) {
            return HeaderEdit::Keep;
        }
        let member = self.ot();
        if th == ThEdit::Keep && (rv.is_none() || member.rv.is_some()) {
            return HeaderEdit::Keep;
        }
        let Some(after) = member.edited(th, rv) else {
            return HeaderEdit::Keep;
        };
        if after.as_bytes() == before && !self.ot_repeated() {
            return HeaderEdit::Keep;
        }
        match self.with_ot(after.as_bytes()) {
            header if header.is_empty() => HeaderEdit::Remove,
            header => HeaderEdit::Replace(header),
        }
    }

    /// The header with this value of `ot`; without the member when the value is empty.
    fn with_ot(&self, ot: &[u8]) -> Vec<u8> {
        let unique = self.unique_members();
        let mut others: Vec<&[u8]> = Vec::with_capacity(MAX_MEMBERS);
        others.extend(unique.iter().filter(|member| member.key != b"ot").map(|member| member.text));
        let ours: &[&[u8]] = if ot.is_empty() { &[] } else { &[b"ot=", ot] };
        if !ours.is_empty() {
            others.truncate(MAX_MEMBERS - 1);
        }
        while MAX_WRITTEN_LEN < joined_len(ours, &others) {
            match others.iter().rposition(|text| LONG_MEMBER_LEN < text.len()) {
                Some(long) => drop(others.remove(long)),
                None => drop(others.pop()),
            }
        }
        let mut header = Vec::with_capacity(MAX_WRITTEN_LEN);
        ours.iter().for_each(|part| header.extend_from_slice(part));
        for text in others {
            if !header.is_empty() {
                header.push(b',');
            }
            header.extend_from_slice(text);
        }
        header
    }
}

/// Bytes of the header: our own list-member in parts, the others each with a `,` between.
fn joined_len(ours: &[&[u8]], others: &[&[u8]]) -> usize {
    let bytes: usize = ours.iter().chain(others).map(|part| part.len()).sum();
    let commas = if ours.is_empty() { others.len().saturating_sub(1) } else { others.len() };
    bytes.saturating_add(commas)
}
