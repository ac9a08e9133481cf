//! Traces in X-Ray: sent by real Envoys through a real collector, read back by `BatchGetTraces`.

mod endpoints;
mod exporter;
mod files;
mod ids;
mod kit;
mod kubernetes;
mod limits;
mod outcomes;
mod platforms;
mod shop;
