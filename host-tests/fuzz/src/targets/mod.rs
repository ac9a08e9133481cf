//! The targets, by what they read.

mod answers;
mod central;
mod config;
mod context;
mod exporter;
mod protocol;
mod signal;
mod span;
#[cfg(feature = "streams")]
mod stream_input;
#[cfg(feature = "streams")]
mod streams;
mod tool;

use crate::Target;

/// Bytes of a header: beyond Envoy's default limit for all headers of a request there is nothing to see.
const HEADER: usize = 4_096;

/// Every target of this build.
pub(crate) const ALL: &[Target] = &[
    Target { name: "traceparent", run: context::traceparent, max_len: 256 },
    Target { name: "tracestate", run: context::tracestate, max_len: HEADER },
    Target { name: "ot", run: context::ot, max_len: 512 },
    Target { name: "xray", run: context::xray, max_len: 1_024 },
    Target { name: "b3", run: context::b3, max_len: 512 },
    Target { name: "propagation", run: context::propagation, max_len: HEADER },
    Target { name: "signal", run: signal::signal, max_len: HEADER },
    Target { name: "recall", run: signal::recall, max_len: HEADER },
    Target { name: "force", run: signal::force, max_len: 1_024 },
    Target { name: "slots", run: signal::slots, max_len: 512 },
    Target { name: "config-json", run: config::json, max_len: 8_192 },
    Target { name: "config-struct", run: config::protobuf, max_len: 8_192 },
    Target { name: "rules", run: config::rules, max_len: HEADER },
    Target { name: "answers", run: answers::answers, max_len: HEADER },
    Target { name: "central", run: central::central, max_len: HEADER },
    Target { name: "central-shared", run: central::shared, max_len: 1_024 },
    Target { name: "protocol", run: protocol::protocol, max_len: 2_048 },
    Target { name: "span", run: span::span, max_len: HEADER },
    Target { name: "check", run: tool::check, max_len: 8_192 },
    Target { name: "forecast", run: tool::forecast, max_len: 8_192 },
    #[cfg(feature = "streams")]
    Target { name: "streams", run: streams::streams, max_len: 2_048 },
];
