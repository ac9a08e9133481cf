//! From a span to bytes on their way to a collector: queue, batch, retry, OTLP. Never reads the policy.

mod counts;
mod settings;

pub use counts::{Counts, DiscardReason};
pub use settings::{Compression, Protocol, Settings};
