//! The way in: every hook of Envoy's goes through here, so that a panic costs one stream its tracing and never ends Envoy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use tracelift::door::Level;

use super::door;

/// Panics since the module was loaded, for the counter.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Runs a hook; `otherwise` where it panicked. The first panic of the process is logged, each is counted.
pub fn hook<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    // Unwind safety: what a panic leaves half done is a count or a stream, and neither is relied on.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        Err(panic) => {
            // A payload may panic where it is dropped.
            std::mem::forget(panic);
            if PANICS.fetch_add(1, Ordering::Relaxed) == 0 {
                door::log(
                    Level::Error,
                    "tracelift: a hook panicked; that request continues without tracing. Further ones are only counted, in tracelift.panics",
                );
            }
            otherwise
        }
    }
}

/// Panics so far.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Says where a panic came from, through Envoy's log instead of the standard error; once.
pub fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            if panics() == 0 {
                door::log(Level::Error, &format!("tracelift: {info}").replace('\n', " "));
            }
        }));
    });
}
