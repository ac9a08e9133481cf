//! What a command needs beyond Cargo: found, or fetched, or refused with the command that a person can run.

pub(crate) mod binaryen;
pub(crate) mod cargo_deny;
pub(crate) mod chromium;
pub(crate) mod collector;
pub(crate) mod cxx;
pub(crate) mod debian;
pub(crate) mod envoy;
pub(crate) mod envoy_gateway;
pub(crate) mod git;
pub(crate) mod go;
pub(crate) mod locked;
pub(crate) mod machine;
pub(crate) mod miri;
pub(crate) mod moto;
pub(crate) mod node;
pub(crate) mod prometheus;
pub(crate) mod python;
pub(crate) mod registry;
pub(crate) mod rollout;
pub(crate) mod rustup;
pub(crate) mod skopeo;
pub(crate) mod system_rust;
pub(crate) mod tracelift_otel;
pub(crate) mod valgrind;
pub(crate) mod wasm_toolchain;
pub(crate) mod wheel;
