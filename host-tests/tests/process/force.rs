//! Tokens in the release module, over the workers of a process.

use std::time::Duration;

use serde_json::json;
use tracelift::force::{Claims, Scope};
use tracelift_host::{Envoy, Finished, Headers, LogLevel, RequestSpec, Response};

use crate::kit::{COLLECTOR, closed_books, get, process, seconds, started};

const SECRET: &str = "a-secret-of-the-developers";

fn with(edge: bool) -> Envoy {
    let configuration = json!({
        "span_kind": "server", "edge": edge, "sampling": {"ratio": 0},
        "resource": {"service.namespace": "shop"},
        "force": {"keys": [{"id": "dev", "secret": SECRET}], "max_ttl_s": 31_536_000, "traces_per_second": 5},
    });
    started(process(configuration.to_string()).workers(2).collector(COLLECTOR, Duration::from_millis(20)))
}

/// Good for an hour from now on, as the process sees it.
fn token(envoy: &Envoy, audience: &str) -> String {
    let scope = Scope { host: String::new(), path: "/checkout".to_owned() };
    let expiry = envoy.now().as_secs() + 3_600;
    Claims { key: "dev".to_owned(), expiry, scope }.sign(SECRET.as_bytes(), audience)
}

fn send(envoy: &mut Envoy, worker: usize, token: &str) -> (Headers, Finished) {
    let head = [&get("/checkout")[..], &[("x-tracelift-force", token)]].concat();
    let request = envoy.open(RequestSpec::new("inbound", Headers::from(head)).worker(worker));
    let forwarded = request.forwarded_headers(envoy);
    (forwarded, request.respond(envoy, Response::status(200)))
}

#[test]
fn a_good_token_is_recorded_within_its_budget_and_every_other_is_as_none() {
    for edge in [false, true] {
        let mut envoy = with(edge);
        let (good, bad) = (token(&envoy, "shop"), token(&envoy, "bank"));
        for number in 0..8 {
            let (forwarded, finished) = send(&mut envoy, number % 2, &good);
            assert_eq!(forwarded.text("x-tracelift-force"), None);
            let context = finished.response_headers.text("traceresponse").map(str::to_owned);
            assert_eq!(context.is_some(), number < 5, "{edge} {number}: {context:?}");
        }
        let (forwarded, finished) = send(&mut envoy, 0, &bad);
        assert_eq!(forwarded.text("x-tracelift-force"), None);
        assert_eq!(finished.response_headers.text("traceresponse"), None);
        envoy.advance(seconds(3_601));
        send(&mut envoy, 1, &good);
        envoy.advance(seconds(3));
        let counts = ["accepted", "over_budget", "invalid", "expired"];
        assert_eq!(counts.map(|name| envoy.counter(&format!("tracelift.force.{name}"))), [5, 3, 1, 1]);
        let spans = envoy.exports().spans();
        assert_eq!(spans.len(), 5);
        for span in spans {
            assert_eq!(span.attribute("tracelift.sampling.reason"), "forced");
            assert_eq!(span.attribute("tracelift.force.key"), "dev");
            assert!(span.span.trace_state.contains("th:0"), "{}", span.span.trace_state);
        }
        let lines = envoy.logs().iter().filter(|line| line.message.contains("force key \"dev\"")).count();
        assert_eq!(lines, 1, "one worker says that the key is used");
        assert!(!envoy.logs().iter().any(|line| line.level >= LogLevel::Warn || line.message.contains(SECRET)));
        closed_books(&mut envoy);
    }
}
