//! A pod whose inbound side is on one worker and whose outbound side is on the other, hence in another VM.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift_host::otlp::ExportedSpan;
use tracelift_host::{Envoy, Headers, Request, RequestSpec, testing};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Samples nothing by itself.
pub fn drop_all() -> Value {
    json!({"sampling": {"ratio": 0}})
}

pub struct Pod(pub Envoy);

impl Pod {
    pub fn new(name: &str, configuration: Value) -> Self {
        Self(testing::pod(name, configuration).start().unwrap_or_else(|refused| panic!("{refused}")))
    }

    /// A call that comes to this pod, on worker 0.
    pub fn called(&mut self, context: &Headers) -> Request {
        self.0.open(RequestSpec::new("inbound", testing::request_in(context)).worker(0))
    }

    /// A call that the application makes while it serves `context`, on worker 1.
    pub fn calls(&mut self, context: &Headers) -> Request {
        self.0.open(RequestSpec::new("outbound", testing::request_in(context)).worker(1))
    }

    /// All spans of this pod, exported and accounted for; nothing trapped.
    pub fn spans(&mut self) -> Vec<ExportedSpan> {
        self.0.advance(Duration::from_secs(10)); // A call without a known parent waits for five.
        self.0.assert_conservation();
        assert!(self.0.traps().is_empty(), "{:?}", self.0.traps());
        self.0.exports().accepted().trace(TRACE)
    }
}

/// What a client outside sends: a trace that it does not record.
pub fn unsampled() -> Headers {
    testing::unsampled(TRACE)
}

/// The same of another trace, and what its hops say of an upgrade.
pub fn unsampled_trace(number: u32) -> (Headers, String) {
    let trace = format!("{:032x}", u128::from(number) + 1);
    (testing::unsampled(&trace), format!("2;upgraded;{trace}"))
}

/// The header by which hops, and applications, tell their callers.
pub const SIGNAL: &str = "x-tracelift-signal";

/// What a hop says of [`TRACE`].
pub fn mark(word: &str) -> String {
    format!("2;{word};{TRACE}")
}
