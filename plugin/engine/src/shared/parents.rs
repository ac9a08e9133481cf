//! The inbound streams of this process by trace: the shared slots behind [`crate::upgrade::parents`].

use super::keys::{numbered, seconds};
use crate::door::Host;
use crate::trace_context::TraceId;
use crate::upgrade::parents::{self, Inbound, Judged, Orphan};

/// Attempts against other workers. A slot holds few streams, so that two writers rarely meet.
const TRIES: usize = 8;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &[u8; 20] = b"tracelift.parents.1.";

/// Shows the stream to every worker. One that cannot be written costs a call of one trace its place in the tree.
pub fn note(host: &impl Host, stream: Inbound) {
    host.update(&key(stream.trace_id), TRIES, |slot| parents::note(slot.unwrap_or_default(), stream, seconds(host)));
}

/// Below which stream a call belongs.
pub fn judge(host: &impl Host, call: &Orphan) -> Judged {
    let slot = host.shared(&key(call.trace_id)).ok().flatten();
    slot.map_or(Judged::Unknown, |(slot, _)| parents::judge(&slot, call, seconds(host)))
}

fn key(trace_id: TraceId) -> [u8; PREFIX.len() + 3] {
    numbered(PREFIX, parents::slot_of(trace_id))
}
