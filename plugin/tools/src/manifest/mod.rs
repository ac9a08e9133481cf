//! Configurations where people keep them: alone, in an Envoy bootstrap or xDS file, in Istio's and Envoy Gateway's
//! manifests. Finds them, checks them with the code that the filter loads them by, and says where each finding stands.
//! Native and browser tools only; never in the module.

mod check;
mod context;
mod embedded;
mod find;
mod findings;
mod json;
mod located;
mod yaml;

pub use check::{Report, check, check_with};
pub use find::{Found, Home};
pub use findings::{Finding, Severity};
pub use located::{Located, Node, Position};

/// Reads a text as YAML, or as JSON when it begins like it: one tree a document, each value with its place.
pub fn documents(text: &str) -> Result<Vec<Located>, Finding> {
    if text.trim_start().starts_with(['{', '[']) {
        return json::read(text).map(|document| vec![document]);
    }
    yaml::read(text)
}
