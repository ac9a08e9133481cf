//! `sampling`: one sampler for each ratio, one matcher for each rule.

use super::Findings;
use crate::config::bounded::{HeaderName, Ratio, is_token};
use crate::config::error::{self, Problem};
use crate::config::raw;
use crate::sampling::{Algorithm, Mode, Policy, RequestMatcher, Rule, Sampler, StringMatcher, XRaySettings};

/// Regular expressions in all rules: a compiled one may hold 64 KiB.
const MAX_PATTERNS: usize = 32;
/// Headers that one rule looks at.
const MAX_HEADERS: usize = 16;
/// Methods that one rule lists.
const MAX_METHODS: usize = 32;

/// `routes`: how many templates there are.
pub fn policy(raw: raw::Sampling, routes: usize, findings: &mut Findings) -> Option<Policy> {
    let pace = super::pace::settings(&raw, routes, findings);
    let seed = raw.hash_seed.narrow();
    let algorithm = match raw.algorithm {
        raw::Algorithm::Consistent => Algorithm::Consistent,
        raw::Algorithm::TraceIdRatio => Algorithm::TraceIdRatio,
        raw::Algorithm::Modulo => Algorithm::Modulo,
        raw::Algorithm::HashSeed => Algorithm::HashSeed { seed },
    };
    if seed != 0 && raw.algorithm != raw::Algorithm::HashSeed {
        findings.warn("sampling.hash_seed", "has no effect without `algorithm` = \"hash_seed\"");
    }
    let fallback = sampler(algorithm, raw.ratio, "sampling.ratio", findings);
    if !findings.at_most("sampling.rules", raw.rules.len(), raw::MAX_RULES, "rules") {
        return None;
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(raw.rules.len());
    let mut matchers = Matchers { findings, patterns: 0 };
    let last = raw.rules.len().saturating_sub(1);
    for (index, rule) in raw.rules.into_iter().enumerate() {
        let number = ["rule[", &index.to_string(), "]"].concat();
        let path = ["sampling.rules[", &index.to_string(), "]"].concat();
        let sampler = match rule.ratio {
            Some(ratio) => Some(sampler(algorithm, ratio, &[&path, ".ratio"].concat(), matchers.findings)?),
            None => None,
        };
        let name = rule.name.map_or(number, |name| name.0);
        if let Some(first) = rules.iter().position(|other| other.name == name) {
            let (under, first) = (matchers.findings.under, first.to_string());
            let found =
                [&error::quoted(&name), ", which is the name of ", under, "sampling.rules[", &first, "]"].concat();
            matchers.findings.refuse(&[&path, ".name"].concat(), &found, "a name that no other rule has");
        }
        if rule.r#match == raw::Match::default() && index < last {
            matchers.findings.warn(&path, "matches every request, so that no rule behind it is ever reached");
        }
        rules.push(Rule {
            name,
            matcher: matchers.request(rule.r#match, &[&path, ".match"].concat()),
            sampler,
            upgrade: rule.upgrade,
            latency_ms: rule.latency_ms.map(|latency| latency.get()),
            metrics: rule.metrics,
        });
    }
    if MAX_PATTERNS < matchers.patterns {
        let patterns = matchers.patterns;
        findings.at_most("sampling.rules", patterns, MAX_PATTERNS, "regular expressions");
    }
    let mode = raw.mode;
    Some(Policy { mode, fallback: fallback?, pace, rules })
}

/// Reads `sampling.xray`; `None` when it is switched off.
pub fn xray(raw: &raw::Sampling, findings: &mut Findings) -> Option<XRaySettings> {
    const PATH: &str = "sampling.xray";
    let xray = &raw.xray;
    if !xray.authority.0.bytes().all(|byte| byte.is_ascii_graphic()) {
        let path = [PATH, ".authority"].concat();
        findings.refuse(&path, &error::quoted(&xray.authority.0), "a host, visible ASCII without spaces");
    }
    if !xray.enabled {
        return None;
    }
    if raw.algorithm != raw::Algorithm::Consistent {
        findings.warn(PATH, "X-Ray's rules sample by the `consistent` algorithm, whatever `algorithm` says");
    }
    if raw.mode == Mode::Independent {
        findings.warn(
            PATH,
            "with `mode` = \"independent\" every hop is charged to X-Ray's rules, not only the first of a trace",
        );
    }
    Some(XRaySettings {
        cluster: xray.cluster.0.clone(),
        authority: xray.authority.0.clone(),
        rules_interval_ms: xray.rules_interval_ms.get(),
        targets_interval_ms: xray.targets_interval_ms.get(),
        jitter_percent: xray.jitter_percent.get(),
        timeout_ms: xray.timeout_ms.narrow(),
    })
}

/// Headers with their tests, outside of rules.
pub fn headers(
    raw: Vec<(String, raw::StringMatch)>,
    path: &str,
    findings: &mut Findings,
) -> Vec<(String, StringMatcher)> {
    Matchers { findings, patterns: 0 }.headers(raw, path)
}

fn sampler(algorithm: Algorithm, ratio: Ratio, path: &str, findings: &mut Findings) -> Option<Sampler> {
    let sampler = Sampler::new(algorithm, ratio.0).ok();
    if sampler.is_none() {
        findings.refuse(path, "another number", Ratio::ALLOWED);
    }
    sampler
}

struct Matchers<'a> {
    findings: &'a mut Findings,
    /// Regular expressions so far; those beyond the limit are counted and not compiled.
    patterns: usize,
}

