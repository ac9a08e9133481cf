//! Where a value of the host lands: one fixed place, so that a request that is not recorded neither allocates nor frees.
//!
//! The host asks `proxy_on_memory_allocate` for memory in the middle of the hostcall that returns a value. Whoever wants to
//! look at that value only, and not to keep it, lays the place open first.

use std::cell::{Cell, UnsafeCell};

/// Bytes of the place. The headers of an ordinary request are one to two kilobytes; whatever is longer is allocated.
const SIZE: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Values are allocated.
    Closed,
    /// The next value that fits lands here.
    Open,
    /// A value lies here, or is being read.
    Taken,
}

struct Landing {
    state: Cell<State>,
    place: UnsafeCell<[u8; SIZE]>,
}

// SAFETY: a VM has one thread; the module is built for nothing else.
unsafe impl Sync for Landing {}

static LANDING: Landing = Landing { state: Cell::new(State::Closed), place: UnsafeCell::new([0; SIZE]) };

/// Memory for a value of this size, if the place is open for it.
pub fn take(size: usize) -> Option<*mut u8> {
    if LANDING.state.get() != State::Open || SIZE < size {
        return None;
    }
    LANDING.state.set(State::Taken);
    Some(LANDING.place.get().cast())
}

/// Lays the place open for one hostcall, unless a value of an earlier one is still being read.
pub fn open() -> Opened {
    let ours = LANDING.state.get() == State::Closed;
    if ours {
        LANDING.state.set(State::Open);
    }
    Opened { ours }
}

/// The place, until this is dropped.
pub struct Opened {
    ours: bool,
}

impl Opened {
    /// The value, if it landed here.
    pub fn value(&self, data: *const u8, size: usize) -> Option<&[u8]> {
        if !self.ours || LANDING.state.get() != State::Taken || data != LANDING.place.get().cast() {
            return None;
        }
        // SAFETY: the host wrote before the hostcall returned, and nothing lands here before `self` is gone.
        let place = unsafe { &*LANDING.place.get() };
        Some(place.get(..size).unwrap_or_default())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.ours {
            LANDING.state.set(State::Closed);
        }
    }
}
