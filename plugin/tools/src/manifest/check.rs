//! Every configuration in a text, checked, with what is odd about what is around it.

use serde::Serialize;

use super::embedded::Embedded;
use super::find::{Form, Found, Home, find};
use super::source::{Source, line_and_column};
use super::{Dialect, Document, Finding, Located, Node, Position, Severity, Syntax};
use super::{advice, context, documents, istio, nested, rules, sides, variables, wrapped};
use tracelift::config::{self, Environment, Problem};
use tracelift::policy::Policy;

/// Texts in texts in texts: a bootstrap in a ConfigMap in a chart's values is two.
const MAX_NESTED: usize = 3;
/// Its argument is the one part of the environment that is an error: what comes of it is the opposite of what was meant.
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// What was found in a text.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Errors and warnings in the order of the text.
    pub findings: Vec<Finding>,
    /// The configurations that there are.
    pub configurations: Vec<Checked>,
    /// There is no configuration of ours in it, which is its one finding. Beside a file that has one that is not an error.
    #[serde(skip)]
    pub has_nothing: bool,
}

/// One configuration of a text.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What it was found in.
    pub home: Home,
    /// The plugin's name there.
    pub name: String,
    /// The listener's name, if there is a listener and it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// Where it begins.
    #[serde(flatten)]
    pub at: Position,
    /// Whether the filter would accept it.
    pub accepted: bool,
    /// Steps that matching a request may cost, if it has rules; `tracelift::sampling::Steps::A_REQUEST` are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// How the same could cost less, if it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cheaper: Option<&'static str>,
    /// What it says, if it was accepted.
    #[serde(skip)]
    pub policy: Option<Policy>,
}

impl Report {
    /// Whether something of this severity, or worse, was found.
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity <= severity)
    }

    /// The accepted policies with their plugins' names.
    pub fn policies(self) -> impl Iterator<Item = (String, Policy)> {
        self.configurations.into_iter().filter_map(|checked| Some((checked.name, checked.policy?)))
    }

    fn refused(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

/// Checks a text: the plugin configuration alone (JSON or YAML), or any of the manifests of [`super`].
pub fn check(text: &str) -> Report {
    check_file(text, Syntax::ByContent, &[])
}

/// The same for a file of this syntax; these environment variables of the VM fill what the file's own leave out.
pub fn check_file(text: &str, syntax: Syntax, variables: &[(String, String)]) -> Report {
    let mut report = check_text(text, syntax, variables, 0);
    if report.configurations.is_empty() && report.findings.is_empty() {
        let message = "no configuration of Tracelift in here. A plugin is ours if its name, root id, vm_id or module's \
                       address has \"tracelift\" in it; a file that is the configuration itself has at least one of \
                       its keys, such as `sampling` or `export`.";
        report = Report { has_nothing: true, ..Report::refused(Finding::error(Position::START, "", message)) };
    }
    report.findings.sort_by_key(|finding| (finding.at, finding.severity));
    report.findings.dedup();
    report
}

fn check_text(text: &str, syntax: Syntax, variables: &[(String, String)], depth: usize) -> Report {
    let documents = if text.trim().is_empty() { Ok(Vec::new()) } else { documents(text, syntax) };
    let documents = match documents {
        Ok(documents) if documents.is_empty() => {
            let message =
                "is empty. If a command wrote this, look at its errors; a configuration that is all defaults is `{}`.";
            return Report::refused(Finding::error(Position::START, "", message));
        }
        Ok(documents) => documents,
        Err(finding) => return Report::refused(finding),
    };
    let mut checking = Checking { text, variables, report: Report::default() };
    let found: Vec<_> = documents.iter().map(|document| (document, find(&document.root))).collect();
    let mut all = Vec::new();
    for (index, (document, found)) in found.iter().enumerate() {
        match found {
            // A text that could be settings is a text all the same.
            Some(found) if 0 < depth && found.iter().any(|one| one.home == Home::Plain) => {}
            Some(found) => all.extend(checking.document(index, document, found)),
            None if 0 < depth => {}
            None => {
                let message = "is neither an object of settings nor a manifest";
                checking.report.findings.push(Finding::error(document.root.at, "", message));
            }
        }
        if depth < MAX_NESTED {
            checking.nested(&document.root, depth);
        }
    }
    let findings = &mut checking.report.findings;
    sides::look(&all, findings);
    istio::ambient(&documents, findings);
    checking.report
}

struct Checking<'t> {
    text: &'t str,
    variables: &'t [(String, String)],
    report: Report,
}

