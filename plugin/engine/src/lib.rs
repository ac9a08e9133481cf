//! Tracelift's engine: an honest, cheap trace sampler for every Envoy of a mesh.
//!
//! Data flows one way: headers -> facts -> decision -> outgoing context -> response facts -> trigger -> span -> queue ->
//! batch -> wire. Nothing here knows proxy-wasm, a clock, randomness, the environment or a log.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::disallowed_methods, clippy::allow_attributes_without_reason)]

pub mod border;
pub mod central;
pub mod config;
pub mod door;
pub mod export;
pub mod force;
pub mod http;
pub mod identity;
pub mod json;
pub mod metrics;
pub mod otlp;
pub mod policy;
pub mod process;
pub mod request;
pub mod sampling;
pub mod shared;
pub mod span;
pub mod stream;
pub mod telemetry;
pub mod trace_context;
pub mod upgrade;
