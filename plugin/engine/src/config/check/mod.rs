//! From what was written to what the filter uses. Everything that a type cannot say is said here.

mod border;
mod export;
mod force;
mod marks;
mod metrics;
mod pace;
mod sampling;
mod session;
mod upgrade;

use super::environment::EnvironmentResource;
use super::error::{self, Problem};
use super::raw;

use crate::json::Named;
use crate::policy::{Policy, ResourceSources, Rules, Shadow};
use crate::span::{AttributeSettings, bounds};
use crate::trace_context::Propagator;

pub use export::{MAX_EXPORT_HEADERS, fill, header_value_fault};
pub use upgrade::{LONG_TOKEN_ALLOWED, TOKEN_ALLOWED, is_long_token, is_token};

/// Attributes of the resource that a configuration has at most: the environment and the node add theirs.
const MAX_RESOURCE: usize = 64;

/// What is wrong so far, and what is odd.
#[derive(Debug, Default)]
pub struct Findings {
    /// Each of them refuses the configuration.
    pub problems: Vec<Problem>,
    /// None of them does.
    pub warnings: Vec<String>,
    /// `shadow.` while the shadow policy is read, else empty: what names of keys in messages begin with.
    under: &'static str,
}

impl Findings {
    fn refuse(&mut self, path: &str, found: &str, allowed: &str) {
        self.problems.push(Problem::new(path, found, allowed));
    }

    #[inline(never)] // Many callers.
    fn warn(&mut self, path: &str, oddity: &str) {
        self.warnings.push([path, ": ", oddity].concat());
    }

    /// The name of another key of the same policy, for a message.
    fn named(&self, path: &str) -> String {
        ["`", self.under, path, "`"].concat()
    }

    /// Advice to set a secret, here or in an environment variable: those fill the live policy alone.
    fn set_here_or_in(&self, what: &str, variable: &str) -> String {
        match self.under {
            "" => ["Set ", what, ", here or in the environment variable ", variable].concat(),
            _ => ["Set ", what, " here (", variable, " is for the live policy)"].concat(),
        }
    }

    /// False, and a problem, when there are more than `max`.
    fn at_most(&mut self, path: &str, found: usize, max: usize, what: &str) -> bool {
        if found <= max {
            return true;
        }
        let [found, max] = [found, max].map(|number| [&number.to_string(), " ", what].concat());
        self.refuse(path, &found, &["at most ", &max].concat());
        false
    }
}

/// The policy, or `None` with a problem that says why.
pub fn policy(raw: raw::Configuration, environment: EnvironmentResource, findings: &mut Findings) -> Option<Policy> {
    metrics::warn(&raw, findings);
    findings.at_most("resource", raw.resource.0.len(), MAX_RESOURCE, "attributes");
    let mut attributes = Vec::with_capacity(raw.resource.0.len());
    for (key, value) in raw.resource.0 {
        if key.is_empty() || bounds::KEY < key.len() {
            let found = ["the key ", &error::quoted(&key)].concat();
            findings.refuse("resource", &found, "a key of 1 to 256 bytes");
        }
        attributes.push((key, value.0));
    }
    let resource = ResourceSources {
        service_name: raw.service_name.map(|name| name.0).filter(|name| !name.is_empty()),
        attributes,
        environment_service_name: environment.service_name,
        environment_attributes: environment.attributes,
    };
    let (counts, around) = (raw.metrics.enabled, raw.envoy.clone());
    let settings = std::sync::Arc::new(metrics::settings(raw.metrics, findings));
    let session = session::policy(&raw.sampling, &raw.propagators, findings);
    let mut policy = Policy {
        resource,
        span_kind: raw.span_kind,
        propagators: propagators(&raw.propagators, findings),
        trace_id_format: raw.trace_id_format,
        xray: sampling::xray(&raw.sampling, findings),
        session,
        sampling: sampling::policy(raw.sampling, settings.routes.templates().len(), findings)?,
        upgrade: upgrade::policy(raw.upgrade, findings)?,
        force: force::policy(raw.force, findings),
        shadow: match raw.shadow {
            Some(raw) => Some(shadow(raw, settings.routes.templates().len(), findings)?),
            None => None,
        },
        names: None,
        paced: None,
        metrics: counts.then(|| std::sync::Arc::clone(&settings)),
        mesh_headers: Vec::new(),
        edge: raw.edge,
        border: border::NOTHING,
        export: export::settings(raw.export, findings),
        attributes: AttributeSettings {
            request_headers: recorded(raw.attributes.request_headers, "attributes.request_headers", findings),
            response_headers: recorded(raw.attributes.response_headers, "attributes.response_headers", findings),
            query: raw.attributes.query,
            service_name: String::new(),
        },
    };
    name_routes(&mut policy, settings);
    policy.border = border::border(&around, &policy, findings);
    let marked = [
        (policy.upgrade.recall.enabled, "upgrade.recall.enabled", "Recall"),
        (policy.upgrade.applications.enabled, "upgrade.applications.enabled", "The list of upgrades"),
    ];
    for (_, path, what) in marked
        .into_iter()
        .filter(|_| !policy.propagators.contains(&Propagator::TraceContext))
        .filter(|(enabled, ..)| *enabled)
    {
        let problem = Problem::new(path, "true without `tracecontext` in `propagators`", "false");
        let advice =
            [what, " is recognised by `traceparent`: list `tracecontext` among the propagators, at any place."];
        findings.problems.push(problem.advise(advice.concat()));
    }
    findings.problems.is_empty().then_some(policy)
}