impl<'t> Checking<'t> {
    /// All configurations of one document; returns the accepted ones for a look at them together.
    fn document<'f>(
        &mut self,
        index: usize,
        document: &'t Document,
        found: &'f [Found<'t>],
    ) -> Vec<sides::Side<'f, 't>> {
        let mut accepted = Vec::new();
        for one in found {
            let Some(policy) = self.one(document, one) else { continue };
            accepted.push(sides::Side {
                document: index,
                found: one,
                sampling: policy.sampling.clone(),
                kind: policy.span_kind,
            });
        }
        let is_envoy = found.iter().any(|one| one.home == Home::Envoy) && document.dialect == Some(Dialect::Envoy);
        let findings = &mut self.report.findings;
        if 0 < index && is_envoy {
            let message = "Envoy reads the first document of a file alone: this one is never loaded.";
            findings.push(Finding::warning(document.root.at, "", message));
        }
        if found.iter().any(|one| one.home != Home::Plain) {
            findings.extend(document.warnings.iter().cloned());
            context::statistics(&document.root, found, findings);
        }
        sides::vm_ids(found, findings);
        accepted
    }

    /// The policy, if the filter accepts it.
    fn one(&mut self, document: &Document, found: &Found<'t>) -> Option<Policy> {
        let empty = Located { at: found.at, node: Node::Object(Vec::new()) };
        let written = found.configuration.unwrap_or(&empty);
        let own = found.environment.iter().map(|(name, value, _)| (name.clone(), value.clone()));
        let environment: Environment = own.chain(self.variables.iter().cloned()).collect();
        // YAML alone does not say where it will go. Envoy's `Struct` takes the most; `as_json` says what others refuse of it.
        let is_yaml = found.home == Home::Plain && document.dialect.is_some();
        let source = Source::new(self.text, written, if is_yaml { Form::Struct } else { found.form });
        let findings = &mut self.report.findings;
        let policy = match (&found.fault, config::load(source.bytes(), &environment)) {
            (Some((at, fault)), _) => {
                findings.push(Finding::error(*at, "configuration", fault));
                None
            }
            (None, Ok(loaded)) => {
                findings.extend(loaded.warnings.iter().map(|warning| warned(warning, found, &source)));
                context::clusters(&document.root, found, &loaded.policy, findings);
                sides::kind(found, &loaded.policy, &source, findings);
                wrapped::look(&document.root, found, &loaded.policy, findings);
                rules::look(&loaded.policy, &source, found.at, findings);
                Some(loaded.policy)
            }
            (None, Err(_)) if found.home == Home::Plain && is_something_else(written) => return None,
            (None, Err(error)) => {
                findings.extend(error.problems().iter().map(|problem| refused(problem, &source)));
                None
            }
        };
        if found.home == Home::Plain {
            findings.extend(document.warnings.iter().cloned().chain(document.disagreements()));
            if policy.is_some() {
                as_json(document, &environment, findings);
            }
        }
        environment_around(found, self.variables, &environment, &source, findings);
        context::tracing(&document.root, found, findings);
        context::grpc_web(found, findings);
        context::failures(found, findings);
        self.report.configurations.push(Checked {
            home: found.home,
            name: found.name.clone(),
            listener: found.around.listener.and_then(|listener| listener.text_at(&["name"])).map(str::to_owned),
            at: written.at,
            accepted: policy.is_some(),
            steps: policy.as_ref().and_then(rules::steps),
            cheaper: policy.as_ref().and_then(|policy| wrapped::gain(&document.root, found, policy)),
            policy: policy.clone(),
        });
        policy
    }

    /// What stands in texts of the document, with its places in this one.
    fn nested(&mut self, document: &Located, depth: usize) {
        for inner in nested::find(document) {
            let (Some(text), Some(embedded)) = (inner.value.text(), Embedded::new(self.text, inner.value)) else {
                continue;
            };
            let report = check_text(text, inner.syntax, self.variables, depth + 1);
            if report.configurations.is_empty() && !inner.is_file {
                continue; // A script that writes such a file, or a text about one.
            }
            let outer = |at: Position| embedded.place(at);
            self.report.findings.extend(report.findings.into_iter().map(|one| Finding { at: outer(one.at), ..one }));
            let checked = report.configurations.into_iter().map(|one| Checked { at: outer(one.at), ..one });
            self.report.configurations.extend(checked);
        }
    }
}

