//! Panics on demand, for the tests that a panic costs one stream its tracing and never ends Envoy. Only with the feature `faults`,
//! which no build for users has.

/// Names a file; its content is the place that panics next, once.
#[cfg(feature = "faults")]
const VARIABLE: &str = "TRACELIFT_PANIC_FILE";

/// Panics if the test wants it at this place: who removes the file is the one that panics.
#[cfg(feature = "faults")]
#[allow(clippy::panic, reason = "this is what the build is for")]
pub fn point(place: &str) {
    let Some(file) = std::env::var_os(VARIABLE) else { return };
    let wanted = std::fs::read_to_string(&file).is_ok_and(|wanted| wanted == place);
    if wanted && std::fs::remove_file(&file).is_ok() {
        panic!("asked for at {place}");
    }
}

/// Nothing.
#[cfg(not(feature = "faults"))]
pub fn point(_place: &str) {}
