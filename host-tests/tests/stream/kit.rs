//! Stories: an Envoy whose books are checked when its test ends, whatever the test was about.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::otlp::ExportedSpan;
use tracelift_host::{Envoy, EnvoyBuilder, Headers, RequestSpec, testing};

pub const COLLECTOR: &str = "otel_collector";
/// A tick and the default `scheduled_delay_ms`, with some slack.
const BATCH_DUE: Duration = Duration::from_millis(2_100);
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const CALLER: &str = "b7ad6b7169203331";
pub const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub const DROPPED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// An Envoy with the filter. When it goes, nothing may have trapped and every span must be accounted for.
pub struct Story(Envoy);

impl Story {
    /// One worker; the listeners `inbound`, `outbound` and `gateway` with one configuration; a collector that answers.
    pub fn new(configuration: Value) -> Self {
        let text = alone(configuration).to_string();
        Self::start(builder().inbound(&text).outbound(&text).gateway(&text))
    }

    pub fn start(builder: EnvoyBuilder) -> Self {
        Self(builder.start().unwrap_or_else(|refused| panic!("{refused}")))
    }

    /// A request that is answered with 200, as the upstream sees it.
    pub fn hop(&mut self, listener: &str, headers: impl Into<Headers>) -> Headers {
        let request = self.request(listener, headers);
        let forwarded = request.forwarded_headers(self);
        let finished = request.respond(self, 200);
        assert_eq!((finished.status, finished.vm_failed), (Some(200), false));
        forwarded
    }

    /// Spans that reached the collector since the last time.
    pub fn spans(&mut self) -> Vec<ExportedSpan> {
        self.advance(BATCH_DUE);
        let spans = self.exports().accepted().spans();
        self.forget_callouts();
        spans
    }

    /// The only one of them.
    #[track_caller]
    pub fn span(&mut self) -> ExportedSpan {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "expected one span, there are: {spans:#?}");
        spans.remove(0)
    }

    /// The counter `tracelift.<name>`, up to date.
    pub fn count(&mut self, name: &str) -> u64 {
        self.tick_all();
        self.counter(&format!("tracelift.{name}"))
    }

    /// Counters of decisions and upgrades that are not zero, up to date; names without `tracelift.`.
    pub fn counts_under(&mut self, prefix: &str) -> Vec<(String, u64)> {
        self.tick_all();
        let counters = self.metrics().counters_under(&format!("tracelift.{prefix}")).into_iter();
        counters.filter(|(_, n)| *n != 0).map(|(name, n)| (name["tracelift.".len()..].to_owned(), n)).collect()
    }

    /// Gives every later request of a listener another configuration.
    pub fn reconfigure(&mut self, listener: &str, configuration: &Value) {
        let configuration = configuration.to_string();
        self.update_config(listener, configuration).unwrap_or_else(|refused| panic!("{refused}"));
        self.drain();
    }
}

impl From<Envoy> for Story {
    fn from(envoy: Envoy) -> Self {
        Self(envoy)
    }
}

impl Deref for Story {
    type Target = Envoy;

    fn deref(&self) -> &Envoy {
        &self.0
    }
}

impl DerefMut for Story {
    fn deref_mut(&mut self) -> &mut Envoy {
        &mut self.0
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // The story has failed already.
        }
        self.0.clear_faults();
        assert!(self.0.traps().is_empty(), "{:?}", self.0.traps());
        self.0.assert_conservation();
    }
}

/// The same without the upgrade signal, unless the configuration speaks of it: these stories are about one hop, and reuse
/// trace-ids. How an upgrade travels is told in `tests/signal`.
pub fn alone(mut configuration: Value) -> Value {
    if configuration["upgrade"]["signal"].is_null() {
        configuration["upgrade"]["signal"] = json!({"emit": false, "accept": false});
    }
    configuration
}

/// An Envoy without listeners, with a collector that answers after 20 ms.
pub fn builder() -> EnvoyBuilder {
    Envoy::builder(testing::module()).collector(COLLECTOR, Duration::from_millis(20)).seed(7)
}

/// Keeps every trace.
pub fn keep_all() -> Value {
    json!({"sampling": {"ratio": 1}})
}

/// Drops every trace, and upgrades all that fail.
pub fn keep_failures() -> Value {
    json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1_000_000}})
}

/// `GET /items` of `cart.example`, with more headers.
pub fn get<N: AsRef<[u8]>, V: AsRef<[u8]>>(more: impl IntoIterator<Item = (N, V)>) -> Headers {
    let mut headers = plain("GET", "/items");
    for (name, value) in more {
        headers.add(name, value);
    }
    headers
}

/// A request without any context.
pub fn plain(method: &str, path: &str) -> Headers {
    Headers::from([(":method", method), (":path", path), (":authority", "cart.example"), (":scheme", "http")])
}

/// A gRPC call.
pub fn grpc() -> Headers {
    let mut headers = plain("POST", "/shop.Cart/Get");
    headers.add("content-type", "application/grpc");
    headers
}

/// A request of the plain kind on `inbound`.
pub fn inbound(headers: impl Into<Headers>) -> RequestSpec {
    RequestSpec::new("inbound", headers)
}

/// A trace-id with this randomness (its low 56 bits).
pub fn trace_of(randomness: u64) -> String {
    assert!(randomness >> 56 == 0);
    format!("aaaaaaaaaaaaaaaaaa{randomness:014x}")
}

/// A `traceparent` of that trace.
pub fn traceparent(trace_id: &str, flags: u8) -> String {
    format!("00-{trace_id}-{CALLER}-{flags:02x}")
}

/// The cases of a table that other code made from the specifications.
pub fn vectors(file: &str, array: &str) -> Vec<Value> {
    let path = format!("{}/../plugin/engine/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut table: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    match table[array].take() {
        Value::Array(cases) if !cases.is_empty() => cases,
        other => panic!("{path}: {array} is {other}"),
    }
}

/// A text of such a case.
pub fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {case}"))
}

/// A list of texts of such a case.
pub fn texts<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case[key].as_array().unwrap_or_else(|| panic!("{key} of {case}"));
    list.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{key} of {case}"))).collect()
}
