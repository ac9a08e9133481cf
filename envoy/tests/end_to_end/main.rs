//! The release module in real Envoys, with the configurations that users copy.
//!
//! One binary, so that tests share two cores well and link once. Every test ends by closing its books: what the filter
//! counted as exported is what the collector holds, and nothing is lost without a count.

mod beside_envoy;
mod chain;
mod configs;
mod configuration;
mod context;
mod exports;
mod failures;
mod gateway;
mod grpc;
mod mesh;
mod ratio;
mod recall;
mod shadow;
mod shutdown;
mod telemetry;
mod travel;
mod xray;
