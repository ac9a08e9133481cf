//! The spans of this process's inbound streams, by trace: below which of them a call belongs whose caller did not record itself.
//!
//! An application's SDK sends a call of a dropped trace on under a new span-id that it never exports. Where such a call is kept
//! after all, its span would name a parent that nobody has. The inbound stream that the application was serving is its nearest
//! ancestor that is exported. Streams meet by trace-id in shared data, as in [`super::slots`], in a table of their own: every
//! dropped request looks at verdicts, and none at this.

use crate::trace_context::{SpanId, TraceId};

/// Slots in a process.
pub const SLOTS: u32 = 1024;
/// Streams in a slot: a page may ask one pod dozens of times in a trace, and all of a trace share a slot.
const WAYS: usize = 32;
/// Trace-id (16 bytes), span-id (8), start and end (Unix nanoseconds, 8 each), the Unix second from which on the entry is forgotten (4), all
/// big-endian.
const ENTRY_BYTES: usize = 44;
/// The size of a full slot.
pub const SLOT_BYTES: usize = WAYS * ENTRY_BYTES;
/// How long a stream is remembered, in seconds: as long as a verdict, since later calls are kept for as long.
pub const HOLD_SECONDS: u32 = super::slots::HOLD_SECONDS;

/// An inbound stream that is exported, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Its trace.
    pub trace_id: TraceId,
    /// The id that it sent to the application.
    pub span_id: SpanId,
    /// Unix nanoseconds.
    pub began: u64,
    /// Unix nanoseconds; `u64::MAX` while it is running.
    pub ended: u64,
}

/// A call whose caller did not record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its trace.
    pub trace_id: TraceId,
    /// The parent-id that came with it.
    pub parent_id: SpanId,
    /// Unix nanoseconds.
    pub began: u64,
    /// Unix nanoseconds.
    pub ended: u64,
}

/// What the table says of a call's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// One stream alone can be the ancestor. Where it is the parent already, headers were copied.
    Only(SpanId),
    /// It may be either of several.
    Several,
    /// None is known.
    Unknown,
}

#[derive(Clone, Copy)]
struct Entry {
    stream: Inbound,
    expiry: u32,
}

/// The slot of a trace: low bits decide, as for verdicts.
pub fn slot_of(trace_id: TraceId) -> u32 {
    super::slots::slot_of(trace_id) % SLOTS
}

fn entries(slot: &[u8]) -> impl Iterator<Item = Entry> {
    slot.chunks_exact(ENTRY_BYTES).take(WAYS).filter_map(|chunk| {
        let (trace, rest) = chunk.split_first_chunk()?;
        let (span, rest) = rest.split_first_chunk()?;
        let (began, rest) = rest.split_first_chunk()?;
        let (ended, rest) = rest.split_first_chunk()?;
        let stream = Inbound {
            trace_id: TraceId::from_u128(u128::from_be_bytes(*trace))?,
            span_id: SpanId::from_u64(u64::from_be_bytes(*span))?,
            began: u64::from_be_bytes(*began),
            ended: u64::from_be_bytes(*ended),
        };
        Some(Entry { stream, expiry: u32::from_be_bytes(*rest.first_chunk()?) })
    })
}

/// The slot with this stream in it, for [`HOLD_SECONDS`] from `now` (Unix seconds); `None` where it is as it should be. In a full slot the
/// stream that is to go first makes room, one that has ended before one that is running.
pub fn note(slot: &[u8], stream: Inbound, now: u32) -> Option<Vec<u8>> {
    let mut name = [0; 24]; // Of a known length, which makes comparing a third cheaper.
    if let Some((trace, rest)) = name.split_first_chunk_mut() {
        *trace = stream.trace_id.to_bytes();
        if let Some(span) = rest.first_chunk_mut() {
            *span = stream.span_id.to_bytes();
        }
    }
    // Entries are compared and moved as bytes: to read a full slot apart would cost as much as a span.
    let mut kept = Vec::with_capacity(WAYS);
    for entry in slot.chunks_exact(ENTRY_BYTES).take(WAYS).filter(|entry| now < expiry_of(entry)) {
        // One that has ended does not run again, whatever order the workers wrote in.
        match entry.starts_with(&name) {
            true if ended_of(entry) <= stream.ended => return None,
            true => {}
            false => kept.push(entry),
        }
    }
    let leaving = |(_, entry): &(usize, &&[u8])| (ended_of(entry) == u64::MAX, expiry_of(entry));
    if WAYS <= kept.len()
        && let Some((first, _)) = kept.iter().enumerate().min_by_key(leaving)
    {
        kept.remove(first);
    }
    let mut bytes = kept.concat();
    bytes.extend_from_slice(&name);
    bytes.extend_from_slice(&stream.began.to_be_bytes());
    bytes.extend_from_slice(&stream.ended.to_be_bytes());
    bytes.extend_from_slice(&now.saturating_add(HOLD_SECONDS).to_be_bytes());
    Some(bytes)
}

