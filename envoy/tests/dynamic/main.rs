//! What only the dynamic module has: panics that end at a hook, one memory for all of its configurations, and a library that is
//! loaded, found wrong, or loaded twice. Not among the usual tests: it needs the libraries that `cargo xtask test --only dynamic`
//! builds.

mod exit;
mod fetched;
mod gateway;
mod libraries;
mod panics;
#[allow(dead_code, reason = "the stage of the faults, which use all of it")]
#[path = "../faults/stage.rs"]
mod stage;
mod updates;
#[path = "../faults/watched.rs"]
mod watched;
