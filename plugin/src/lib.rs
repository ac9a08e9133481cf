//! Tracelift: an honest, cheap trace sampler for every Envoy of a mesh.
//!
//! Data flows one way: headers -> facts -> decision -> outgoing context -> response facts -> trigger -> span -> queue ->
//! batch -> wire. Everything here is pure and runs natively; only `filter` knows proxy-wasm.

pub mod central;
pub mod config;
#[cfg(feature = "tools")]
pub mod explain;
pub mod export;
// Not on every wasm: the playground runs the engine in a browser, which has no proxy-wasm host.
#[cfg(all(target_arch = "wasm32", target_os = "wasi"))]
mod filter;
#[cfg(feature = "tools")]
pub mod forecast;
pub mod identity;
#[cfg(feature = "tools")]
pub mod manifest;
#[cfg(feature = "schema")]
pub mod reference;
pub mod sampling;
pub mod shadow;
pub mod span;
pub mod stream;
pub mod telemetry;
pub mod trace_context;
pub mod upgrade;