/// Hands out the names of routes to what asks for them, and lists the headers that are for the mesh alone.
fn name_routes(policy: &mut Policy, settings: std::sync::Arc<crate::metrics::Settings>) {
    let marks = policy.upgrade.response_headers.iter().map(|(name, _)| name);
    policy.mesh_headers = marks.chain(&settings.route_header).cloned().collect();
    let asks = |rules: Rules<'_>| rules.upgrade.coverage.is_some() || rules.upgrade.slow.is_some();
    if asks(policy.rules()) || policy.shadow_rules().is_some_and(asks) {
        policy.names = Some(std::sync::Arc::clone(&settings));
    }
    let has_rates = |rules: Rules<'_>| rules.sampling.pace.is_some_and(|pace| 1 < pace.rates);
    if has_rates(policy.rules()) || policy.shadow_rules().is_some_and(has_rates) {
        policy.paced = Some(settings);
    }
}

/// The same checks, reported under `shadow`.
fn shadow(raw: raw::Shadow, routes: usize, findings: &mut Findings) -> Option<Shadow> {
    let known = (findings.problems.len(), findings.warnings.len());
    findings.under = "shadow.";
    let sampling = match raw.sampling {
        Some(raw) => {
            if raw.session.is_some() {
                findings.warn(
                    "sampling.session",
                    "has no effect: a shadow policy decides by the randomness of the live one",
                );
            }
            sampling::policy(raw, routes, findings).map(Some)
        }
        None => Some(None),
    };
    let upgrade = match raw.upgrade {
        Some(raw) => upgrade::policy(raw, findings).map(Some),
        None => Some(None),
    };
    let under = std::mem::take(&mut findings.under);
    for problem in findings.problems.iter_mut().skip(known.0) {
        problem.path.insert_str(0, under);
    }
    for warning in findings.warnings.iter_mut().skip(known.1) {
        warning.insert_str(0, under);
    }
    Some(Shadow { sampling: sampling?, upgrade: upgrade? })
}

fn propagators(raw: &[Propagator], findings: &mut Findings) -> Vec<Propagator> {
    let mut propagators = Vec::with_capacity(raw.len());
    for (index, &propagator) in raw.iter().enumerate() {
        if propagators.contains(&propagator) {
            let path = ["propagators[", &index.to_string(), "]"].concat();
            let found = [error::quoted(propagator.name()).as_str(), " again"].concat();
            findings.refuse(&path, &found, "each name once");
            break; // A long list of the same says no more than that.
        }
        propagators.push(propagator);
    }
    if propagators.is_empty() {
        let names = error::one_of(Propagator::NAMES);
        findings.refuse("propagators", "an empty list", &["at least one of ", &names].concat());
    }
    propagators
}

/// Header names without repetition, with a warning for those that carry credentials.
fn recorded(raw: Vec<super::bounded::HeaderName>, path: &str, findings: &mut Findings) -> Vec<String> {
    if !findings.at_most(path, raw.len(), bounds::HEADERS, "headers") {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::with_capacity(raw.len());
    for name in raw {
        if ["authorization", "proxy-authorization", "cookie", "set-cookie"].contains(&name.0.as_str()) {
            let oddity =
                ["`", &name.0, "` carries credentials: spans say that it was there, not what it said"].concat();
            findings.warn(path, &oddity);
        }
        if !names.contains(&name.0) {
            names.push(name.0);
        }
    }
    names
}
