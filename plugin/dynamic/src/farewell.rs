//! The last exports, where the library is a bootstrap extension of Envoy's as well: only such a one learns of the end while there
//! still are clusters, and may have Envoy wait for an answer.
//!
//! Workers serve until the completion is called, and a little longer. So there are two exports: the first opens the connections, and
//! its answers are awaited; the second uses these connections, and no answer is awaited, as with the wasm module. The second is made
//! when all workers have ended where the library is a stats sink, too; otherwise just before the completion is called.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::abi::Completion;
use super::guard::hook;
use super::{calls, door, faults, process, worker};

/// How long an exit waits for the collector at most. Less than what orchestrators grant a process that is to end.
const PATIENCE_NANOS: u64 = 2_000_000_000;

/// An exit that waits for us.
struct Exit {
    completion: Completion,
    context: *mut c_void,
    /// Unix nanoseconds.
    until: u64,
}

// SAFETY: what Envoy gave us is given back to it on the same thread, its main one; the lock is for the compiler alone.
unsafe impl Send for Exit {}

static EXIT: Mutex<Option<Exit>> = Mutex::new(None);
/// There will be an opportunity after the workers have ended.
static LATER: AtomicBool = AtomicBool::new(false);

/// The library is a stats sink.
pub fn comes_later() {
    LATER.store(true, Ordering::Relaxed);
}

/// Envoy flushes its stats: for the last time, if all workers have ended.
pub fn last() {
    if worker::have_ended() {
        process::flush();
    }
}

/// Envoy is about to exit: what waits for export leaves, and Envoy waits for the answers, for a while.
pub fn begin(completion: Completion, context: *mut c_void) {
    let exit = Exit { completion, context, until: door::now().saturating_add(PATIENCE_NANOS) };
    *EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(exit);
    faults::point("shutdown");
    process::flush();
    look();
}

/// Lets Envoy exit when nothing is awaited, or for too long: what was recorded meanwhile leaves, and no answer to it is awaited.
pub fn look() {
    let mut exit = EXIT.lock().unwrap_or_else(PoisonError::into_inner);
    let over = exit.as_ref().is_some_and(|exit| calls::none_is_awaited() || exit.until <= door::now());
    let Some(Exit { completion, context, .. }) = (if over { exit.take() } else { None }) else { return };
    drop(exit);
    if !LATER.load(Ordering::Relaxed) {
        hook((), process::flush); // The completion is called also if this panics.
    }
    // SAFETY: both are Envoy's, in one shutdown hook, and used once.
    unsafe { completion(context) };
}
