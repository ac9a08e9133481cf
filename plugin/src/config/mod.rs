//! What a user writes, checked whole into what the filter uses.
//!
//! Bytes become a [`tree`], the environment fills what it leaves out, [`reader`] reads it into the [`raw`] types, and
//! [`check`] turns those into a [`Policy`]. JSON beats environment beats default; a fault in the JSON refuses all of it, a
//! fault in the environment is a warning.

mod bounded;
mod check;
mod environment;
mod error;
pub(crate) mod json;
mod percent;
mod protobuf;
pub mod raw;
mod reader;
#[cfg(feature = "schema")]
mod schema;
pub(crate) mod tree;

use reader::{Read, Reader};

use crate::span::{AttributeSettings, KindSetting, NodeMetadata, Resource, ResourceInputs};
use crate::trace_context::{Propagator, TraceIdFormat};
use crate::{export, sampling, shadow, upgrade};

pub use bounded::{Entries, GrpcCode, HeaderName, HttpStatus, Rate, Ratio, Secret, Text, Whole};
pub use environment::{Environment, ON_INVALID_CONFIG, OnInvalidConfig, VARIABLES, Variable};
pub use error::{ConfigError, MAX_PROBLEMS, Problem, UNKNOWN_KEY};
#[cfg(feature = "schema")]
pub use schema::{Key, keys, schema};
pub use tree::{MAX_BYTES, MAX_DEPTH};

/// A checked configuration: whatever it says can be done.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who makes the spans, as far as it is known before Envoy's node is.
    pub resource: ResourceSources,
    /// Which side of a call the spans describe.
    pub span_kind: KindSetting,
    /// Header formats in the order of belief; at least one, none twice.
    pub propagators: Vec<Propagator>,
    /// How the ids of traces that begin here are made.
    pub trace_id_format: TraceIdFormat,
    /// Which traces are recorded.
    pub sampling: sampling::Policy,
    /// Where AWS X-Ray's sampling rules come from, if they are to decide.
    pub xray: Option<sampling::XRaySettings>,
    /// Which are recorded after all.
    pub upgrade: upgrade::Policy,
    /// A second policy that looks on.
    pub shadow: Option<shadow::Policy>,
    /// The outer listener of the mesh: no incoming `sampled` flag or upgrade signal is believed, and no signal leaves.
    pub edge: bool,
    /// Where spans go. A batch fits into the queue.
    pub export: export::Settings,
    /// What spans may say beyond the default.
    pub attributes: AttributeSettings,
}

/// The parts of the resource that configuration and environment give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSources {
    /// `service_name`; never empty.
    pub service_name: Option<String>,
    /// `resource`, at most 64.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_SERVICE_NAME`; never empty.
    pub environment_service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, decoded; at most 128.
    pub environment_attributes: Vec<(String, String)>,
}

impl ResourceSources {
    /// The resource of this node's spans.
    pub fn merge(&self, node: &NodeMetadata) -> Resource {
        Resource::merge(&ResourceInputs {
            service_name: self.service_name.as_deref(),
            attributes: &self.attributes,
            environment_service_name: self.environment_service_name.as_deref(),
            environment_attributes: &self.environment_attributes,
            node,
        })
    }
}

/// An accepted configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub policy: Policy,
    /// What is odd about it, one line each, for the log.
    pub warnings: Vec<String>,
}

/// Reads the plugin configuration: JSON text or the bytes of a `google.protobuf.Struct`, at most [`MAX_BYTES`]; nothing at
/// all is `{}`. The error names every problem that could be found, up to [`MAX_PROBLEMS`].
pub fn load(configuration: &[u8], environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut tree = tree::Tree::parse(configuration)?;
    let mut findings = check::Findings::default();
    let from_environment = environment::fill(environment, &mut tree, &mut findings.warnings);
    check::fill(&mut tree);
    let mut reader = Reader::default();
    let raw = raw::Configuration::read(&tree, &mut reader).unwrap_or_default();
    findings.problems = reader.into_problems();
    let policy = check::policy(raw, from_environment, &mut findings);
    match (policy, findings.problems.is_empty()) {
        (Some(policy), true) => Ok(Loaded { policy, warnings: findings.warnings }),
        _ => Err(ConfigError::new(findings.problems)),
    }
}
