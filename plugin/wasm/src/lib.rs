//! The filter as a proxy-wasm module: the engine behind the ABI's callbacks and hostcalls. Callbacks record, the tick exports,
//! and a failure increments a counter and lets the request continue.

#![cfg(all(target_arch = "wasm32", target_os = "wasi"))]

mod abi;
mod attributes;
mod callbacks;
mod door;
mod host;
mod landing;
mod sections;
mod vm;
