//! Ids of our own: of every span, and of traces that begin here.

use super::{SpanId, TraceId};

/// Where new ids come from: eight random bytes at a time.
pub trait Ids {
    /// The next random number; zero is fine, it is asked again.
    fn next(&mut self) -> u64;

    /// Whether all that was given came from a random source, as the random flag promises (W3C Trace Context Level 2).
    fn are_random(&self) -> bool;

    /// What new trace-ids begin with, in Unix seconds; `None` for ids that are random throughout. Asked once, and only
    /// where a trace begins.
    fn trace_id_seconds(&mut self) -> Option<u32> {
        None
    }
}

/// Zero is no id; a source that gives nothing else still ends here.
const TRIES: usize = 4;

/// The id of a new span.
pub fn new_span_id(ids: &mut impl Ids) -> SpanId {
    (0..TRIES).find_map(|_| SpanId::from_u64(ids.next())).unwrap_or(SpanId::MIN)
}

/// The id of a new trace.
pub fn new_trace_id(ids: &mut impl Ids) -> TraceId {
    let seconds = ids.trace_id_seconds();
    let mut id = || {
        let random = u128::from(ids.next()) << 64 | u128::from(ids.next());
        let id = seconds.map_or(random, |seconds| u128::from(seconds) << 96 | random & (u128::MAX >> 32));
        TraceId::from_u128(id)
    };
    (0..TRIES).find_map(|_| id()).unwrap_or(TraceId::MIN)
}
