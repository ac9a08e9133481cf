//! The application of this pod asks for the list of upgrades: how often it may, and whether it does.

use super::SharedBudget;
use crate::door::Host;
use crate::upgrade::Budget;

/// Polls that are answered in a second, in the whole process. One a second is usual for a process of an application.
pub const PER_SECOND: u32 = 100;
/// How long after a poll the application counts as asking, in seconds.
const ASKS_FOR: u32 = 10;
/// The second of the last poll that was answered, little-endian. The number is the version of the layout.
const KEY: &[u8] = b"tracelift.applications.1.polled";

/// The bound on polls.
pub struct Polls(SharedBudget);

impl Default for Polls {
    fn default() -> Self {
        Self(SharedBudget::of_process("tracelift.limit.1.polls"))
    }
}

impl Polls {
    /// Charges one; `false` refuses it.
    pub fn admit(&mut self, host: &impl Host) -> bool {
        Budget::per_second(f64::from(PER_SECOND)).is_ok_and(|budget| self.0.admit(&budget, host))
    }
}

/// A poll was answered at `now` (Unix nanoseconds). Written once a second at most; one that cannot be written is known a second
/// later.
pub fn note(host: &impl Host, now: u64) {
    let (second, found) = (second(now), last(host));
    if found.is_none_or(|(known, _)| known != second) {
        let _ = host.swap(KEY, &second.to_le_bytes(), found.map_or(0, |(_, mark)| mark));
    }
}

/// Whether an application here holds its spans, and asks which to release: it polled within the last ten seconds. `now` is Unix
/// nanoseconds.
pub fn are_coming(host: &impl Host, now: u64) -> bool {
    last(host).is_some_and(|(known, _)| known.abs_diff(second(now)) <= ASKS_FOR)
}

fn last(host: &impl Host) -> Option<(u32, u32)> {
    let (value, mark) = host.shared(KEY).ok()??;
    Some((value.first_chunk().map_or(0, |second| u32::from_le_bytes(*second)), mark))
}

fn second(now: u64) -> u32 {
    u32::try_from(now / 1_000_000_000).unwrap_or(u32::MAX)
}
