//! What a recorded stream looks like as a span: conventions, names, status, redaction, resource.
//!
//! Bytes that a client controls come in as [`HttpFacts`]; what goes out is valid UTF-8 within the limits of [`bounds`], free
//! of credentials, and follows the OpenTelemetry semantic conventions for HTTP and gRPC.

mod address;
mod attributes;
pub mod bounds;
mod build;
mod facts;
mod grpc;
mod kind;
mod model;
mod name;
mod node;
mod outcome;
mod redaction;
mod resource;
pub mod semconv;
mod settings;

pub use address::{is_host, scheme};
pub use build::build;
pub use facts::{HttpFacts, Identity, Provenance};
pub use grpc::{Method as RpcMethod, is_call as is_grpc, method as rpc_method};
pub use kind::{KindSetting, Kinds, ListenerDirection};
pub use model::{Span, SpanKind, Status, Value};
pub use name::METHODS;
pub use node::NodeMetadata;
pub use outcome::{ERROR_WORDS, Outcome, judge};
pub use resource::{Resource, ResourceInputs};
pub use settings::AttributeSettings;
