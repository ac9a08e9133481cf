//! One sampling rule. AWS X-Ray API, `SamplingRule`.

use super::RuleId;
use super::glob::Glob;
use super::target::{Rate, Target, rate, whole};
use crate::json::Tree;
use crate::sampling::{RequestFacts, Steps};

/// Longest name, in bytes; X-Ray allows 32 characters.
const MAX_NAME: usize = 128;
/// Longest pattern, in bytes; X-Ray allows 500 for an ARN and less for everything else.
const MAX_PATTERN: usize = 512;
/// Attributes of one rule; X-Ray allows 5.
const MAX_ATTRIBUTES: usize = 10;

/// A rule with its target.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `RuleName`.
    pub name: String,
    /// The name in short.
    pub id: RuleId,
    /// Lower comes first; the default rule has 10000.
    pub priority: u32,
    /// `FixedRate`, where no target says another.
    pub fixed_rate: Rate,
    /// There is a reservoir, so that one request a second is borrowed from it while there is no quota.
    pub has_reservoir: bool,
    /// `SamplingRateBoost` is set: anomalies are reported.
    pub boosts: bool,
    /// `ServiceName`.
    pub service_name: Glob,
    /// `ServiceType`.
    pub service_type: Glob,
    /// `ResourceARN`.
    pub resource_arn: Glob,
    /// `Host`.
    host: Glob,
    /// `HTTPMethod`.
    method: Glob,
    /// `URLPath`.
    path: Glob,
    /// `Attributes`: all must be there and match.
    attributes: Vec<(String, Glob)>,
    /// What X-Ray said last.
    pub target: Target,
}

impl Rule {
    /// Reads a `SamplingRule`; `None` when it is none, or of a version that we do not know.
    pub fn read(tree: &Tree) -> Option<Self> {
        let name = tree.get(&["RuleName"]).and_then(Tree::text)?;
        let known_version = tree.get(&["Version"]).is_none_or(|version| version.whole() == Some(1));
        if name.is_empty() || MAX_NAME < name.len() || !known_version {
            return None;
        }
        let attributes = match tree.get(&["Attributes"]) {
            None | Some(Tree::Null) => Vec::new(),
            Some(Tree::Object(entries)) if entries.len() <= MAX_ATTRIBUTES => {
                let read = |(key, value): &(String, Tree)| Some((key.clone(), pattern(Some(value))?));
                entries.iter().map(read).collect::<Option<_>>()?
            }
            Some(_) => return None,
        };
        Some(Self {
            id: RuleId::of(name),
            name: name.to_owned(),
            priority: whole(tree.get(&["Priority"]))?,
            fixed_rate: rate(tree.get(&["FixedRate"]))?,
            has_reservoir: whole(tree.get(&["ReservoirSize"]))? != 0,
            boosts: matches!(tree.get(&["SamplingRateBoost"]), Some(Tree::Object(_))),
            service_name: pattern(tree.get(&["ServiceName"]))?,
            service_type: pattern(tree.get(&["ServiceType"]))?,
            resource_arn: pattern(tree.get(&["ResourceARN"]))?,
            host: pattern(tree.get(&["Host"]))?,
            method: pattern(tree.get(&["HTTPMethod"]))?,
            path: pattern(tree.get(&["URLPath"]))?,
            attributes,
            target: Target::default(),
        })
    }

    /// Whether a request to this service matches; takes [`RequestFacts::bare`] ones, and what they were before. A `Host` with a
    /// port is compared with the whole authority, as AWS's SDKs do; one without a port with the host alone.
    /// What the steps do not suffice for does not match.
    pub fn matches(&self, facts: &RequestFacts<'_>, whole: &RequestFacts<'_>, steps: &mut Steps) -> bool {
        let host = if self.host.has(b':') { whole.host } else { facts.host };
        self.method.matches(Some(facts.method), steps)
            && self.path.matches(Some(facts.path), steps)
            && self.host.matches(Some(host), steps)
            && self.attributes.iter().all(|(key, wanted)| {
                steps.take(facts.headers.len())
                    && match attribute(key, facts, whole.path) {
                        Some(value) => wanted.matches(Some(value), steps),
                        None => false, // An attribute must be there, whatever its pattern.
                    }
            })
    }
}

/// A pattern; one that is left out is `*`.
fn pattern(tree: Option<&Tree>) -> Option<Glob> {
    match tree {
        None => Some(Glob::new("*")),
        Some(Tree::Text(text)) if text.len() <= MAX_PATTERN => Some(Glob::new(text)),
        Some(_) => None,
    }
}

/// The value that a span attribute would have when the request begins, by its present or its former name.
fn attribute<'a>(key: &str, facts: &RequestFacts<'a>, whole_path: &'a [u8]) -> Option<&'a [u8]> {
    let header =
        |name: &str| facts.headers.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| *value);
    match key {
        "http.request.method" | "http.method" => Some(facts.method),
        "url.path" => Some(facts.path),
        "http.target" => Some(whole_path),
        "server.address" | "http.host" | "net.host.name" => Some(facts.host),
        "url.scheme" | "http.scheme" => header(":scheme"),
        "user_agent.original" | "http.user_agent" => header("user-agent"),
        _ => header(key.strip_prefix("http.request.header.")?),
    }
    .filter(|value| !value.is_empty())
}
