//! Every configuration in a text, checked, with what is odd about what is around it.

use serde::Serialize;

use super::embedded::Embedded;
use super::find::{Found, Home, find};
use super::{Finding, Located, Node, Position, Severity, context, documents, json};
use tracelift::config::{self, Environment, MAX_PROBLEMS, Problem};
use tracelift::policy::Policy;

/// What was found in a text.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Errors and warnings in the order of the text.
    pub findings: Vec<Finding>,
    /// The configurations that there are.
    pub configurations: Vec<Checked>,
}

/// One configuration of a text.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What it was found in.
    pub home: Home,
    /// The plugin's name there.
    pub name: String,
    /// Where it begins.
    #[serde(flatten)]
    pub at: Position,
    /// Whether the filter would accept it.
    pub accepted: bool,
    /// What it says, if it was accepted.
    #[serde(skip)]
    pub policy: Option<Policy>,
}

impl Report {
    /// Whether something of this severity, or worse, was found.
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity <= severity)
    }

    /// The accepted policies.
    pub fn policies(self) -> impl Iterator<Item = (String, Policy)> {
        self.configurations.into_iter().filter_map(|checked| Some((checked.name, checked.policy?)))
    }
}

/// Checks a file: the plugin configuration alone (JSON or YAML), or any of the manifests of [`super`].
pub fn check(text: &str) -> Report {
    check_with(text, &[])
}

/// The same; these environment variables of the VM fill what the file's own leave out.
pub fn check_with(text: &str, variables: &[(String, String)]) -> Report {
    let mut report = Report { findings: Vec::new(), configurations: Vec::new() };
    let documents = if text.trim().is_empty() {
        Ok(vec![Located { at: Position::START, node: Node::Object(Vec::new()) }]) // To Envoy that is `{}`.
    } else {
        documents(text)
    };
    match documents {
        Err(finding) => report.findings.push(finding),
        Ok(documents) => {
            for document in &documents {
                match find(document) {
                    Some(found) => {
                        for one in &found {
                            report.one(text, document, one, variables);
                        }
                        context::vm_ids(&found, &mut report.findings);
                    }
                    None => {
                        let message = "is neither an object of settings nor a manifest";
                        report.findings.push(Finding::error(document.at, "", message));
                    }
                }
            }
            if report.configurations.is_empty() && report.findings.is_empty() {
                let message = "no configuration of Tracelift in here. A plugin is ours if its name, root id, vm_id or module's \
                               address has \"tracelift\" in it; a file that is the configuration itself has at least one of \
                               its keys, such as `sampling` or `export`.";
                report.findings.push(Finding::error(Position::START, "", message));
            }
        }
    }
    report.findings.sort_by_key(|finding| (finding.at, finding.severity));
    report.findings.dedup();
    report
}

impl Report {
    fn one(&mut self, text: &str, document: &Located, found: &Found<'_>, variables: &[(String, String)]) {
        let empty = Located { at: found.at, node: Node::Object(Vec::new()) };
        let written = found.configuration.unwrap_or(&empty);
        let own = found.environment.iter().map(|(name, value, _)| (name.clone(), value.clone()));
        let environment: Environment = own.chain(variables.iter().cloned()).collect();
        let source = Source::new(text, written);
        let loaded = config::load(source.text().as_bytes(), &environment);
        let policy = match loaded {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    self.findings.push(warned(warning, found, &source));
                }
                context::envoy(document, found, &loaded.policy, &mut self.findings);
                Some(loaded.policy)
            }
            Err(error) if found.home == Home::Plain && is_something_else(written, error.problems()) => return,
            Err(error) => {
                self.findings.extend(error.problems().iter().map(|problem| refused(problem, &source)));
                None
            }
        };
        context::tracing(document, found, &mut self.findings);
        context::manifest(found, &mut self.findings);
        let (home, name, accepted) = (found.home, found.name.clone(), policy.is_some());
        self.configurations.push(Checked { home, name, at: written.at, accepted, policy });
    }
}

/// Whether not one of the object's keys is the filter's, or near one of its keys: somebody else's file.
fn is_something_else(written: &Located, problems: &[Problem]) -> bool {
    let strange = |problem: &&Problem| {
        let is_top = !problem.path.contains(['.', '[']);
        is_top && problem.found == config::UNKNOWN_KEY && !problem.advice.starts_with("Did you mean")
    };
    let keys = written.entries().len();
    0 < keys && problems.iter().filter(strange).count() == keys.min(MAX_PROBLEMS)
}

/// A configuration as bytes for the filter's own reader, and the way back from its messages to the file.
enum Source<'t> {
    /// An object of the file.
    Object { value: &'t Located, json: String },
    /// A string of JSON.
    Text { embedded: Embedded<'t>, text: &'t str, inner: Option<Located> },
}

impl<'t> Source<'t> {
    fn new(file: &'t str, value: &'t Located) -> Self {
        match (value.text(), Embedded::new(file, value)) {
            (Some(text), Some(embedded)) => Self::Text { embedded, text, inner: json::read(text).ok() },
            _ => Self::Object { value, json: value.to_json() },
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Object { json, .. } => json,
            Self::Text { text, .. } => text,
        }
    }

    /// The place of a message's path; `key` asks for the key instead of its value.
    fn place(&self, path: &str, key: bool) -> Position {
        match self {
            Self::Object { value, .. } => value.place(path, key),
            Self::Text { embedded, inner, .. } => {
                let inner = match (line_and_column(path), inner) {
                    (Some(place), _) => place,
                    (None, Some(inner)) => inner.place(path, key),
                    (None, None) => Position::START,
                };
                embedded.place(inner)
            }
        }
    }
}

/// Text that is no JSON is told with a place instead of a path.
fn line_and_column(path: &str) -> Option<Position> {
    let (line, column) = path.strip_prefix("line ")?.split_once(", column ")?;
    Some(Position { line: line.parse().ok()?, column: column.parse::<usize>().ok()?.max(1) })
}

fn refused(problem: &Problem, source: &Source<'_>) -> Finding {
    let Problem { path, found, allowed, advice } = problem;
    let at = source.place(path, found == config::UNKNOWN_KEY);
    let path = if line_and_column(path).is_some() { String::new() } else { path.clone() };
    Finding::error(at, path, format!("found {found}; allowed is {allowed}. {advice}"))
}

/// A warning of the reader begins with its path, or with the variable that it is about.
fn warned(warning: &str, found: &Found<'_>, source: &Source<'_>) -> Finding {
    let (path, oddity) = warning.split_once(": ").unwrap_or(("", warning));
    if let Some(variable) = path.strip_prefix("environment variable ") {
        let own = found.environment.iter().find(|(name, ..)| name == variable);
        return Finding::warning(own.map_or(found.at, |(.., at)| *at), variable, oddity);
    }
    Finding::warning(source.place(path, false), path, oddity)
}
