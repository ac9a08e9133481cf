//! The release module in real Envoys, with the configurations that users copy.
//!
//! One binary, so that tests share two cores well and link once. Every test ends by closing its books: what the filter
//! counted as exported is what the collector holds, and nothing is lost without a count.

mod adaptive;
mod applications;
mod attributes;
mod beside_envoy;
mod both_forms;
mod central;
mod chain;
mod configs;
mod configuration;
mod context;
mod coverage;
mod exports;
mod failures;
mod force;
mod gateway;
mod grpc;
mod measured;
mod mesh;
mod ratio;
mod recall;
/// The stand-in of X-Ray's sampling API that stands behind callouts of the simulated host, too. Not by a dependency on that
/// crate, which would have these tests compile Wasmtime.
#[path = "../../../host-tests/src/xray.rs"]
#[allow(dead_code, reason = "the stories of the simulated host use the rest")]
mod sampling_service;
mod shadow;
mod shutdown;
mod slow;
mod telemetry;
mod travel;
mod ways;
mod xray;
mod yaml;