impl Matchers<'_> {
    fn request(&mut self, raw: raw::Match, path: &str) -> RequestMatcher {
        let at = |key: &str| [path, ".", key].concat();
        let mut matcher = RequestMatcher::default();
        if let Some(wanted) = raw.path {
            let start = match &wanted {
                raw::StringMatch::Exact(text) => Some(&text.0),
                raw::StringMatch::Prefix(text) => Some(&text.0),
                _ => None,
            };
            if start.is_some_and(|start| !start.starts_with('/')) {
                self.findings.warn(&at("path"), "does not begin with `/`, as the paths of requests do");
            }
            matcher.path = self.string(wanted, &at("path"), false);
        }
        if let Some(wanted) = raw.host {
            matcher.host = self.string(wanted, &at("host"), true);
        }
        if self.findings.at_most(&at("method"), raw.method.len(), MAX_METHODS, "methods") {
            for (index, method) in raw.method.into_iter().enumerate() {
                let path = [&at("method"), "[", &index.to_string(), "]"].concat();
                if !method.0.bytes().all(is_token) {
                    self.findings.refuse(&path, &error::quoted(&method.0), "an HTTP method such as \"GET\"");
                } else if method.0.bytes().any(|byte| byte.is_ascii_lowercase()) {
                    self.findings
                        .warn(&path, "has small letters: methods are compared with their case, GET is not get");
                }
                matcher.method.push(method.0);
            }
        }
        matcher.headers = self.headers(raw.headers.0, &at("headers"));
        matcher
    }

    fn headers(&mut self, raw: Vec<(String, raw::StringMatch)>, path: &str) -> Vec<(String, StringMatcher)> {
        let mut headers = Vec::new();
        if self.findings.at_most(path, raw.len(), MAX_HEADERS, "headers") {
            for (name, wanted) in raw {
                self.header(name, wanted, path, &mut headers);
            }
        }
        headers
    }

    fn header(
        &mut self,
        name: String,
        wanted: raw::StringMatch,
        path: &str,
        headers: &mut Vec<(String, StringMatcher)>,
    ) {
        let Some(HeaderName(lower)) = HeaderName::new(&name) else {
            let problem = Problem::new(path, ["the key ", &error::quoted(&name)].concat(), HeaderName::ALLOWED);
            let advice = "Correct the name; for `:path`, `:method` and `:authority` there are path, method and host.";
            return self.findings.problems.push(problem.advise(advice));
        };
        if headers.iter().any(|(known, _)| *known == lower) {
            let found = ["the header ", &error::quoted(&name), " again"].concat();
            return self.findings.refuse(path, &found, "each header once, whatever its case");
        }
        if let Some(matcher) = self.string(wanted, &[path, ".", &name].concat(), false) {
            headers.push((lower, matcher));
        }
    }

    fn string(&mut self, raw: raw::StringMatch, path: &str, ignore_case: bool) -> Option<StringMatcher> {
        Some(match raw {
            raw::StringMatch::Exact(text) => StringMatcher::Exact(text.0),
            raw::StringMatch::Prefix(text) => StringMatcher::Prefix(text.0),
            raw::StringMatch::Suffix(text) => StringMatcher::Suffix(text.0),
            raw::StringMatch::Contains(text) => StringMatcher::Contains(text.0),
            raw::StringMatch::Present(wanted) => StringMatcher::Present(wanted),
            raw::StringMatch::Regex(pattern) => {
                self.patterns += 1;
                if MAX_PATTERNS < self.patterns {
                    return None;
                }
                let compile = if ignore_case { StringMatcher::regex_ignoring_case } else { StringMatcher::regex };
                match compile(&pattern.0) {
                    Ok(matcher) => matcher,
                    Err(fault) => {
                        let found = [&error::quoted(&pattern.0), ": ", &fault.to_string()].concat();
                        let allowed = "a regular expression of at most 1024 bytes that compiles to at most 64 KiB";
                        self.findings.refuse(&[path, ".regex"].concat(), &found, allowed);
                        return None;
                    }
                }
            }
        })
    }
}
