//! The release module over the life of a request: propagation, decisions, upgrades, spans, hostile input, its own shape.

mod algorithms;
mod decisions;
mod interplay;
mod kit;
mod propagation;
mod propagators;
mod rules;
mod tracestate;
