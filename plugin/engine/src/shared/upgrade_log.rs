//! The traces upgraded in this process: written once each, read by every worker on its tick, and listed for applications.

use crate::door::{Host, Update};
use crate::trace_context::TraceId;
use crate::upgrade::recall::log::{self, News, Reader};

/// The number is the version of the layout: another layout is another key.
const KEY: &[u8] = b"tracelift.upgrades.2";
/// Attempts against other workers.
const TRIES: usize = 16;

/// Begins to read the log where it ends now. It exists from now on, so that its first writers meet by compare-and-swap; the
/// main thread comes before any worker. `None` where the host has no shared values.
#[inline(never)] // Two callers; once for a configuration.
pub fn open(host: &impl Host) -> Option<Reader> {
    let found = host.shared(KEY).ok()?.map(|(log, _)| log);
    if let Some(log) = found.filter(|log| log::is_log(log)) {
        return Some(Reader::at_end_of(&log));
    }
    let log = log::empty(epoch(host));
    let _ = host.swap(KEY, &log, 0); // Without it the first upgrades may be lost, and are counted so.
    Some(Reader::at_end_of(&log))
}

/// What was written since the last look.
pub fn read(host: &impl Host, reader: &mut Reader) -> Option<News> {
    Some(reader.read(&bytes(host)?))
}

/// The log as it is now. `None` where there is none yet.
pub fn bytes(host: &impl Host) -> Option<Vec<u8>> {
    host.shared(KEY).ok()?.map(|(log, _)| log)
}

/// Tells every worker that the trace was upgraded here for the first time; `false` if that was not possible.
#[must_use]
#[inline(never)] // Two callers; once for an upgraded trace.
pub fn append(host: &impl Host, trace_id: TraceId) -> bool {
    let change = |log: Option<&[u8]>| Some(log::append(log.unwrap_or_default(), trace_id, || epoch(host)));
    host.update(KEY, TRIES, change) == Update::Changed
}

/// A random number that names a new log; the clock where there is no randomness.
fn epoch(host: &impl Host) -> u64 {
    let mut bytes = [0; 8];
    if host.random(&mut bytes) { u64::from_ne_bytes(bytes) } else { host.now() }
}
