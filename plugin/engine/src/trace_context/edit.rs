//! What is to become of a header, and of the threshold inside `tracestate`.

use super::tracestate::{MAX_MEMBERS, Member};
use super::{OtMember, TraceState};

/// Bytes that a changed `tracestate` may have; W3C Trace Context asks everybody to propagate that many.
pub const MAX_WRITTEN_LEN: usize = 512;

/// List-members longer than this go first when a `tracestate` has to be shortened. W3C, "Tracestate Limits".
const LONG_MEMBER_LEN: usize = 128;

/// R has 56 bits.
const RANDOMNESS: u64 = (1 << 56) - 1;

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
        let th = match th {
            ThEdit::Set(threshold) if threshold >> 56 != 0 => ThEdit::Erase,
            th => th,
        };
        if self.is_empty() && rv.is_none() && !matches!(th, ThEdit::Set(_)) {
            return HeaderEdit::Keep;
        }
        let member = self.ot();
        let adds_rv = rv.is_some() && member.rv.is_none();
        // A value that breaks the grammar counts as absent, but lenient readers could find a threshold in it.
        let readable = member.is_present() || self.ot_text().is_empty();
        let drops = th != ThEdit::Keep && (!readable || self.ot_repeated());
        if !adds_rv && !drops && member.has(th) {
            return HeaderEdit::Keep;
        }
        let Some(ot) = member.edited(th, rv) else {
            return HeaderEdit::Keep;
        };
        let mut others = self.unique_members();
        others.retain(|member| member.key != b"ot");
        match join(&ot, others) {
            header if header.is_empty() => HeaderEdit::Remove,
            header => HeaderEdit::Replace(header),
        }
    }

    /// The header with an `ot` list-member of our own in place of whatever came in it: this threshold and this randomness, and
    /// nothing else. For an edge, where neither is the caller's to choose. Bounds as of [`Self::edit`].
    pub fn with_own(&self, th: ThEdit, rv: u64) -> HeaderEdit {
        let th = match th {
            ThEdit::Set(threshold) if threshold >> 56 != 0 => ThEdit::Erase,
            th => th,
        };
        let ot = OtMember::default().edited(th, Some(rv & RANDOMNESS)).unwrap_or_default();
        let mut others = self.unique_members();
        others.retain(|member| member.key != b"ot");
        HeaderEdit::Replace(join(&ot, others))
    }

    /// What becomes of this header when, beside `edit`, a list-member of another key than `ot` stands right behind `ot`
    /// with this value. The caller answers for its grammar.
    pub fn with_member(&self, edit: HeaderEdit, key: &[u8], value: &[u8]) -> HeaderEdit {
        let header = match &edit {
            HeaderEdit::Keep if self.get(key) == Some(value) => return edit,
            HeaderEdit::Keep => return HeaderEdit::Replace(self.put(key, value)),
            HeaderEdit::Replace(header) => header.as_slice(),
            HeaderEdit::Remove => &[],
        };
        let edited = TraceState::parse(header).unwrap_or(TraceState::empty());
        HeaderEdit::Replace(edited.put(key, value))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let text = [key, b"=", value].concat();
        let mut others = self.unique_members();
        others.retain(|member| member.key != b"ot" && member.key != key);
        others.insert(0, Member { key, value, text: &text });
        join(self.ot_text(), others)
    }
}

/// The header with this value of `ot`, without the member when the value is empty, within the bounds.
fn join(ot: &[u8], mut others: Vec<Member<'_>>) -> Vec<u8> {
    if !ot.is_empty() {
        others.truncate(MAX_MEMBERS - 1);
    }
    while MAX_WRITTEN_LEN < joined_len(ot, &others) {
        match others.iter().rposition(|member| LONG_MEMBER_LEN < member.text.len()) {
            Some(long) => drop(others.remove(long)),
            None => drop(others.pop()),
        }
    }
    let mut header = Vec::with_capacity(joined_len(ot, &others));
    if !ot.is_empty() {
        header.extend_from_slice(b"ot=");
        header.extend_from_slice(ot);
    }
    for member in others {
        if !header.is_empty() {
            header.push(b',');
        }
        header.extend_from_slice(member.text);
    }
    header
}

/// Bytes of the header: our own list-member unless it is empty, and the others, with a `,` between.
fn joined_len(ot: &[u8], others: &[Member<'_>]) -> usize {
    let ours = if ot.is_empty() { 0 } else { ot.len().saturating_add(b"ot=,".len()) };
    let with_comma = |len: usize, member: &Member<'_>| len.saturating_add(member.text.len()).saturating_add(1);
    others.iter().fold(ours, with_comma).saturating_sub(1)
}
