//! The audit of a process: what its workers have counted, in one compare-and-swap slot.

use crate::door::{Host, Update};
use crate::sampling::{Audit, Sums};

/// Compare-and-swap attempts before this worker waits for its next tick.
const TRIES: usize = 8;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &str = "tracelift.audit.1.";
/// Three numbers of two classes, eight bytes each, little-endian.
const BYTES: usize = 48;

/// Adds what a worker has counted for the filters of that name; the sum of all of them, or `None` if it was not taken.
pub fn add(host: &impl Host, plugin: &str, news: &Audit) -> Option<Audit> {
    let mut all = Audit::default();
    let update = host.update([PREFIX, plugin].concat().as_bytes(), TRIES, |known| {
        all = read(known.unwrap_or_default());
        all.add(news);
        Some(write(&all))
    });
    (update == Update::Changed).then_some(all)
}

fn read(bytes: &[u8]) -> Audit {
    let mut numbers = bytes.chunks_exact(8).take(BYTES / 8).map(|chunk| {
        let number = chunk.first_chunk::<8>().map_or(0.0, |bytes| f64::from_le_bytes(*bytes));
        if number.is_finite() { number } else { 0.0 }
    });
    let mut next = || numbers.next().unwrap_or_default();
    let mut sums = || Sums { requests: next(), estimated: next(), variance: next() };
    Audit::new(sums(), sums())
}

fn write(audit: &Audit) -> Vec<u8> {
    let numbers = |sums: &Sums| [sums.requests, sums.estimated, sums.variance];
    let all = numbers(&audit.ok).into_iter().chain(numbers(&audit.failed));
    all.flat_map(f64::to_le_bytes).collect()
}
