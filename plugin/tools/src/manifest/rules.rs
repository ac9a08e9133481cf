//! What matching a request may cost: the price of a rule set, at the worst request that a client could send.

use std::collections::BTreeMap;

use tracelift::policy::Policy;
use tracelift::sampling::{MAX_SEARCHED, MAX_VALUE, Rule, Steps, StringMatcher, compared};

use super::source::Source;
use super::{Finding, Position};

/// Header lines of a request, at most: Envoy's `max_headers_count`.
const LINES: usize = 100;

/// The price of one test, if it is made at all.
struct Cost<'r> {
    rule: &'r str,
    /// What the value begins with where it is made.
    prefix: &'r [u8],
    steps: usize,
}

/// What a rule set costs a request, at most.
#[derive(Debug, PartialEq, Eq)]
struct Worst<'r> {
    steps: usize,
    /// Of the rule that costs most, its name and its part.
    dearest: (&'r str, usize),
}

/// The steps that the rules of a policy may take for one request; those beyond the bound are not taken. `None` without rules.
pub fn steps(policy: &Policy) -> Option<usize> {
    let shadow = policy.shadow_rules().map(|shadow| worst(&shadow.sampling.rules).steps).unwrap_or_default();
    let steps = worst(&policy.sampling.rules).steps.saturating_add(shadow);
    (0 < steps).then_some(steps)
}

/// Warns of rules that cannot always be looked at.
pub fn look(policy: &Policy, source: &Source<'_>, at: Position, findings: &mut Vec<Finding>) {
    let budget = Steps::A_REQUEST as usize;
    let live = worst(&policy.sampling.rules);
    let left = budget.saturating_sub(live.steps) / 2;
    let shadow = policy.shadow.as_ref().and_then(|shadow| shadow.sampling.as_ref()).map(|shadow| worst(&shadow.rules));
    let all = [("sampling.rules", Some(live), budget), ("shadow.sampling.rules", shadow, left)];
    for (path, worst, allowed) in all {
        let Some(Worst { steps, dearest: (name, part) }) = worst.filter(|worst| allowed < worst.steps) else {
            continue;
        };
        let message = format!(
            "matching a request may cost {steps} steps, and {allowed} are allowed: for requests with long values rules do not \
             match that would, which `tracelift.rules.over_budget` counts. The dearest is rule `{name}` with {part}. Begin \
             patterns with what is fixed, write `prefix`, `suffix` or `exact` in place of `regex` and `contains`, or shorten them."
        );
        let at = source.get(&path.split('.').collect::<Vec<_>>()).map_or(at, |_| source.place(path, false));
        findings.push(Finding::warning(at, path, message));
    }
}

/// Adds up the tests of each part of a request: the dearest of the values that the part may have. A path that begins with
/// `/cart/` costs nothing in patterns that begin with `/user/`.
fn worst(rules: &[Rule]) -> Worst<'_> {
    let mut parts: BTreeMap<&str, Vec<Cost<'_>>> = BTreeMap::new();
    for rule in rules {
        let mut add = |part, matcher, looked_at| {
            let (prefix, steps) = price(matcher);
            parts.entry(part).or_default().push(Cost { rule: &rule.name, prefix, steps: steps + looked_at });
        };
        let matcher = &rule.matcher;
        matcher.path.iter().for_each(|path| add(":path", path, 0));
        matcher.host.iter().for_each(|host| add(":authority", host, 0));
        matcher.headers.iter().for_each(|(name, wanted)| add(name, wanted, LINES));
    }
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    let mut steps = 0_usize;
    for costs in parts.values() {
        let Some(worst) = costs.iter().max_by_key(|cost| sum(costs, cost.prefix)) else { continue };
        steps = steps.saturating_add(sum(costs, worst.prefix));
        for cost in together(costs, worst.prefix) {
            let own = by_rule.entry(cost.rule).or_default();
            *own = own.saturating_add(cost.steps);
        }
    }
    Worst { steps, dearest: by_rule.into_iter().max_by_key(|(_, steps)| *steps).unwrap_or_default() }
}

/// The tests that are made of a value that begins so.
fn together<'c, 'r>(costs: &'c [Cost<'r>], prefix: &'c [u8]) -> impl Iterator<Item = &'c Cost<'r>> {
    costs.iter().filter(move |cost| prefix.starts_with(cost.prefix))
}

fn sum(costs: &[Cost<'_>], prefix: &[u8]) -> usize {
    together(costs, prefix).fold(0, |sum, cost| sum.saturating_add(cost.steps))
}

/// What a value must begin with so that the test costs anything to speak of, and what it then costs at most.
fn price(matcher: &StringMatcher) -> (&[u8], usize) {
    match matcher {
        StringMatcher::Present(_) => (b"", 0),
        StringMatcher::Exact(wanted) | StringMatcher::Prefix(wanted) | StringMatcher::Suffix(wanted) => {
            (b"", compared(wanted.len()))
        }
        StringMatcher::Contains(wanted) => (b"", MAX_SEARCHED.saturating_mul(compared(wanted.len()).saturating_add(1))),
        StringMatcher::Regex(pattern) => (pattern.prefix(), pattern.steps(MAX_VALUE)),
    }
}

#[cfg(test)]
mod tests {
    use tracelift::config::{Environment, load};

    use super::*;

    fn policy(rules: &str) -> Policy {
        let configuration = format!("{{\"sampling\": {{\"rules\": {rules}}}}}");
        load(configuration.as_bytes(), &Environment::default()).expect("a configuration").policy
    }

    #[test]
    fn patterns_that_no_path_can_meet_together_are_not_added_up() {
        let rule = |name: &str, pattern: &str| {
            format!("{{\"name\": \"{name}\", \"match\": {{\"path\": {{\"regex\": \"{pattern}\"}}}}}}")
        };
        let one = steps(&policy(&format!("[{}]", rule("a", "/user/[0-9]+")))).expect("rules");
        let apart = format!("[{}, {}]", rule("a", "/user/[0-9]+"), rule("b", "/cart/[0-9]+"));
        assert_eq!(steps(&policy(&apart)), Some(one));
        let together = format!("[{}, {}]", rule("a", "/user/[0-9]+"), rule("b", "/user/[a-f]+"));
        assert_eq!(steps(&policy(&together)), Some(2 * one));
        assert_eq!(steps(&policy("[]")), None);
    }

    #[test]
    fn the_dearest_rule_is_named() {
        let rules = r#"[{"name": "probes", "match": {"path": {"exact": "/healthz"}}},
                        {"name": "dear", "match": {"path": {"regex": "(?:a|b){40}.*"}, "headers": {"x": {"contains": "y"}}}}]"#;
        let policy = policy(rules);
        let worst = worst(&policy.sampling.rules);
        assert_eq!(worst.dearest.0, "dear");
        assert!(Steps::A_REQUEST as usize <= worst.dearest.1 && worst.dearest.1 < worst.steps, "{worst:?}");
    }
}
