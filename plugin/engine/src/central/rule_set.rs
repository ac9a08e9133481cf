//! The rules in force, as every VM holds them, and the decision of a root request.

use super::rule::Rule;
use super::target::{Rate, Target};
use super::{MAX_RULES, MEMBER, RULES_LIVE_MS, RuleId, Service};
use crate::json::{self, Tree};
use crate::sampling::{Chosen, Decision, Randomness, Reason, RequestFacts, Steps, Threshold};
use crate::trace_context::ThEdit;

/// Keys of the published form.
pub const FETCHED_AT: &str = "FetchedAt";
pub const RULES: &str = "SamplingRules";
pub const TARGETS: &str = "SamplingTargets";

/// A list of the published form.
pub fn list<'a>(tree: &'a Tree, key: &str) -> &'a [Tree] {
    tree.get(&[key]).map_or(&[], Tree::elements)
}

/// Rules that can match requests to this service, in order.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    fetched_at: u64,
}

/// How a root request came to its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// From the reservoir, within the quota.
    Reservoir,
    /// From the reservoir, without a quota: one a second for the process.
    Borrowed,
    /// By the fixed rate.
    Rate,
    /// Not sampled.
    Dropped,
}

/// The decision of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Which rule.
    pub rule: RuleId,
    /// What to do.
    pub decision: Decision,
    /// Why.
    pub how: How,
    /// The rule reports anomalies, so that the hops below must know of it.
    pub boosts: bool,
}

impl Choice {
    /// For [`crate::sampling::Decider`]. The hops below report their failures to the rule by which the trace was decided.
    pub fn chosen(&self) -> Chosen {
        Chosen { decision: self.decision, member: self.boosts.then(|| (MEMBER, self.rule.to_member())) }
    }
}

impl RuleSet {
    /// Reads the published form, in which rules are in order. Those for other services are left out.
    pub fn read(published: &[u8], service: &Service) -> Option<Self> {
        let tree = json::read(published).ok()?;
        let mut rules = Vec::new();
        for rule in list(&tree, RULES).iter().take(MAX_RULES) {
            rules.extend(Rule::read(rule).filter(|rule| service.is_meant_by(rule)));
        }
        for target in list(&tree, TARGETS) {
            let name = target.get(&["RuleName"]).and_then(Tree::text);
            if let Some(rule) = rules.iter_mut().find(|rule: &&mut Rule| Some(rule.name.as_str()) == name) {
                rule.target = Target::read(target);
            }
        }
        Some(Self { rules, fetched_at: tree.get(&[FETCHED_AT]).and_then(Tree::whole).unwrap_or_default() })
    }

    /// The rules, first by priority, then by name.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with that id.
    pub fn find(&self, id: RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Some rule reports anomalies.
    pub fn boosts(&self) -> bool {
        self.rules.iter().any(|rule| rule.boosts)
    }

    /// Whether the rules are young enough at `now`, Unix milliseconds, to be believed. They are not after a
    /// clock was set back by more than that, either.
    pub fn is_live(&self, now: u64) -> bool {
        !self.rules.is_empty() && now.abs_diff(self.fetched_at) < RULES_LIVE_MS
    }

    /// Decides a request that has no parent decision, at `now` (Unix milliseconds). `take` asks for one of a rule's quota
    /// of this second. `None`: no rule is to be believed, or none matches.
    ///
    /// The reservoir is charged for every request in order of arrival, so that what it takes is a class that does not
    /// depend on R and stands for itself: `th:0`. Only what it leaves is decided by R >= T.
    pub fn decide(
        &self,
        facts: &RequestFacts<'_>,
        randomness: Randomness,
        now: u64,
        steps: &mut Steps,
        take: impl FnOnce(RuleId, u32) -> bool,
    ) -> Option<Choice> {
        if !self.is_live(now) {
            return None;
        }
        let bare = facts.bare();
        let rule = self.rules.iter().find(|rule| rule.matches(&bare, facts, steps))?;
        let (quota, how) = match rule.target.quota.filter(|(_, until)| now < *until) {
            Some((quota, _)) => (quota, How::Reservoir),
            None => (u32::from(rule.has_reservoir), How::Borrowed),
        };
        let (how, threshold) = if 0 < quota && take(rule.id, quota) {
            (how, Some(Threshold::ALWAYS))
        } else {
            match rule.rate(now).filter(|threshold| threshold.keeps(randomness)) {
                Some(threshold) => (How::Rate, Some(threshold)),
                None => (How::Dropped, None),
            }
        };
        let decision = Decision {
            sampled: threshold.is_some(),
            reason: Reason::XRay,
            threshold,
            th: threshold.map_or(ThEdit::Erase, |threshold| ThEdit::Set(threshold.bits())),
            inconsistent: false,
        };
        Some(Choice { rule: rule.id, decision, how, boosts: rule.boosts })
    }
}

impl Rule {
    /// The rate in force: a boost while it lasts, where it is the higher one.
    fn rate(&self, now: u64) -> Rate {
        let fixed = self.target.fixed_rate.unwrap_or(self.fixed_rate);
        let boosted = self.target.boost.filter(|(_, until)| now < *until).and_then(|(rate, _)| rate);
        match (fixed, boosted) {
            (Some(fixed), Some(boosted)) => Some(fixed.min(boosted)), // The lower threshold keeps more.
            (fixed, boosted) => fixed.or(boosted),
        }
    }
}
