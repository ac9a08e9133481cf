//! One thread asks another to come on behalf of something that has a number, and does not ask twice before it has come.

use super::sync::{AtomicU32, Ordering};

/// For what it was rung last; 0 for nothing. What was done before [`Self::ring`] is seen by whoever comes after [`Self::answer`].
pub struct Bell {
    rung: AtomicU32,
}

impl Bell {
    /// `true`: the other one must be woken; else it was, for the same, and has not looked yet.
    pub fn ring(&self, number: u32) -> bool {
        self.rung.swap(number, Ordering::AcqRel) != number
    }

    /// The other one comes, and will look after this. A ring for another number has woken it for that one.
    pub fn answer(&self, number: u32) {
        let _ = self.rung.compare_exchange(number, 0, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(not(loom))]
impl Bell {
    /// Not rung yet.
    pub const fn new() -> Self {
        Self { rung: AtomicU32::new(0) }
    }
}

#[cfg(loom)]
impl Bell {
    /// Not rung yet.
    pub fn new() -> Self {
        Self { rung: AtomicU32::new(0) }
    }
}
