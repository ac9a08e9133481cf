//! From the Envoys to AWS X-Ray: what runs there, what is put there, and what would be refused.
//!
//! [`Pipeline`] is a collector in front of X-Ray's API. The API is moto's unless the real one is asked for. The collector is
//! a real OpenTelemetry Collector where there is one, else [`Rehearsal`], which follows the rules of its X-Ray exporter.

pub mod api;
pub mod collector;
pub mod files;
pub mod limits;
pub mod moto;
pub mod pipeline;
pub mod rehearsal;
pub mod settings;
pub mod stored;
pub mod translate;

pub use api::Api;
pub use limits::Refusal;
pub use moto::Moto;
pub use pipeline::Pipeline;
pub use rehearsal::Rehearsal;
pub use settings::ExporterSettings;
pub use stored::StoredTrace;
