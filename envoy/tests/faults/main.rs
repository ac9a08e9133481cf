//! Faults under load: each happens to an Envoy with the filter and to a twin without it, both serving the same requests.
//!
//! What must hold in every story: no request fails that the twin would have served, none waits for a collector, memory stays
//! within its bounds, and every span is exported, discarded by reason, queued or in flight. How long requests took is
//! printed beside each other and decides nothing.

mod clock;
mod collector;
mod configuration;
mod counted;
mod liars;
mod liars_signal;
mod process;
mod quantity;
mod stage;
mod trap;
mod watched;
