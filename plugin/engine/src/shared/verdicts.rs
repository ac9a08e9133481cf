//! What became of traces in this process: the shared slots behind [`crate::upgrade::slots`].

use super::keys::{numbered, seconds};
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

/// The prefix and three hex digits.
fn key(trace_id: TraceId) -> [u8; PREFIX.len() + 3] {
    numbered(PREFIX, slots::slot_of(trace_id))
}
