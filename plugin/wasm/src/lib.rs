//! The filter as a proxy-wasm module: the engine behind the ABI's callbacks and hostcalls. Callbacks record, the tick exports,
//! and a failure increments a counter and lets the request continue.

#![cfg(all(target_arch = "wasm32", target_os = "wasi"))]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::disallowed_methods, clippy::allow_attributes_without_reason)]

mod abi;
mod attributes;
mod callbacks;
mod compare;
mod door;
mod host;
mod landing;
mod sections;
mod vm;
