//! The sampling room against other implementations' decisions, our own rules, and the laws that hold for any input. One
//! test program, because each would link the whole crate.

mod allocations;
mod interplay;
mod properties;
mod sessions;
mod support;
mod vectors;
