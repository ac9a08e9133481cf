//! What is kept of the requests of one trace, and how they hang together.

use std::collections::HashMap;

use super::record::Role;
use tracelift::trace_context::SpanId;

/// What is left of a record.
pub(super) struct Seen {
    pub(super) span_id: Option<SpanId>,
    pub(super) parent_id: Option<SpanId>,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) service: usize,
    pub(super) weight: f64,
    pub(super) bytes: f64,
    pub(super) spans: f64,
    pub(super) role: Role,
    /// What the head would decide by a fixed ratio if this were the root.
    pub(super) sampled: bool,
    /// The number of the rate that would decide in place of the ratio.
    pub(super) rate: Option<u16>,
    pub(super) failed: bool,
    /// Its kind, where coverage may keep it.
    pub(super) kind: Option<u32>,
    /// Coverage keeps it.
    pub(super) covered: bool,
}

/// Where the head decides: the span without a parent, else the one that began first.
pub(super) fn root(spans: &[Seen]) -> Option<&Seen> {
    let without_parent = spans.iter().filter(|span| span.parent_id.is_none() && span.span_id.is_some());
    let has_parents = spans.iter().any(|span| span.parent_id.is_some());
    let first = if has_parents { without_parent.min_by_key(|span| span.started) } else { None };
    first.or_else(|| spans.iter().min_by_key(|span| span.started))
}

/// For each span: whether it is one of these (failed, say) or above one that is.
pub(super) fn chain(spans: &[Seen], is_one: impl Fn(&Seen) -> bool) -> Vec<bool> {
    let mut chain: Vec<bool> = spans.iter().map(&is_one).collect();
    if !chain.contains(&true) {
        return chain;
    }
    let has_parents = spans.iter().any(|span| span.parent_id.is_some());
    let by_id: HashMap<SpanId, usize> =
        spans.iter().enumerate().filter_map(|(index, span)| Some((span.span_id?, index))).collect();
    for span in spans.iter().filter(|span| is_one(span)) {
        if has_parents {
            let mut above = span.parent_id.and_then(|id| by_id.get(&id).copied());
            // What is marked already has marked, or will mark, all above it; so a cycle ends, too.
            while let Some((mark, parent)) = above.and_then(|place| chain.get_mut(place).zip(spans.get(place))) {
                if std::mem::replace(mark, true) {
                    break;
                }
                above = parent.parent_id.and_then(|id| by_id.get(&id).copied());
            }
        } else {
            for (mark, other) in chain.iter_mut().zip(spans) {
                *mark |= other.started < span.started && span.ended < other.ended;
            }
        }
    }
    chain
}