fn ended_of(entry: &[u8]) -> u64 {
    entry.get(32..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn expiry_of(entry: &[u8]) -> u32 {
    entry.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Below which stream of the slot the call belongs: the one that had its parent-id, or else the only one that covers it in time.
/// A call that outlived every stream belongs to the one during which it began. A full slot may have lost a stream: time alone then
/// says nothing.
pub fn judge(slot: &[u8], call: &Orphan, now: u32) -> Judged {
    let is_of_trace = |entry: &Entry| entry.stream.trace_id == call.trace_id && now < entry.expiry;
    let streams: Vec<_> = entries(slot).filter(is_of_trace).map(|entry| entry.stream).collect();
    if streams.iter().any(|stream| stream.span_id == call.parent_id) {
        return Judged::Only(call.parent_id);
    }
    let is_full = entries(slot).filter(|entry| now < entry.expiry).count() == WAYS;
    for until in [call.ended, call.began] {
        let covers = |stream: &&Inbound| stream.began <= call.began && until <= stream.ended;
        let mut covering = streams.iter().filter(covers);
        match (covering.next(), covering.next()) {
            (Some(only), None) if !is_full => return Judged::Only(only.span_id),
            (Some(_), _) => return Judged::Several,
            (None, _) => {}
        }
    }
    Judged::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u32 = 1_000;

    fn trace(id: u128) -> TraceId {
        TraceId::from_u128(id).expect("above zero")
    }

    fn span(id: u64) -> SpanId {
        SpanId::from_u64(id).expect("above zero")
    }

    fn inbound(id: u64, began: u64, ended: u64) -> Inbound {
        Inbound { trace_id: trace(7), span_id: span(id), began, ended }
    }

    fn call(began: u64, ended: u64) -> Orphan {
        Orphan { trace_id: trace(7), parent_id: span(99), began, ended }
    }

    fn slot(streams: &[Inbound]) -> Vec<u8> {
        streams.iter().fold(Vec::new(), |slot, stream| note(&slot, *stream, NOW).unwrap_or(slot))
    }

    #[test]
    fn the_only_stream_that_covers_a_call_is_its_ancestor() {
        let slot = slot(&[inbound(1, 10, 20), inbound(2, 30, u64::MAX)]);
        assert_eq!(judge(&slot, &call(12, 18), NOW), Judged::Only(span(1)));
        assert_eq!(judge(&slot, &call(35, 900), NOW), Judged::Only(span(2)), "it is running");
        assert_eq!(judge(&slot, &call(18, 25), NOW), Judged::Only(span(1)), "it outlived the answer");
        assert_eq!(judge(&slot, &call(22, 25), NOW), Judged::Unknown);
        assert_eq!(judge(&slot, &Orphan { trace_id: trace(8), ..call(12, 18) }, NOW), Judged::Unknown);
        assert_eq!(judge(&slot, &call(12, 18), NOW + HOLD_SECONDS), Judged::Unknown, "forgotten");
    }

    #[test]
    fn of_several_streams_none_is_chosen_unless_one_is_the_parent() {
        let slot = slot(&[inbound(1, 10, 40), inbound(2, 15, 30)]);
        assert_eq!(judge(&slot, &call(16, 20), NOW), Judged::Several);
        assert_eq!(judge(&slot, &call(16, 35), NOW), Judged::Only(span(1)), "only one lasted that long");
        let copied = Orphan { parent_id: span(2), ..call(16, 20) };
        assert_eq!(judge(&slot, &copied, NOW), Judged::Only(span(2)));
    }

    #[test]
    fn the_end_of_a_stream_replaces_that_it_runs_and_not_the_reverse() {
        let running = note(&[], inbound(1, 10, u64::MAX), NOW).expect("new");
        let ended = note(&running, inbound(1, 10, 20), NOW).expect("news");
        assert_eq!(ended.len(), ENTRY_BYTES);
        assert_eq!(note(&ended, inbound(1, 10, u64::MAX), NOW), None);
        assert_eq!(note(&running, inbound(1, 10, u64::MAX), NOW), None, "once for each");
        assert_eq!(judge(&ended, &call(22, 25), NOW), Judged::Unknown);
    }

    #[test]
    fn traces_spread_over_all_slots() {
        let used: std::collections::BTreeSet<_> = (1..20_000_u128)
            .map(|id| slot_of(trace(id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))))
            .collect();
        assert!(1_000 < used.len() && used.iter().all(|slot| *slot < SLOTS));
    }

    proptest! {
        #[test]
        fn a_slot_never_grows_and_always_knows_the_newest(
            streams in proptest::collection::vec((1_u64..12, 0_u64..50, 0_u64..50, 0_u32..20), 1..60),
            start in proptest::collection::vec(any::<u8>(), 0..500),
        ) {
            let (mut slot, mut now) = (start, NOW);
            for (number, (id, began, lasted, gap)) in streams.into_iter().enumerate() {
                now += gap;
                let number = u128::try_from(number).expect("few");
                let stream = Inbound { trace_id: trace(1 + number), ..inbound(id, began, began + lasted) };
                slot = note(&slot, stream, now).unwrap_or(slot);
                prop_assert!(slot.len() <= SLOT_BYTES.max(500));
                let call = Orphan { trace_id: stream.trace_id, ..call(began, began) };
                prop_assert_ne!(judge(&slot, &call, now), Judged::Unknown);
            }
        }
    }
}
