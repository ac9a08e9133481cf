//! The in-process table of verdicts: how the two listeners of a pod, often in different VMs, learn of each other.
//!
//! The application sits between the listeners, so a signal that reaches the outbound one never reaches the inbound one.
//! They meet by trace-id in shared data: a fixed number of slots, because the ABI cannot delete, each with room for a few
//! traces, changed by compare-and-swap. Memory is bounded by [`SLOTS`] × [`SLOT_BYTES`] and does not grow over days.

use super::Verdict;
use crate::trace_context::TraceId;

/// Slots in a process.
pub const SLOTS: u32 = 4096;
/// Traces in a slot. With 4,096 slots a process remembers thousands of upgraded traces at once.
const WAYS: usize = 4;
/// A trace-id (16 bytes), the Unix second from which on it is forgotten (4), the verdict (1), all big-endian.
const ENTRY_BYTES: usize = 21;
/// The size of a full slot.
pub const SLOT_BYTES: usize = WAYS * ENTRY_BYTES;
/// How long a verdict is remembered, in seconds: the longest that a call may go on in a trace that failed.
pub const HOLD_SECONDS: u32 = 60;

/// The slot of a trace. Trace-ids of X-Ray's style start with a clock, so the low bits decide.
pub fn slot_of(trace_id: TraceId) -> u32 {
    let id = trace_id.get();
    let mixed = (id ^ (id >> 56)) as u64; // The low 64 bits: truncation is meant.
    ((mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32) % SLOTS
}

#[derive(Clone, Copy)]
struct Entry {
    trace: [u8; 16],
    expiry: u32,
    verdict: Verdict,
}

fn entries(slot: &[u8]) -> impl Iterator<Item = Entry> {
    slot.chunks_exact(ENTRY_BYTES).take(WAYS).filter_map(|chunk| {
        let (trace, rest) = chunk.split_first_chunk::<16>()?;
        let (expiry, rest) = rest.split_first_chunk::<4>()?;
        let verdict = match rest {
            [1] => Verdict::Upgraded,
            [0] => Verdict::Shed,
            _ => return None,
        };
        Some(Entry { trace: *trace, expiry: u32::from_be_bytes(*expiry), verdict })
    })
}

/// What the slot says of a trace; `now` (Unix seconds) is asked only where it says something. Whatever else the bytes are,
/// they say nothing.
pub fn find(slot: &[u8], trace_id: TraceId, now: impl FnOnce() -> u32) -> Option<Verdict> {
    let entry = entries(slot).find(|entry| entry.trace == trace_id.to_bytes())?;
    (now() < entry.expiry).then_some(entry.verdict)
}

/// The slot with this verdict in it, for [`HOLD_SECONDS`]; `None` when it says so already. A full slot forgets the trace
/// that would be forgotten first. An upgrade stands against a later verdict that the trace be shed: what is kept stays
/// whole.
pub fn remember(slot: &[u8], trace_id: TraceId, verdict: Verdict, now: u32) -> Option<Vec<u8>> {
    match find(slot, trace_id, || now) {
        Some(Verdict::Upgraded) => return None,
        Some(known) if known == verdict => return None,
        _ => {}
    }
    let others = entries(slot).filter(|entry| entry.trace != trace_id.to_bytes() && now < entry.expiry);
    let mut kept: Vec<Entry> = others.collect();
    if WAYS <= kept.len()
        && let Some(first) = kept.iter().enumerate().min_by_key(|(_, entry)| entry.expiry).map(|(at, _)| at)
    {
        kept.remove(first);
    }
    kept.push(Entry { trace: trace_id.to_bytes(), expiry: now.saturating_add(HOLD_SECONDS), verdict });
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    for entry in kept {
        bytes.extend_from_slice(&entry.trace);
        bytes.extend_from_slice(&entry.expiry.to_be_bytes());
        bytes.push(u8::from(entry.verdict == Verdict::Upgraded));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(id: u128) -> TraceId {
        TraceId::from_u128(id).expect("above zero")
    }

    #[test]
    fn a_verdict_is_remembered_until_it_expires() {
        let slot = remember(&[], trace(7), Verdict::Upgraded, 1000).expect("new");
        assert_eq!(find(&slot, trace(7), || 1000 + HOLD_SECONDS - 1), Some(Verdict::Upgraded));
        assert_eq!(find(&slot, trace(7), || 1000 + HOLD_SECONDS), None);
        assert_eq!(find(&slot, trace(8), || 1000), None);
    }

    #[test]
    fn what_is_kept_stays_whole_and_what_was_shed_may_still_be_kept() {
        let kept = remember(&[], trace(7), Verdict::Upgraded, 1000).expect("new");
        assert_eq!(remember(&kept, trace(7), Verdict::Shed, 1001), None);
        assert_eq!(remember(&kept, trace(7), Verdict::Upgraded, 1001), None);
        let shed = remember(&[], trace(7), Verdict::Shed, 1000).expect("new");
        let kept = remember(&shed, trace(7), Verdict::Upgraded, 1001).expect("changed");
        assert_eq!(find(&kept, trace(7), || 1002), Some(Verdict::Upgraded));
        assert_eq!(kept.len(), ENTRY_BYTES);
    }

    #[test]
    fn a_full_slot_forgets_the_trace_that_was_to_go_first() {
        let mut slot = Vec::new();
        for id in 1..=5_u32 {
            slot = remember(&slot, trace(id.into()), Verdict::Upgraded, 1000 + id).expect("new");
        }
        assert_eq!(find(&slot, trace(1), || 1010), None);
        assert!((2..=5).all(|id| find(&slot, trace(id), || 1010).is_some()));
    }

    #[test]
    fn ids_with_a_clock_in_front_spread_over_the_slots() {
        let mut used = vec![false; SLOTS as usize];
        for low in 0..20_000_u128 {
            let id = (0x6774_8580_u128 << 96) | low.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 32;
            if let Some(id) = TraceId::from_u128(id) {
                used[slot_of(id) as usize] = true;
            }
        }
        assert!(used.iter().filter(|used| **used).count() > 3900);
    }

    proptest! {
        #[test]
        fn a_slot_never_grows_and_always_holds_the_newest(
            ids in proptest::collection::vec(1_u128..12, 1..60),
            gaps in proptest::collection::vec(0_u32..30, 60),
            start in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (mut slot, mut now) = (start, 1_000_000);
            for (id, gap) in ids.iter().zip(gaps) {
                now += gap;
                slot = remember(&slot, trace(*id), Verdict::Upgraded, now).unwrap_or(slot);
                prop_assert!(find(&slot, trace(*id), || now).is_some());
                prop_assert!(slot.len() <= SLOT_BYTES.max(200));
            }
        }
    }
}
