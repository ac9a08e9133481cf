//! A proxy-wasm ABI 0.2.1 host that behaves like Envoy 1.40, on Wasmtime.
//!
//! It keeps state, not expectations: a test starts an [`Envoy`], sends requests, moves virtual time, answers callouts, and
//! then looks at what came out. Callbacks run in Envoy's order, and maps and properties exist only in the phases in which
//! Envoy has them. A callback that the module does not export is not called.

mod abi;
mod builder;
mod cache;
mod callout;
mod conservation;
mod cost;
mod envoy;
mod fault;
mod finished;
mod guest;
mod headers;
mod listener;
mod metrics;
mod module;
pub mod otlp;
mod process;
mod property;
mod random;
mod request;
mod response;
mod shared;
mod status;
mod stream;
pub mod testing;
mod timeline;
mod traceparent;
mod vm;

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
pub use request::{Request, RequestSpec};
pub use response::{LocalReply, Response, flags};
pub use shared::SharedData;
pub use status::{Status, Trap};
pub use stream::{LocalResponse, Phase};
pub use traceparent::Traceparent;
