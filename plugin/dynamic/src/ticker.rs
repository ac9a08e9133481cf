//! The clock that wakes the main thread: an HTTP filter has no timer of Envoy's.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

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

fn run() {
    let mut ticker = TICKER.lock().unwrap_or_else(PoisonError::into_inner);
    while ticker.every != 0 {
        let every = Duration::from_millis(ticker.every);
        let (next, waited) = CHANGED.wait_timeout(ticker, every).unwrap_or_else(PoisonError::into_inner);
        ticker = next;
        if waited.timed_out() {
            drop(ticker);
            config::wake_all();
            ticker = TICKER.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
}
