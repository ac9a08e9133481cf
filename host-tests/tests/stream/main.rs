//! The release module over the life of a request: propagation, decisions, upgrades, spans, hostile input, its own shape.

mod access_log;
mod algorithms;
mod attributes;
mod compare;
mod decisions;
mod disorder;
mod faults;
mod hostile;
mod interplay;
mod kit;
mod privacy;
mod propagation;
mod propagators;
mod resource;
mod rules;
mod shadow;
mod shape;
mod spans;
mod tracestate;
mod triggers;
mod upgrade;
mod xray;
