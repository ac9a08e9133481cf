//! What a user writes, checked whole into what the filter uses.
//!
//! Bytes become a [`Tree`](crate::json::Tree), the environment fills what it leaves out, [`reader`] reads it into the [`raw`] types, and
//! [`check`] turns those into a [`Policy`]. JSON beats environment beats default; a fault in the JSON refuses all of it, a
//! fault in the environment is a warning.

mod bounded;
mod check;
mod environment;
mod error;
mod percent;
pub mod raw;
mod reader;
#[cfg(feature = "schema")]
mod schema;
mod source;

use reader::{Read, Reader};

use crate::policy::Policy;

pub use bounded::{
    Entries, Factor, GrpcCode, HeaderName, HttpStatus, Number, Quantile, Rate, Ratio, Secret, Text, Whole,
};
pub use environment::{EVERYTHING_IS_RECORDED, Environment, ON_INVALID_CONFIG, OnInvalidConfig, VARIABLES, Variable};
pub use error::{ConfigError, MAX_PROBLEMS, Problem, UNKNOWN_KEY, nearest};
#[cfg(feature = "schema")]
pub use schema::{Key, keys, schema};
pub use source::MAX_BYTES;

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
    let mut tree = source::parse(configuration)?;
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
