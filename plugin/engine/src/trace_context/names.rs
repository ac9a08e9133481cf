//! Header names, in the lower case in which a host hands them over.

/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// Its companion.
pub const TRACESTATE: &str = "tracestate";
/// AWS X-Ray's tracing header, of requests and of answers.
pub const XRAY: &str = "x-amzn-trace-id";
pub(super) const B3: &str = "b3";
pub(super) const B3_TRACE_ID: &str = "x-b3-traceid";
pub(super) const B3_SPAN_ID: &str = "x-b3-spanid";
pub(super) const B3_PARENT_SPAN_ID: &str = "x-b3-parentspanid";
pub(super) const B3_SAMPLED: &str = "x-b3-sampled";
pub(super) const B3_FLAGS: &str = "x-b3-flags";
