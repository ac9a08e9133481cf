//! Tracelift: an honest, cheap trace sampler for every Envoy of a mesh.
//!
//! Data flows one way: headers -> facts -> decision -> outgoing context -> response facts -> trigger -> span -> queue ->
//! batch -> wire. Everything here is pure and runs natively; only `filter` knows proxy-wasm.

pub mod config;
pub mod export;
#[cfg(target_arch = "wasm32")]
mod filter;
pub mod identity;
#[cfg(feature = "schema")]
pub mod reference;
pub mod sampling;
pub mod span;
pub mod stream;
pub mod telemetry;
pub mod trace_context;
pub mod upgrade;
