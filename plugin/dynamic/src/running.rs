//! Streams of one worker that run, for the main thread: it must not ask Envoy about a stream of another thread, but looks here on a
//! tick for those whose traces were upgraded. Filled only where such streams matter, or where Envoy does not say when one began.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracelift::door::Attribute;
use tracelift::process::ContextHasher;

/// What is known of a stream from its beginning on.
#[derive(Clone, Copy)]
struct Known {
    /// Unix nanoseconds, by this module's clock.
    began: u64,
    /// `xds.listener_direction`, once there is a request.
    direction: Option<i64>,
}

/// By the worker's numbers. Each side holds the lock for one look or one change.
#[derive(Default)]
pub struct Running(Mutex<HashMap<u32, Known, BuildHasherDefault<ContextHasher>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Known, BuildHasherDefault<ContextHasher>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins, in Unix nanoseconds.
    pub fn begin(&self, stream: u32, began: u64) {
        self.lock().insert(stream, Known { began, direction: None });
    }

    /// Where its listener leads, as `direction` reads it.
    pub fn set_direction(&self, stream: u32, direction: impl FnOnce() -> Option<i64>) {
        if let Some(known) = self.lock().get_mut(&stream) {
            known.direction = direction();
        }
    }

    /// A stream has ended.
    pub fn end(&self, stream: u32) {
        self.lock().remove(&stream);
    }

    /// An attribute of one that runs, of the two that are known.
    pub fn number(&self, stream: u32, attribute: Attribute) -> Option<i64> {
        let known = *self.lock().get(&stream)?;
        match attribute {
            Attribute::StartTime => i64::try_from(known.began).ok(),
            Attribute::ListenerDirection => known.direction,
            _ => None,
        }
    }
}
