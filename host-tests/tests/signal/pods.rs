//! A pod: one Envoy process with an inbound and an outbound listener, an application between them that tells nobody of
//! upgrades, and two workers, so that the two sides of a request are in different VMs.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift_host::otlp::ExportedSpan;
use tracelift_host::{Envoy, Finished, Headers, Request, RequestSpec, Response, testing};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const COLLECTOR: &str = "otel_collector";

/// Samples nothing by itself.
pub fn drop_all() -> Value {
    json!({"sampling": {"ratio": 0}})
}

pub struct Pod(pub Envoy);

impl Pod {
    pub fn new(name: &str, mut configuration: Value) -> Self {
        configuration["service_name"] = name.into();
        let of_side = |kind: &str| {
            let mut configuration = configuration.clone();
            if configuration["span_kind"].is_null() {
                configuration["span_kind"] = kind.into();
            }
            configuration.to_string()
        };
        let builder = Envoy::builder(testing::module())
            .inbound(of_side("server"))
            .outbound(of_side("client"))
            .workers(2)
            .seed(name.bytes().map(u64::from).sum())
            .collector(COLLECTOR, Duration::from_millis(5));
        Self(builder.start().unwrap_or_else(|refused| panic!("{refused}")))
    }

    /// A call that comes to this pod, on worker 0.
    pub fn called(&mut self, context: &Headers) -> Request {
        self.0.open(RequestSpec::new("inbound", request(context)).worker(0))
    }

    /// A call that the application makes while it serves `context`, on worker 1.
    pub fn calls(&mut self, context: &Headers) -> Request {
        self.0.open(RequestSpec::new("outbound", request(context)).worker(1))
    }

    /// All spans of this pod, exported and accounted for; nothing trapped.
    pub fn spans(&mut self) -> Vec<ExportedSpan> {
        self.0.advance(Duration::from_secs(5));
        self.0.assert_conservation();
        assert!(self.0.traps().is_empty(), "{:?}", self.0.traps());
        self.0.exports().accepted().trace(TRACE)
    }
}

/// The request that carries this context on.
fn request(context: &Headers) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> =
        [(":method", "GET"), (":path", "/items"), (":authority", "shop"), (":scheme", "http")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    for name in ["traceparent", "tracestate"] {
        headers.extend(context.text(name).map(|value| (name.to_owned(), value.to_owned())));
    }
    headers
}

/// What a client outside sends: a trace that it does not record.
pub fn unsampled() -> Headers {
    Headers::from([("traceparent", &*format!("00-{TRACE}-00f067aa0ba902b7-02"))])
}

/// The same of another trace, and what its hops say of an upgrade.
pub fn unsampled_trace(number: u32) -> (Headers, String) {
    let trace = format!("{:032x}", u128::from(number) + 1);
    let context = Headers::from([("traceparent", &*format!("00-{trace}-00f067aa0ba902b7-02"))]);
    (context, format!("00-{trace}-00f067aa0ba902b7-03"))
}

/// The answer that a hop passed on to its caller, as the caller's proxy gets it.
pub fn passed_on(finished: &Finished) -> Response {
    let mut response = Response::status(finished.status.expect("an answer"));
    for (name, value) in finished.response_headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        response = response.header(name, value);
    }
    response
}
