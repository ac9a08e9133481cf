//! Configurations, traffic and books for the stories.

use serde_json::{Value, json};
use std::time::Duration;
use tracelift_host::{CalloutId, Envoy, EnvoyBuilder, Finished, LogLevel, RequestSpec, SpanBalance, testing};

pub const COLLECTOR: &str = "otel_collector";
/// A tick and the default `scheduled_delay_ms`, with some slack.
pub const BATCH_DUE: Duration = Duration::from_millis(2_100);

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Keeps every trace.
pub fn keep_all(export: Value) -> String {
    json!({"service_name": "cart", "sampling": {"ratio": 1}, "export": export}).to_string()
}

/// Keeps failed requests only, and all of them.
pub fn keep_failures(export: Value) -> String {
    json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1_000_000}, "export": export}).to_string()
}

/// For stories of one hop that reuse trace-ids: how an upgrade travels is told in `tests/signal`.
pub fn no_signal() -> Value {
    json!({"emit": false, "accept": false})
}

/// A process with one worker and the listener `inbound`; the collector's answers are the test's.
pub fn process(configuration: impl AsRef<[u8]>) -> EnvoyBuilder {
    Envoy::builder(testing::module()).inbound(configuration).cluster(COLLECTOR).seed(7)
}

pub fn started(builder: EnvoyBuilder) -> Envoy {
    builder.start().unwrap_or_else(|refused| panic!("{refused}"))
}

pub fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":path", path), (":authority", "cart.example"), (":scheme", "http")]
}

/// Answers one request with this status; the client must see just that.
pub fn serve_on(envoy: &mut Envoy, worker: usize, status: u16) -> Finished {
    let request = envoy.open(RequestSpec::new("inbound", get("/items")).worker(worker));
    let finished = request.respond(envoy, status);
    assert_eq!((finished.status, finished.vm_failed), (Some(status), false));
    finished
}

/// So many requests on worker 0.
pub fn serve(envoy: &mut Envoy, count: usize, status: u16) {
    for _ in 0..count {
        serve_on(envoy, 0, status);
    }
}

/// Callouts that wait for their answers.
pub fn waiting(envoy: &Envoy) -> Vec<CalloutId> {
    envoy.waiting_callouts().iter().map(|callout| callout.id).collect()
}

/// Moves time on until the module has sent an export, at most this long.
pub fn until_export(envoy: &mut Envoy, most: Duration) -> CalloutId {
    let end = envoy.now() + most;
    while waiting(envoy).is_empty() {
        assert!(envoy.now() < end, "no export within {most:?}");
        envoy.advance(Duration::from_millis(50));
    }
    waiting(envoy)[0]
}

/// Spans discarded for this reason.
pub fn discarded(envoy: &Envoy, reason: &str) -> u64 {
    envoy.counter(&format!("tracelift.spans.discarded.{reason}"))
}

/// Warnings and errors of the running VMs.
pub fn warnings(envoy: &Envoy) -> Vec<&str> {
    envoy.messages_from(LogLevel::Warn)
}

/// Nothing trapped, and every span is accounted for.
#[track_caller]
pub fn books(envoy: &mut Envoy) -> SpanBalance {
    assert!(envoy.traps().is_empty(), "{:?}", envoy.traps());
    envoy.assert_conservation()
}

/// The same, and nothing waits any more.
#[track_caller]
pub fn closed_books(envoy: &mut Envoy) -> SpanBalance {
    let balance = books(envoy);
    for gauge in ["queue.spans", "queue.bytes", "exports.in_flight_spans", "pending.spans"] {
        assert_eq!(envoy.gauge(&format!("tracelift.{gauge}")), 0, "{gauge}: {balance}");
    }
    balance
}
