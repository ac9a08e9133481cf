//! This worker's reader of the upgrade log: one for recall and for late parenting, whichever root ticks.

use crate::door::Host;
use crate::shared::upgrade_log;
use crate::upgrade::recall::log::{News, Reader};

/// The roots of a VM tick together; one look at the log does for all of them.
const LOOK_APART_NANOS: u64 = 50 * 1_000_000;

/// Where it stands. Without a reader nothing is asked of the host.
#[derive(Default)]
pub(super) struct Upgrades {
    reader: Option<Reader>,
    looked_at: u64,
    /// The clock at the last tick.
    ticked_at: u64,
}

impl Upgrades {
    /// A configuration was taken up that needs to know of upgrades.
    pub(super) fn start(&mut self, host: &impl Host) {
        if self.reader.is_none() {
            self.reader = upgrade_log::open(host);
        }
    }

    /// A tick begins. `true`: the clock was set back since the last one.
    pub(super) fn follow_clock(&mut self, now: u64) -> bool {
        let before = std::mem::replace(&mut self.ticked_at, now);
        if now < before {
            self.looked_at = 0;
        }
        now < before
    }

    /// What is new in the log; `None` where another root has just looked.
    pub(super) fn look(&mut self, host: &impl Host, now: u64) -> Option<News> {
        if now.saturating_sub(self.looked_at) < LOOK_APART_NANOS {
            return None;
        }
        self.looked_at = now;
        let news = self.reader.as_mut().and_then(|reader| upgrade_log::read(host, reader));
        Some(news.unwrap_or_default())
    }
}
