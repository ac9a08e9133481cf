//! What became of traces in this process: the shared slots behind [`crate::upgrade::slots`].

use crate::door::{Host, Update};
use crate::telemetry::{Metric, Metrics};
use crate::trace_context::TraceId;
use crate::upgrade::{Verdict, slots};

/// Attempts against other workers. A slot holds few traces, so that two writers rarely meet.
const TRIES: usize = 8;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &[u8; 21] = b"tracelift.verdicts.1.";

/// One lookup. Nothing was upgraded in this slot since the process began: the host returns no value, which is cheap.
pub fn find(host: &impl Host, trace_id: TraceId) -> Option<Verdict> {
    let (slot, _) = host.shared(&key(trace_id)).ok().flatten()?;
    slots::find(&slot, trace_id, || seconds(host))
}

/// Tells the other streams of this process; `true` if that is news to them. A slot that cannot be written costs one hop of
/// one trace. What had to make room in its time is counted.
pub fn remember(host: &impl Host, metrics: &mut Metrics, trace_id: TraceId, verdict: Verdict) -> bool {
    let mut forgot = false;
    let update = host.update(&key(trace_id), TRIES, |slot| {
        let remembered = slots::remember(slot.unwrap_or_default(), trace_id, verdict, seconds(host));
        forgot = remembered.forgot;
        remembered.slot
    });
    if forgot && update != Update::Failed {
        metrics.count(Metric::JoinsForgotten);
    }
    update == Update::Changed
}

fn seconds(host: &impl Host) -> u32 {
    u32::try_from(host.now() / 1_000_000_000).unwrap_or(u32::MAX)
}

/// The prefix and three hex digits.
fn key(trace_id: TraceId) -> [u8; PREFIX.len() + 3] {
    let slot = slots::slot_of(trace_id);
    let mut key = [b'0'; PREFIX.len() + 3];
    if let Some((prefix, digits)) = key.split_first_chunk_mut() {
        *prefix = *PREFIX;
        for (digit, shift) in digits.iter_mut().zip([8, 4, 0]) {
            *digit = b"0123456789abcdef".get((slot >> shift & 0xf) as usize).copied().unwrap_or(b'0');
        }
    }
    key
}
