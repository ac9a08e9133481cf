//! Trace context on the wire: bytes in, checked types out. Knows headers' values, never a host.

pub mod b3;
mod edit;
mod extract;
pub mod hex;
mod ids;
mod inject;
mod names;
mod new_ids;
mod ot;
mod propagator;
mod scan;
mod traceparent;
mod tracestate;
pub mod xray;

pub use edit::{HeaderEdit, MAX_WRITTEN_LEN, ThEdit};
pub use extract::{Extracted, OWN_MARK, OwnRequest, RECALL_MARK, UPGRADES_MARK, extract, own_request};
pub use hex::FieldError;
pub use ids::{SpanId, TraceFlags, TraceId, TraceIdFormat};
pub use inject::inject;
pub use names::{TRACEPARENT, TRACESTATE, XRAY};
pub use new_ids::{Ids, is_of_a_hop, new_span_id, new_trace_id};
pub use ot::{MAX_OT_LEN, OtMember};
pub use propagator::{CallerDecision, Headers, OutgoingContext, ParentContext, Propagator};
pub use traceparent::{TRACEPARENT_LEN, TraceParent, TraceParentError};
pub use tracestate::{MAX_MEMBERS, MAX_READ_LEN, Member, TraceState, TraceStateError};