/// Somebody else's file: no key is, or is nearly, one of the filter's at this place, and not all of them are elsewhere.
fn is_something_else(written: &Located) -> bool {
    let mut keys = written.entries().iter().map(|entry| entry.key.as_str());
    !written.entries().is_empty() && !keys.clone().any(advice::is_nearly_at_the_top) && !keys.all(advice::is_known)
}

fn refused(problem: &Problem, source: &Source<'_>) -> Finding {
    let Problem { path, found, allowed, advice } = problem;
    let is_unknown = found == config::UNKNOWN_KEY;
    let at = source.place(path, is_unknown);
    let path = if line_and_column(path).is_some() { String::new() } else { path.clone() };
    let better = match path.rsplit('.').next().unwrap_or_default() {
        _ if !is_unknown || advice.starts_with("Did you mean") => None,
        key if key.ends_with("[\"<<\"]") => {
            Some("Only Kubernetes merges by `<<`, Envoy does not: write the keys out.".to_owned())
        }
        key => advice::belongs(key),
    };
    let advice = better.as_ref().unwrap_or(advice);
    Finding::error(at, path, format!("found {found}; allowed is {allowed}. {advice}"))
}

/// What Istio and Envoy Gateway would make of settings in YAML, which they pass on as JSON.
fn as_json(document: &Document, environment: &Environment, findings: &mut Vec<Finding>) {
    let Some(read) = document.as_kubernetes() else { return };
    let Err(error) = config::load(read.to_json().as_bytes(), environment) else { return };
    for Problem { path, found, allowed, .. } in error.problems() {
        let message = format!(
            "found {found}, which only a `Struct` in an Envoy file may have there; in a manifest of Kubernetes allowed is {allowed}."
        );
        let at = read.place(path, false);
        // That the two read another value there has been said.
        if !findings.iter().any(|known| known.at == at) {
            findings.push(Finding::warning(at, path, message));
        }
    }
}

/// Variables that do nothing, or something else than they look.
fn environment_around(
    found: &Found<'_>,
    given: &[(String, String)],
    environment: &Environment,
    source: &Source<'_>,
    findings: &mut Vec<Finding>,
) {
    const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
    let own = found.environment.iter().map(|(name, _, at)| (name, *at));
    for (name, at) in own.chain(given.iter().map(|(name, _)| (name, found.at))) {
        // Of the two endpoints the reader itself warns.
        if let Some(why) = variables::unread(name).filter(|_| !name.ends_with("_ENDPOINT")) {
            findings.push(Finding::warning(at, name, why));
        }
    }
    let by_ratio = environment.get(SAMPLER).is_some_and(|name| name.to_ascii_lowercase().ends_with("traceidratio"));
    if by_ratio && environment.get(SAMPLER_ARGUMENT).is_none() && source.get(&["sampling", "ratio"]).is_none() {
        let at = found.environment.iter().find(|(name, ..)| name == SAMPLER).map_or(found.at, |(.., at)| *at);
        let message = format!(
            "has no {SAMPLER_ARGUMENT} beside it, which means 1 by the specification: every trace is recorded."
        );
        findings.push(Finding::warning(at, SAMPLER, message));
    }
}

/// A warning of the reader begins with its path, or with the variable that it is about.
fn warned(warning: &str, found: &Found<'_>, source: &Source<'_>) -> Finding {
    let (path, oddity) = warning.split_once(": ").unwrap_or(("", warning));
    if let Some(variable) = path.strip_prefix("environment variable ") {
        let own = found.environment.iter().find(|(name, ..)| name == variable);
        let at = own.map_or(found.at, |(.., at)| *at);
        let is_error = variable == SAMPLER_ARGUMENT && oddity.contains(config::EVERYTHING_IS_RECORDED);
        return if is_error { Finding::error(at, variable, oddity) } else { Finding::warning(at, variable, oddity) };
    }
    Finding::warning(source.place(path, false), path, oddity)
}
