//! Mode, fallback ratio and rules: everything a configuration says about the request phase.

use super::facts::RequestFacts;
use super::matcher::RequestMatcher;
use super::pace::Settings;
use super::sampler::Sampler;
use super::steps::Steps;
use crate::json::names;

names! {
    /// Whose decision counts.
    pub enum Mode {
        /// The caller's decision stands; only traces that begin here are decided here.
        ParentBased = "parent_based",
        /// Every trace is decided here.
        Independent = "independent",
    }
}

/// How requests are sampled.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose word counts.
    pub mode: Mode,
    /// Decides what no rule decides.
    pub fallback: Sampler,
    /// What steers the ratio in its place, if anything does.
    pub pace: Option<Settings>,
    /// The first that matches counts. Those beyond the 65,536th are never looked at.
    pub rules: Vec<Rule>,
}

/// Settings for some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Appears on exported spans.
    pub name: String,
    /// Which requests.
    pub matcher: RequestMatcher,
    /// `None`: the fallback's ratio. Without say where a parent's decision stands.
    pub sampler: Option<Sampler>,
    /// A failure of such a request may upgrade its trace.
    pub upgrade: bool,
    /// From how many milliseconds on such a request is slow enough for an upgrade; `None`: the general setting.
    pub latency_ms: Option<u64>,
    /// Such a request is counted, where any is.
    pub metrics: bool,
}

impl Policy {
    /// There is any rule, so that [`Policy::first_match`] has something to say.
    pub fn needs_request(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The index of the first rule for this request, as far as the steps suffice.
    pub fn first_match(&self, facts: &RequestFacts<'_>, steps: &mut Steps) -> Option<u16> {
        let facts = facts.bare();
        let index = self.rules.iter().position(|rule| rule.matcher.matches(&facts, steps))?;
        u16::try_from(index).ok()
    }

    /// Some ratio decides by the trace-id itself, whatever R is.
    pub fn reads_trace_id(&self) -> bool {
        let mut samplers = self.rules.iter().filter_map(|rule| rule.sampler);
        self.fallback.reads_trace_id() || samplers.any(|sampler| sampler.reads_trace_id())
    }

    /// The sampler of requests that this rule matched.
    pub fn sampler(&self, rule: Option<u16>) -> &Sampler {
        self.rule(rule).and_then(|rule| rule.sampler.as_ref()).unwrap_or(&self.fallback)
    }

    /// The rule that [`Policy::first_match`] named.
    pub fn rule(&self, index: Option<u16>) -> Option<&Rule> {
        self.rules.get(usize::from(index?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::StringMatcher;
    use super::super::sampler::Algorithm;
    use super::*;

    fn rule(name: &str, matcher: RequestMatcher) -> Rule {
        Rule { name: name.into(), matcher, sampler: None, upgrade: true, latency_ms: None, metrics: true }
    }

    fn policy(rules: Vec<Rule>) -> Policy {
        Policy {
            mode: Mode::ParentBased,
            fallback: Sampler::new(Algorithm::Consistent, 0.5).unwrap(),
            pace: None,
            rules,
        }
    }

    fn path(wanted: StringMatcher) -> RequestMatcher {
        RequestMatcher { path: Some(wanted), ..Default::default() }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let policy = policy(vec![
            rule("probes", path(StringMatcher::Exact("/pay/healthz".into()))),
            rule("payments", path(StringMatcher::Prefix("/pay".into()))),
            rule("posts", RequestMatcher { method: vec!["POST".into()], ..Default::default() }),
            rule("late probes", path(StringMatcher::Exact("/pay/healthz".into()))),
        ]);
        let cases = [
            ("/pay/healthz", "POST", Some("probes")),
            ("/pay/healthz?deep=1", "GET", Some("probes")),
            ("/pay/now", "POST", Some("payments")),
            ("/cart", "POST", Some("posts")),
            ("/cart", "GET", None),
        ];
        for (path, method, wanted) in cases {
            let facts = RequestFacts { path: path.as_bytes(), method: method.as_bytes(), ..Default::default() };
            let found = policy.rule(policy.first_match(&facts, &mut Steps::default())).map(|rule| rule.name.as_str());
            assert_eq!(found, wanted, "{method} {path}");
        }
    }

    #[test]
    fn without_rules_nothing_is_asked_of_the_request() {
        assert!(policy(vec![rule("everything", RequestMatcher::default())]).needs_request());
        let policy = policy(Vec::new());
        assert!(!policy.needs_request());
        assert_eq!(policy.first_match(&RequestFacts::default(), &mut Steps::default()), None);
        assert!(policy.rule(Some(0)).is_none());
    }
}
