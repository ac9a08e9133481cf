//! Envoy, its shipped configurations, and what the end-to-end tests and the demo need around it: a real Envoy process,
//! an OTLP collector and an upstream that answer as they are told, and a client.
//!
//! Nothing here knows the plugin's code. It is driven as a user drives it: by configuration, headers and counters.

pub mod admin;
pub mod client;
pub mod collector;
pub mod config;
pub mod filter;
pub mod filter_file;
pub mod load;
pub mod ports;
pub mod process;
pub mod python;
mod random;
mod server;
mod spans;
pub mod stats;
pub mod upstream;
mod wrapped;

pub use admin::Admin;
pub use client::{Client, Reply, Request};
pub use collector::{Answer, Collector};
pub use config::{Bootstrap, Shipped};
pub use filter::Filter;
pub use load::{Load, Tally, flood};
pub use process::{Envoy, EnvoyError, Launch};
pub use random::Random;
pub use spans::ReceivedSpan;
pub use stats::{Ledger, Stats};
pub use upstream::Upstream;
