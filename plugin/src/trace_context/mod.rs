//! Trace context on the wire: bytes in, checked types out. Knows headers' values, never a host.

pub mod hex;
mod ids;

pub use hex::FieldError;
pub use ids::{SpanId, TraceFlags, TraceId};
