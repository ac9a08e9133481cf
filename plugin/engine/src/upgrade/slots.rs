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

/// What [`remember`] makes of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The slot as it should be now; `None`: as it is.
    pub slot: Option<Vec<u8>>,
    /// A verdict is not there although its time has not passed: one that made room, or this one.
    pub forgot: bool,
}

/// The slot with this verdict in it, for [`HOLD_SECONDS`]; unchanged when it says so already. An upgrade stands against a later
/// verdict that the trace be shed: what is kept stays whole. In a full slot the oldest shed trace makes room, and an upgraded one
/// only for another that was upgraded: sheds are as many as failures are, and what they forget is charged anew.
pub fn remember(slot: &[u8], trace_id: TraceId, verdict: Verdict, now: u32) -> Remembered {
    match find(slot, trace_id, || now) {
        Some(Verdict::Upgraded) => return Remembered::default(),
        Some(known) if known == verdict => return Remembered::default(),
        _ => {}
    }
    let others = entries(slot).filter(|entry| entry.trace != trace_id.to_bytes() && now < entry.expiry);
    let mut kept: Vec<Entry> = others.collect();
    let forgot = WAYS <= kept.len();
    if forgot {
        let oldest = |verdict| {
            let entries = kept.iter().enumerate().filter(|(_, entry)| entry.verdict == verdict);
            entries.min_by_key(|(_, entry)| entry.expiry).map(|(at, _)| at)
        };
        let upgraded = || if verdict == Verdict::Upgraded { oldest(Verdict::Upgraded) } else { None };
        let Some(first) = oldest(Verdict::Shed).or_else(upgraded) else { return Remembered { slot: None, forgot } };
        kept.remove(first);
    }
    kept.push(Entry { trace: trace_id.to_bytes(), expiry: now.saturating_add(HOLD_SECONDS), verdict });
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    for entry in kept {
        bytes.extend_from_slice(&entry.trace);
        bytes.extend_from_slice(&entry.expiry.to_be_bytes());
        bytes.push(u8::from(entry.verdict == Verdict::Upgraded));
    }
    Remembered { slot: Some(bytes), forgot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(id: u128) -> TraceId {
        TraceId::from_u128(id).expect("above zero")
    }

    fn remembered(slot: &[u8], trace_id: TraceId, verdict: Verdict, now: u32) -> Option<Vec<u8>> {
        let Remembered { slot, forgot } = remember(slot, trace_id, verdict, now);
        assert!(!forgot, "nothing had to make room");
        slot
    }

    #[test]
    fn a_verdict_is_remembered_until_it_expires() {
        let slot = remembered(&[], trace(7), Verdict::Upgraded, 1000).expect("new");
        assert_eq!(find(&slot, trace(7), || 1000 + HOLD_SECONDS - 1), Some(Verdict::Upgraded));
        assert_eq!(find(&slot, trace(7), || 1000 + HOLD_SECONDS), None);
        assert_eq!(find(&slot, trace(8), || 1000), None);
    }

    #[test]
    fn what_is_kept_stays_whole_and_what_was_shed_may_still_be_kept() {
        let kept = remembered(&[], trace(7), Verdict::Upgraded, 1000).expect("new");
        assert_eq!(remembered(&kept, trace(7), Verdict::Shed, 1001), None);
        assert_eq!(remembered(&kept, trace(7), Verdict::Upgraded, 1001), None);
        let shed = remembered(&[], trace(7), Verdict::Shed, 1000).expect("new");
        let kept = remembered(&shed, trace(7), Verdict::Upgraded, 1001).expect("changed");
        assert_eq!(find(&kept, trace(7), || 1002), Some(Verdict::Upgraded));
        assert_eq!(kept.len(), ENTRY_BYTES);
    }

    #[test]
    fn a_full_slot_forgets_the_trace_that_was_to_go_first_and_says_so() {
        let mut slot = Vec::new();
        for id in 1..=5_u32 {
            let Remembered { slot: next, forgot } = remember(&slot, trace(id.into()), Verdict::Upgraded, 1000 + id);
            assert_eq!(forgot, id == 5);
            slot = next.expect("new");
        }
        assert_eq!(find(&slot, trace(1), || 1010), None);
        assert!((2..=5).all(|id| find(&slot, trace(id), || 1010).is_some()));
        // What has had its time makes room for nothing.
        assert!(!remember(&slot, trace(6), Verdict::Upgraded, 1002 + HOLD_SECONDS).forgot);
    }

    #[test]
    fn upgrades_survive_any_number_of_sheds() {
        let mut slot = Vec::new();
        for id in 1..=2_u32 {
            slot = remembered(&slot, trace(id.into()), Verdict::Upgraded, 1000).expect("new");
        }
        for id in 10..=100_u32 {
            let Remembered { slot: next, forgot } = remember(&slot, trace(id.into()), Verdict::Shed, 1000 + id / 10);
            assert_eq!(forgot, 12 <= id, "sheds make room for sheds");
            slot = next.expect("new");
        }
        assert!((1..=2).all(|id| find(&slot, trace(id), || 1011) == Some(Verdict::Upgraded)));
        assert_eq!(find(&slot, trace(100), || 1011), Some(Verdict::Shed));
        for id in 3..=4_u32 {
            slot = remember(&slot, trace(id.into()), Verdict::Upgraded, 1011).slot.expect("new");
        }
        assert!((1..=4).all(|id| find(&slot, trace(id), || 1011) == Some(Verdict::Upgraded)));
        let full = remember(&slot, trace(200), Verdict::Shed, 1012);
        assert_eq!(full, Remembered { slot: None, forgot: true }, "a shed does not push out an upgrade");
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
                slot = remember(&slot, trace(*id), Verdict::Upgraded, now).slot.unwrap_or(slot);
                prop_assert!(find(&slot, trace(*id), || now).is_some());
                prop_assert!(slot.len() <= SLOT_BYTES.max(200));
            }
        }
    }
}
