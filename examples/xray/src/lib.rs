//! From the Envoys to AWS X-Ray: what runs there, what is put there, and what would be refused.
//!
//! [`Pipeline`] is an OpenTelemetry Collector with the shipped configuration in front of X-Ray's API. The collector is a real
//! one always; the API is moto's unless the real one is asked for.

pub mod api;
pub mod collector;
pub mod files;
pub mod limits;
pub mod moto;
pub mod pipeline;
pub mod stored;

pub use api::Api;
pub use collector::RealCollector;
pub use limits::Refusal;
pub use moto::Moto;
pub use pipeline::Pipeline;
pub use stored::StoredTrace;
