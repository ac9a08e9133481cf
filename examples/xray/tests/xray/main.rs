//! Traces in X-Ray: sent by real Envoys through a collector, read back by `BatchGetTraces`.
//!
//! With TRACELIFT_COLLECTOR set the collector is the real one; else our rehearsal of its X-Ray exporter, which also refuses
//! what X-Ray would. The documents must be the same.

mod exporter;
mod files;
mod ids;
mod kit;
mod limits;
mod outcomes;
mod platforms;
mod shop;
