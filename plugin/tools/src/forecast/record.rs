//! One request that really happened.

use crate::explain::Request;
use tracelift::http::{GrpcStatus, ResponseFlags};
use tracelift::trace_context::{SpanId, TraceId};

/// One request at one hop, or another span of its trace.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its trace; `None`: alone in a trace of its own.
    pub trace_id: Option<TraceId>,
    /// Its span.
    pub span_id: Option<SpanId>,
    /// The caller's.
    pub parent_id: Option<SpanId>,
    /// Unix nanoseconds; 0 where the source has no time.
    pub started: u64,
    /// Nanoseconds that it took.
    pub took: u64,
    /// What was asked.
    pub request: Request,
    /// HTTP status.
    pub status: Option<u16>,
    /// gRPC status.
    pub grpc_status: Option<GrpcStatus>,
    /// The answer passed whole, or nothing says that it did not.
    pub is_whole: bool,
    /// Envoy's response flags.
    pub flags: ResponseFlags,
    /// Whose proxy saw it: each has a budget of its own.
    pub service: String,
    /// How many such spans this one stands for, 1 or more: its adjusted count, in a dump that was sampled already.
    pub weight: f64,
    /// Encoded bytes, where the source tells them.
    pub bytes: Option<u32>,
    /// What it is to a proxy.
    pub role: Role,
}

/// What a span is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A request that a proxy sees, and could keep.
    Hop,
    /// A span of an application's SDK: it follows the flag, and no upgrade brings it back.
    Follower,
}
