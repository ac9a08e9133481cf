//! Configurations where people keep them: alone, in an Envoy bootstrap, xDS file or dump, in Istio's and Envoy Gateway's
//! manifests, and in texts inside of those. Finds them, checks them with the code that the filter loads them by, and says
//! where each finding stands. Native and browser tools only; never in the module.

mod advice;
mod check;
mod context;
mod embedded;
mod envoy;
mod find;
mod findings;
mod istio;
mod json;
mod kubernetes;
mod located;
mod nested;
mod release;
mod rules;
mod sides;
mod source;
mod variables;
mod wrapped;
mod yaml;

pub use check::{Checked, Report, check, check_file};
pub use find::{Direction, Found, Home};
pub use findings::{Finding, Severity};
pub use located::{Located, Node, Position};
pub use release::{NotARelease, Release, unknown_to};
pub use variables::{INSTEAD, unread};
pub use yaml::{Dialect, Document, read_yaml};

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
    /// As JSON if it begins like it.
    ByContent,
}

impl Syntax {
    /// By the end of a file's name, as Envoy chooses.
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::ByContent,
        }
    }
}

/// Reads a text: one tree a document, each value with its place.
pub fn documents(text: &str, syntax: Syntax) -> Result<Vec<Document>, Finding> {
    let is_json = match syntax {
        Syntax::Json => true,
        Syntax::Yaml => false,
        Syntax::ByContent => text.trim_start().starts_with(['{', '[']),
    };
    if is_json { json::read(text).map(|document| vec![Document::json(document)]) } else { yaml::read(text) }
}
