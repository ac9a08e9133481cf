//! What is to become of a header, and of the threshold inside `tracestate`.

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
