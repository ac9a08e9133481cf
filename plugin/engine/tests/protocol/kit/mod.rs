//! A simulated host: one process with its workers, on a clock that a test moves by hand. Nothing of it is proxy-wasm, and
//! everything that a real host may refuse can be made to fail.

pub mod collector;
pub mod exchange;
pub mod faults;
pub mod host;
pub mod play;
pub mod points;
pub mod process;
pub mod shared;
