//! The host on its own, with small hand-written modules. Names of tests say what Envoy does.

mod callouts;
mod exports;
mod failures;
mod life;
mod phases;
mod properties;
mod shared;
mod wasi;
mod wat;
