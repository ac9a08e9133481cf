//! The clock that wakes the main thread: an HTTP filter has no timer of Envoy's.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::config;

struct Ticker {
    thread: Option<JoinHandle<()>>,
    /// Milliseconds; 0 stops it.
    every: u64,
}

static TICKER: Mutex<Ticker> = Mutex::new(Ticker { thread: None, every: 0 });
static CHANGED: Condvar = Condvar::new();

/// Ticks at this interval from now on; 0 ends the thread, and waits for its end, so that the library may be unloaded. On the
/// main thread only.
pub fn every(milliseconds: u64) {
    let mut ticker = TICKER.lock().unwrap_or_else(PoisonError::into_inner);
    ticker.every = milliseconds;
    CHANGED.notify_all();
    if milliseconds == 0 {
        let thread = ticker.thread.take();
        drop(ticker);
        if let Some(thread) = thread {
            let _ = thread.join(); // It returns nothing.
        }
    } else if ticker.thread.is_none() {
        // Without a thread spans leave in full batches only.
        ticker.thread = Builder::new().name("tracelift".to_owned()).spawn(run).ok();
    }
}

/// A change of the interval, which comes with each configuration, does not put the next tick off.
#[allow(clippy::disallowed_methods, reason = "this is the host that ticks come from")]
fn run() {
    let mut ticked = Instant::now();
    let mut ticker = TICKER.lock().unwrap_or_else(PoisonError::into_inner);
    while ticker.every != 0 {
        let left = Duration::from_millis(ticker.every).saturating_sub(ticked.elapsed());
        if left.is_zero() {
            drop(ticker);
            config::wake_all();
            ticked = Instant::now();
            ticker = TICKER.lock().unwrap_or_else(PoisonError::into_inner);
        } else {
            (ticker, _) = CHANGED.wait_timeout(ticker, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
