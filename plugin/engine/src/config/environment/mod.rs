//! The standard OTel environment variables (`vm_config.environment_variables`): they fill what the JSON leaves out. As the
//! specification has it, a value that cannot be read is a warning and otherwise as good as unset.
//! OTel "Environment Variable Specification", "Batch Span Processor", "OpenTelemetry Protocol Exporter".

mod exporter;
mod sampler;
mod variables;

use std::collections::BTreeSet;

pub use variables::{VARIABLES, Variable};

use super::bounded::{Whole, whole_allowed};
use super::check::{LONG_TOKEN_ALLOWED, TOKEN_ALLOWED, is_long_token, is_token};
use super::error;
use super::percent;
use super::raw::Metrics;
use crate::force::{MAX_KEYS, is_key_id};
use crate::json::Tree;
use crate::span::bounds;

/// What the filter does with a configuration that is refused.
pub const ON_INVALID_CONFIG: &str = "TRACELIFT_ON_INVALID_CONFIG";
/// What comes of an argument of the sampler that cannot be read, as its warning says.
pub const EVERYTHING_IS_RECORDED: &str = "100 % is recorded now";
/// The variables of the VM whose names begin with `OTEL_` or `TRACELIFT_`. Empty ones count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

/// What to do with a refused configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalidConfig {
    /// Tell Envoy, which keeps the previous configuration, or does not start.
    #[default]
    Refuse,
    /// Do nothing but say so in the log and in a counter: for fleets that prefer traffic over tracing.
    PassThrough,
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with("OTEL_") || name.starts_with("TRACELIFT_");
        Self(variables.into_iter().filter(|(name, value)| ours(name) && !value.trim().is_empty()).collect())
    }
}

impl Environment {
    /// The value without the space around it; `None` when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// What the variable `TRACELIFT_ON_INVALID_CONFIG` asks for, `refuse` when it asks for nothing; the text is a warning
    /// about a value that is neither `refuse` nor `pass_through`. [`super::load`] gives that warning as well.
    pub fn on_invalid_config(&self) -> (OnInvalidConfig, Option<String>) {
        match self.get(ON_INVALID_CONFIG) {
            None | Some("refuse") => (OnInvalidConfig::Refuse, None),
            Some("pass_through") => (OnInvalidConfig::PassThrough, None),
            Some(other) => {
                let warning = ignored(ON_INVALID_CONFIG, &error::quoted(other), "`refuse` or `pass_through`");
                (OnInvalidConfig::Refuse, Some(warning))
            }
        }
    }
}

/// What of the environment is no key of the configuration, because it is weaker than every key of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentResource {
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, decoded.
    pub attributes: Vec<(String, String)>,
}

/// Puts into the tree what it leaves out and the environment has.
pub fn fill(environment: &Environment, tree: &mut Tree, warnings: &mut Vec<String>) -> EnvironmentResource {
    let mut reader = Reader { environment, tree, warnings };
    reader.sampler();
    reader.propagators();
    reader.exporter();
    reader.batch();
    reader.metrics();
    reader.tokens();
    reader.force_keys();
    reader.session_key();
    reader.warnings.extend(environment.on_invalid_config().1);
    reader.resource()
}

fn limits<const MIN: u64, const MAX: u64>(_: Whole<MIN, MAX>) -> (u64, u64) {
    Whole::<MIN, MAX>::RANGE
}

fn ignored(name: &str, found: &str, allowed: &str) -> String {
    ["environment variable ", name, ": found ", found, "; allowed is ", allowed, ". The variable is ignored."].concat()
}

fn is_key(id: &str, secret: &str) -> bool {
    is_key_id(id) && is_long_token(secret)
}

/// No two keys have the same id.
fn is_distinct(keys: &[Tree]) -> bool {
    let id = |key: &Tree| key.get(&["id"]).and_then(Tree::text).map(str::to_owned);
    let ids: BTreeSet<_> = keys.iter().map(id).collect();
    ids.len() == keys.len()
}

