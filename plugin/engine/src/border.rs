//! What Envoy does by itself around the filter, so that a VM is entered less often: an answer without anything notable passes the
//! filter by (Envoy's `ExtensionWithMatcher`, whose matcher skips it), and headers with a slot of their own (`inline_headers` of the
//! bootstrap) are read one at a time.
//!
//! The conditions are said here alone: the shipped manifests are compared with them, and so is what `tracelift check` finds.

use crate::json::names;
use crate::trace_context::{TRACEPARENT, TRACESTATE};
use crate::upgrade::signal::{SERVER_TIMING, SIGNAL, TRACERESPONSE};

names! {
    /// Which answers reach the filter.
    pub enum Answers {
        /// All of them: nothing is in front of the filter.
        All = "all",
        /// Those with something notable in their head: Envoy's matcher has the filter skip the others.
        Notable = "notable",
    }
}

/// What makes an answer notable: a header of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name, in lower case.
    pub header: &'static str,
    /// What its value begins with, in any case of letters; `None`: any value will do.
    pub prefix: Option<&'static str>,
}

const fn present(header: &'static str) -> Condition {
    Condition { header, prefix: None }
}

const fn begins(header: &'static str, prefix: &'static str) -> Condition {
    Condition { header, prefix: Some(prefix) }
}

/// Any of these makes an answer notable: it failed, it is one of gRPC (whose trailers may say so later, when a matcher has decided), or
/// a filter behind it says something of the trace.
pub const NOTABLE: [Condition; 4] =
    [begins(":status", "5"), begins("content-type", "application/grpc"), present("grpc-status"), present(SIGNAL)];

/// And at the mesh's edge what does not leave it.
pub const NOTABLE_AT_EDGE: [Condition; 2] = [present(TRACERESPONSE), present(SERVER_TIMING)];

/// The note on a stream by which the filter asks for its answer, whatever that is; with a value. Of the wasm module it is filter state
/// `wasm.tracelift.answer`.
pub const ASKED: &str = "tracelift.answer";

/// Request headers that the filter reads or writes for every request.
pub const INLINE_REQUEST_HEADERS: [&str; 2] = [TRACEPARENT, TRACESTATE];

/// Response headers that it, or the matcher in front of it, looks for in every answer.
pub const INLINE_RESPONSE_HEADERS: [&str; 3] = [SIGNAL, TRACERESPONSE, SERVER_TIMING];

/// The checked `envoy` part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Answers without anything notable pass the filter by.
    pub skips: bool,
    /// The filter asks for every answer: its settings look at more of them than a matcher knows.
    pub asks_all: bool,
    /// `traceparent` is read alone, and all headers only for requests that may be sampled.
    pub one_header: bool,
    /// The other settings let answers pass the filter by.
    pub could_skip: bool,
    /// The other settings let one header be enough.
    pub could_read_one: bool,
}
