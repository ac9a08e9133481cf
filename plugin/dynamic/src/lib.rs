//! The filter as an Envoy dynamic module: the engine behind the hooks and callbacks of Envoy's module ABI. Workers record, the main
//! thread exports for all of them, and a failure increments a counter and lets the request continue.

#![cfg(all(target_os = "linux", target_pointer_width = "64", not(loom)))]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::disallowed_methods, clippy::allow_attributes_without_reason)]

mod abi;
mod attributes;
mod bell;
mod bootstrap_hooks;
mod calls;
mod config;
mod config_hooks;
mod door;
mod exchange;
mod farewell;
mod faults;
mod guard;
mod headers;
mod metrics;
mod node;
mod process;
mod running;
mod shard;
mod shared;
mod sink_hooks;
mod stream_hooks;
mod sync;
mod ticker;
mod unused_hooks;
mod worker;
mod writes;
