//! Trace context on the wire: bytes in, checked types out. Knows headers' values, never a host.

mod edit;
pub mod hex;
mod ids;
mod ot;
mod propagator;
mod scan;
mod traceparent;

pub use edit::{HeaderEdit, ThEdit};
pub use hex::FieldError;
pub use ids::{SpanId, TraceFlags, TraceId};
pub use ot::OtMember;
pub use propagator::{CallerDecision, Headers, OutgoingContext, ParentContext, Propagator};
pub use traceparent::{TRACEPARENT_LEN, TraceParent, TraceParentError};