struct Reader<'a> {
    environment: &'a Environment,
    tree: &'a mut Tree,
    warnings: &'a mut Vec<String>,
}
impl<'a> Reader<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name)
    }

    fn warn(&mut self, name: &str, found: &str, allowed: &str) {
        self.warnings.push(ignored(name, found, allowed));
    }

    fn text(&mut self, path: &[&str], text: &str) {
        self.tree.fill(path, Tree::Text(text.to_owned()));
    }

    fn name(&mut self, variable: &str, path: &[&str], known: &[&str]) {
        self.name_for(variable, path, known, known);
    }

    /// The same where the configuration calls it otherwise; `meant` has a name for each of those known.
    fn name_for(&mut self, variable: &str, path: &[&str], known: &[&str], meant: &[&str]) {
        let Some(found) = self.get(variable) else { return };
        match known.iter().zip(meant).find(|(name, _)| name.eq_ignore_ascii_case(found)) {
            Some((_, meant)) => self.text(path, meant),
            None => self.warn(variable, &error::quoted(found), &error::one_of(known)),
        }
    }

    /// What is counted of requests. "Metrics SDK", "OpenTelemetry Protocol Exporter": `lowmemory` is delta for what we have.
    fn metrics(&mut self) {
        self.name_for(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            &["metrics", "temporality"],
            &["cumulative", "delta", "lowmemory"],
            &["cumulative", "delta", "delta"],
        );
        self.name_for(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            &["metrics", "histogram"],
            &["explicit_bucket_histogram", "base2_exponential_bucket_histogram"],
            &["explicit", "exponential"],
        );
        if let Some(interval) = self.number("OTEL_METRIC_EXPORT_INTERVAL", limits(Metrics::default().interval_ms)) {
            self.tree.fill(&["metrics", "interval_ms"], Tree::Number(interval.to_string()));
        }
    }

    /// `TRACELIFT_*_TOKEN`. No warning shows a value.
    fn tokens(&mut self) {
        for (variable, part, key) in [
            ("TRACELIFT_RECALL_TOKEN", "recall", "token"),
            ("TRACELIFT_RECALL_PREVIOUS_TOKEN", "recall", "previous_token"),
            ("TRACELIFT_APPLICATION_TOKEN", "applications", "token"),
        ] {
            match self.get(variable) {
                Some(secret) if is_token(secret) => self.text(&["upgrade", part, key], secret),
                Some(_) => self.warn(variable, "a text that is longer or has other characters", TOKEN_ALLOWED),
                None => {}
            }
        }
    }

    /// `TRACELIFT_FORCE_KEYS`. No warning shows a value.
    fn force_keys(&mut self) {
        const NAME: &str = "TRACELIFT_FORCE_KEYS";
        let Some(text) = self.get(NAME) else { return };
        let key = |pair: &str| {
            let (id, secret) = pair.trim().split_once('=').filter(|(id, secret)| is_key(id, secret))?;
            let entry = |name: &str, value: &str| (name.to_owned(), Tree::Text(value.to_owned()));
            Some(Tree::Object(vec![entry("id", id), entry("secret", secret)]))
        };
        let keys: Option<Vec<_>> = text.split(',').map(key).collect();
        match keys.filter(|keys| keys.len() <= MAX_KEYS && is_distinct(keys)) {
            Some(keys) => self.tree.fill(&["force", "keys"], Tree::List(keys)),
            None => {
                let allowed = "at most 8 id=secret pairs, joined by commas, with distinct ids and secrets of 16 to 256 visible ASCII characters";
                let is_short = |pair: &str| {
                    let pair = pair.trim().split_once('=');
                    pair.is_some_and(|(id, secret)| is_key_id(id) && is_token(secret) && !is_long_token(secret))
                };
                let found = if text.split(',').any(is_short) {
                    "a secret of fewer than 16 characters"
                } else {
                    "a text of another form"
                };
                self.warn(NAME, found, allowed);
            }
        }
    }

    /// `TRACELIFT_SESSION_KEY`, where there is a session to have it.
    fn session_key(&mut self) {
        const NAME: &str = "TRACELIFT_SESSION_KEY";
        let is_wanted = matches!(self.tree.get(&["sampling", "session"]), Some(Tree::Object(_)));
        match self.get(NAME).filter(|_| is_wanted) {
            Some(secret) if is_long_token(secret) => self.text(&["sampling", "session", "key"], secret),
            Some(_) => self.warn(NAME, "a text that is shorter, longer or has other characters", LONG_TOKEN_ALLOWED),
            None => {}
        }
    }

    fn number(&mut self, variable: &str, (min, max): (u64, u64)) -> Option<u64> {
        let text = self.get(variable)?;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.warn(variable, &error::quoted(text), &whole_allowed(min, max));
        }
        number
    }

    fn resource(&mut self) -> EnvironmentResource {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let attributes = match percent::pairs(self.get(NAME).unwrap_or_default()) {
            Ok(attributes) if attributes.len() <= bounds::RESOURCE => attributes,
            Ok(_) => {
                self.warn(NAME, "more than 128 attributes", "at most 128");
                Vec::new()
            }
            Err(fault) => {
                self.warn(NAME, fault, "key=value pairs, joined by commas, percent-encoded");
                Vec::new()
            }
        };
        EnvironmentResource { service_name: self.get("OTEL_SERVICE_NAME").map(str::to_owned), attributes }
    }
}
