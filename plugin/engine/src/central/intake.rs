//! Rules on their way in: pages of them, until the last one came.

use super::{MAX_RULES, Rule, RuleId, written};
use crate::json::Tree;

/// Pages that are fetched at most; a service with more of them errs.
const MAX_PAGES: usize = 16;
/// Bytes of one rule as it is published.
const MAX_RULE_BYTES: usize = 4096;
/// Longest `NextToken`, in bytes.
const MAX_TOKEN: usize = 4096;

/// The pages so far.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// By priority and name; each rule as JSON.
    rules: Vec<(u32, String, String)>,
    pages: usize,
    next_token: Option<String>,
    /// Rules that are not looked at.
    pub refused: usize,
}

impl Intake {
    /// What the next page is asked for by.
    pub fn next_token(&self) -> Option<&str> {
        self.next_token.as_deref()
    }

    /// Takes a page, an answer of `GetSamplingRules`; `None` when it is none, and `true` when it was the last.
    pub fn take(&mut self, answer: &Tree) -> Option<bool> {
        let records @ Tree::List(_) = answer.get(&["SamplingRuleRecords"])? else { return None };
        for record in records.elements() {
            if self.take_rule(record).is_none() {
                self.refused = self.refused.saturating_add(1);
            }
        }
        self.pages = self.pages.saturating_add(1);
        let next = answer.get(&["NextToken"]).and_then(Tree::text).unwrap_or_default();
        let is_last = next.is_empty()
            || MAX_TOKEN < next.len()
            || MAX_PAGES <= self.pages
            || self.next_token.as_deref() == Some(next);
        self.next_token = (!is_last).then(|| next.to_owned());
        Some(is_last)
    }

    fn take_rule(&mut self, record: &Tree) -> Option<()> {
        let tree = record.get(&["SamplingRule"])?;
        let rule = Rule::read(tree)?;
        let text = written(tree, MAX_RULE_BYTES)?;
        if self.rules.iter().any(|(_, name, _)| *name == rule.name) {
            return None;
        }
        let before = |(priority, name, _): &(u32, String, String)| (*priority, name) < (rule.priority, &rule.name);
        let place = self.rules.iter().take_while(|other| before(other)).count();
        if MAX_RULES <= place {
            return None;
        }
        if MAX_RULES <= self.rules.len() {
            self.rules.pop();
            self.refused = self.refused.saturating_add(1);
        }
        self.rules.insert(place, (rule.priority, rule.name, text));
        Some(())
    }

    /// The rules, first by priority, then by name.
    pub fn finish(self) -> Vec<(RuleId, String)> {
        self.rules.into_iter().map(|(_, name, text)| (RuleId::of(&name), text)).collect()
    }
}
