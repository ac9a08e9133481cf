//! A pod: one Envoy process with an inbound and an outbound listener, an application between them that tells nobody of
//! upgrades, and two workers, so that the two sides of a request can be in different VMs.

use std::time::Duration;

use serde_json::Value;

use super::module;
use crate::{Envoy, EnvoyBuilder, Finished, Headers, Response};

/// A pod of this name and configuration, the inbound side of which makes SERVER spans and the outbound side CLIENT spans
/// unless the configuration says otherwise. Its collector takes everything after 5 ms. Start it, or add to it before.
///
/// # Panics
/// If there is no module.
pub fn pod(name: &str, mut configuration: Value) -> EnvoyBuilder {
    configuration["service_name"] = name.into();
    let of_side = |kind: &str| {
        let mut configuration = configuration.clone();
        if configuration["span_kind"].is_null() {
            configuration["span_kind"] = kind.into();
        }
        configuration.to_string()
    };
    Envoy::builder(module())
        .inbound(of_side("server"))
        .outbound(of_side("client"))
        .workers(2)
        .seed(name.bytes().map(u64::from).sum())
        .collector("otel_collector", Duration::from_millis(5))
}

/// The request that carries this trace context on.
pub fn request_in(context: &Headers) -> Headers {
    let mut headers =
        Headers::from([(":method", "GET"), (":path", "/items"), (":authority", "shop"), (":scheme", "http")]);
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = context.get(name) {
            headers.add(name, value);
        }
    }
    headers
}

/// The context of a caller that does not record this trace; 32 hex digits.
pub fn unsampled(trace: &str) -> Headers {
    Headers::from([("traceparent", &*format!("00-{trace}-00f067aa0ba902b7-02"))])
}

/// The answer that a hop passed on to its caller, as the caller's proxy gets it.
///
/// # Panics
/// If it passed none on.
pub fn passed_on(finished: &Finished) -> Response {
    let mut response = Response::status(finished.status.expect("an answer"));
    for (name, value) in finished.response_headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        response = response.header(name, value);
    }
    response
}
