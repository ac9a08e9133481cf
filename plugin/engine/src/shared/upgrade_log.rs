//! The traces upgraded in this process: written once each, read by every worker on its tick.

use crate::door::{Host, Update};
use crate::trace_context::TraceId;
use crate::upgrade::recall::log::{self, News, Reader};

/// The number is the version of the layout: another layout is another key.
const KEY: &[u8] = b"tracelift.upgrades.1";
/// Attempts against other workers.
const TRIES: usize = 16;

/// Begins to read the log where it ends now. It exists from now on, so that its first writers meet by compare-and-swap; the
/// main thread comes before any worker. `None` where the host has no shared values.
pub fn open(host: &impl Host) -> Option<Reader> {
    let log = host.shared(KEY).ok()?.map(|(log, _)| log);
    if log.is_none() {
        let _ = host.swap(KEY, &0_u64.to_be_bytes(), 0); // Without it the first upgrades may be lost, and are counted so.
    }
    Some(Reader::at_end_of(&log.unwrap_or_default()))
}

/// What was written since the last look.
pub fn read(host: &impl Host, reader: &mut Reader) -> Option<News> {
    let (log, _) = host.shared(KEY).ok()??;
    Some(reader.read(&log))
}

/// Tells every worker that the trace was upgraded here for the first time; `false` if that was not possible.
#[must_use]
pub fn append(host: &impl Host, trace_id: TraceId) -> bool {
    host.update(KEY, TRIES, |log| Some(log::append(log.unwrap_or_default(), trace_id))) == Update::Changed
}
