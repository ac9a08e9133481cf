//! A proxy-wasm ABI 0.2.1 host that behaves like Envoy 1.40, on Wasmtime.
//!
//! It keeps state, not expectations: a test starts an [`Envoy`], sends requests, moves virtual time, answers callouts, and
//! then looks at what came out. Callbacks run in Envoy's order, and maps and properties exist only in the phases in which
//! Envoy has them. A callback that the module does not export is not called.
//!
//! ```no_run
//! use std::time::Duration;
//! use tracelift_host::{Envoy, LocalReply, RequestSpec, Response, VmId, testing};
//!
//! let config = r#"{"sampling": {"ratio": 0}, "export": {"cluster": "collector"}}"#;
//! let mut envoy = Envoy::builder(testing::module())
//!     .inbound(config)
//!     .outbound(config)
//!     .workers(2)
//!     .seed(7)
//!     .env("OTEL_SERVICE_NAME", "cart")
//!     .collector("collector", Duration::from_millis(20)) // Answers every export; `answer` does it by hand.
//!     .start()
//!     .unwrap_or_else(|refused| panic!("{refused}"));
//!
//! let inbound = envoy.request("inbound", [(":method", "GET"), (":path", "/cart"), (":authority", "cart")]);
//! let forwarded = inbound.forwarded_headers(&envoy);
//! let call = RequestSpec::new("outbound", forwarded.clone()).worker(1).property("xds.cluster_name", "stock");
//! let failed = envoy.open(call).local_reply(&mut envoy, LocalReply::connect_failure());
//! assert_eq!(failed.status, Some(503));
//! let finished = inbound.respond(&mut envoy, Response::status(200).body("[]"));
//! assert!(finished.cost.returning <= 3, "{:?}", finished.cost);
//!
//! envoy.advance(Duration::from_secs(5)); // Ticks, answers and timeouts, in the order in which they are due.
//! for span in envoy.exports().accepted().trace(&forwarded.traceparent().trace_id) {
//!     assert_eq!(span.resource_attribute("service.name"), "cart");
//! }
//! envoy.assert_conservation();
//! assert!(envoy.traps().is_empty());
//! assert!(envoy.memory_size(VmId::Worker(0)) < 4 << 20);
//! ```

mod abi;
mod builder;
mod cache;
mod callout;
mod conservation;
mod cost;
mod envoy;
mod fault;
mod finished;
mod foreign;
mod guest;
mod headers;
mod inspect;
mod listener;
pub mod matcher;
pub mod measured;
pub mod mesh;
mod metrics;
mod module;
pub mod otlp;
mod process;
mod property;
mod random;
mod request;
mod response;
mod route;
mod shared;
mod spec;
mod status;
mod stream;
pub mod testing;
mod timeline;
mod traceparent;
mod vm;
mod xray;

pub use builder::EnvoyBuilder;
pub use callout::{Answer, Callout, CalloutId, CalloutKind, CalloutState, Cluster, Reply};
pub use conservation::SpanBalance;
pub use cost::Cost;
pub use envoy::{Envoy, Nack, Refused, StartError};
pub use fault::Hostcall;
pub use finished::Finished;
pub use headers::Headers;
pub use listener::{Direction, Listener};
pub use metrics::{MetricKind, Metrics};
pub use module::{Module, ModuleError};
pub use process::{LogLevel, LogLine, VmId};
pub use property::{Property, PropertyPath};
pub use random::SeededRandom;
pub use request::Request;
pub use response::{LocalReply, Response, flags};
pub use shared::SharedData;
pub use spec::RequestSpec;
pub use status::{Status, Trap};
pub use stream::LocalResponse;
pub use traceparent::Traceparent;
pub use xray::{BoostReport, RuleReport, SamplingService, ServiceAnswer};
