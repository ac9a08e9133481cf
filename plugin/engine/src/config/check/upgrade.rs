//! `upgrade`: sets of statuses, the budget, and what recall needs.

use super::Findings;
use crate::config::bounded::{Rate, Text};
use crate::config::error::{self, Problem};
use crate::config::raw;
use crate::http::{GrpcStatusSet, HttpStatusSet};
use crate::upgrade::coverage::CoveragePolicy;
use crate::upgrade::recall::wire;
use crate::upgrade::{ApplicationsPolicy, Budget, Policy, RecallPolicy, SignalPolicy, SlowPolicy, Transports};

/// Below this many characters a token can be guessed.
const LONG_TOKEN: usize = 16;
/// What to set where there is none.
const TOKEN_WANTED: &str = "a token of 16 random characters or more";
/// Longest token.
const MAX_TOKEN: usize = 256;
/// What a token may be, in words.
pub const TOKEN_ALLOWED: &str = "at most 256 visible ASCII characters, no spaces";

/// What a secret may be that cannot be guessed from what it signs, in words.
pub const LONG_TOKEN_ALLOWED: &str = "16 to 256 visible ASCII characters, no spaces";

/// Whether a text may be such a secret.
pub fn is_long_token(text: &str) -> bool {
    is_token(text) && LONG_TOKEN <= text.len()
}

/// Whether a text may be a token.
pub fn is_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub fn policy(raw: raw::Upgrade, findings: &mut Findings) -> Option<Policy> {
    // Repeated entries are harmless; the limits only say where a list stops making sense.
    findings.at_most("upgrade.http_status", raw.http_status.len(), 500, "statuses");
    findings.at_most("upgrade.grpc_status", raw.grpc_status.len(), 17, "statuses");
    let mut http_status = HttpStatusSet::default();
    for status in raw.http_status {
        http_status.insert(status.first..=status.last);
    }
    let mut grpc_status = GrpcStatusSet::default();
    for status in raw.grpc_status {
        grpc_status.insert(status.0);
    }
    let Ok(budget) = Budget::per_second(raw.traces_per_second.0) else {
        findings.refuse("upgrade.traces_per_second", "another number", Rate::ALLOWED);
        return None;
    };
    const MARKS: &str = "upgrade.response_headers";
    let response_headers = super::sampling::headers(raw.response_headers.0, MARKS, findings);
    response_headers.iter().for_each(|(name, wanted)| super::marks::mark(MARKS, (name, wanted), findings));
    let recall = recall(raw.recall, findings);
    let applications = applications(raw.applications, &recall, findings);
    Some(Policy {
        http_status,
        grpc_status,
        response_flags: raw.response_flags,
        latency_ms: raw.latency_ms.map(|latency| latency.get()),
        slow: slow(&raw.slow, raw.traces_per_second, findings),
        response_headers,
        coverage: coverage(&raw.coverage, raw.traces_per_second, findings),
        budget,
        signal: SignalPolicy {
            emit: raw.signal.emit,
            accept: raw.signal.accept,
            accept_previous: raw.signal.accept_previous,
            accept_server_timing: raw.signal.accept_server_timing,
        },
        recall,
        applications,
    })
}

/// Without upgrades, nothing is learned.
#[inline(never)] // For the live policy and its shadow.
fn slow(raw: &raw::Slow, upgrades: Rate, findings: &mut Findings) -> Option<SlowPolicy> {
    const ENABLED: &str = "upgrade.slow.enabled";
    if !raw.enabled {
        if *raw != raw::Slow::default() {
            findings.warn(ENABLED, "is false, so that its other keys have no effect");
        }
        return None;
    }
    if upgrades.0 == 0.0 {
        findings.warn(ENABLED, &upgrades_are_off(findings));
        return None;
    }
    let (factor, quantile) = (raw.factor.0, raw.quantile.0);
    Some(SlowPolicy { factor, quantile, min_ms: raw.min_ms.get(), per: raw.per })
}

fn upgrades_are_off(findings: &Findings) -> String {
    ["has no effect: ", &findings.named("upgrade.traces_per_second"), " is 0, which switches upgrades off"].concat()
}

/// A minute's worth is the burst: after a start every kind is new. Without a budget, or without upgrades, nothing is covered.
#[inline(never)] // For the live policy and its shadow.
fn coverage(raw: &raw::Coverage, upgrades: Rate, findings: &mut Findings) -> Option<CoveragePolicy> {
    let per_minute = raw.traces_per_minute.get();
    let budget = Budget::per_second(per_minute as f64 / 60.0).ok()?;
    let empty = findings.named("upgrade.coverage.traces_per_minute");
    let off = [
        (!raw.enabled, "is false, so that its other keys have no effect".to_owned(), *raw != raw::Coverage::default()),
        (per_minute == 0, ["has no effect: ", &empty, " is 0"].concat(), true),
        (upgrades.0 == 0.0, upgrades_are_off(findings), true),
    ];
    if let Some((_, oddity, warns)) = off.into_iter().find(|(is_off, ..)| *is_off) {
        if warns {
            findings.warn("upgrade.coverage.enabled", &oddity);
        }
        return None;
    }
    Some(CoveragePolicy {
        per_window: raw.per_window.narrow().try_into().unwrap_or(u8::MAX),
        window_s: raw.window_s.narrow(),
        latency: raw.latency,
        place: raw.r#where,
        budget: budget.with_burst(per_minute),
    })
}

fn recall(raw: raw::Recall, findings: &mut Findings) -> RecallPolicy {
    const TOKEN: &str = "upgrade.recall.token";
    let tokens = [raw.token.0, raw.previous_token.0];
    judge_tokens([TOKEN, "upgrade.recall.previous_token"], &tokens, raw.enabled, findings);
    findings.at_most("upgrade.recall.peers", raw.peers.len(), raw::MAX_PEERS, "peers");
    findings.at_most("upgrade.recall.clusters", raw.clusters.len(), raw::MAX_RECALL_CLUSTERS, "clusters");
    findings.at_most("upgrade.recall.addresses", raw.addresses.len(), raw::MAX_ADDRESSES, "addresses");
    for (index, address) in raw.addresses.iter().enumerate().take(raw::MAX_ADDRESSES) {
        if !wire::is_destination(address.0.as_bytes()) {
            let path = ["upgrade.recall.addresses[", &index.to_string(), "]"].concat();
            findings.refuse(&path, &error::quoted(&address.0), "an IP address with a port");
        }
    }
    // A token of a wrong type was read as an empty one and has been told of: one problem is enough.
    let [token, _] = &tokens;
    if raw.enabled && token.is_empty() && findings.problems.is_empty() {
        let problem = Problem::new(TOKEN, "no token while recall is enabled", "a secret that the whole mesh shares");
        let [enabled, peers] = ["upgrade.recall.enabled", "upgrade.recall.peers"].map(|path| findings.named(path));
        let advice = findings.set_here_or_in(TOKEN_WANTED, "TRACELIFT_RECALL_TOKEN");
        let restricts = " restricts who may use it and does not replace it.";
        let advice = [&advice, ", or set ", &enabled, " to false. ", &peers, restricts].concat();
        findings.problems.push(problem.advise(advice));
    }
    let through = Transports { plain: raw.cluster.0, tls: raw.tls_cluster.0 };
    if raw.enabled && through.plain.is_empty() && through.tls.is_empty() {
        let tls = findings.named("upgrade.recall.tls_cluster");
        let problem =
            Problem::new("upgrade.recall.cluster", "no cluster at all", "the name of an ORIGINAL_DST cluster");
        findings.problems.push(problem.advise(["Name it here, or in ", &tls, ", or in both."].concat()));
    }
    RecallPolicy {
        enabled: raw.enabled,
        through,
        clusters: texts(raw.clusters),
        tokens,
        accept_previous: raw.accept_previous,
        peers: texts(raw.peers),
        addresses: texts(raw.addresses),
        hold_ms: raw.hold_ms.get(),
        max_bytes: raw.max_bytes.size(),
    }
}

/// Without tokens of its own, the list takes those of recall.
#[inline(never)] // For the live policy and its shadow.
fn applications(raw: raw::Applications, recall: &RecallPolicy, findings: &mut Findings) -> ApplicationsPolicy {
    const TOKEN: &str = "upgrade.applications.token";
    let mut tokens = [raw.token.0, raw.previous_token.0];
    judge_tokens([TOKEN, "upgrade.applications.previous_token"], &tokens, raw.enabled, findings);
    let is_own = tokens.first().is_some_and(|token| !token.is_empty());
    if !is_own {
        for (token, fallback) in tokens.iter_mut().zip(&recall.tokens).filter(|(token, _)| token.is_empty()) {
            token.clone_from(fallback);
        }
    }
    if raw.enabled && tokens.first().is_some_and(String::is_empty) && findings.problems.is_empty() {
        let problem = Problem::new(TOKEN, "no token while the list is enabled", "a secret that the application shares");
        let advice =
            findings.set_here_or_in(TOKEN_WANTED, "TRACELIFT_APPLICATION_TOKEN of Envoy and of the application");
        let enabled = findings.named("upgrade.applications.enabled");
        findings.problems.push(problem.advise([&advice, ", or set ", &enabled, " to false."].concat()));
    }
    ApplicationsPolicy { enabled: raw.enabled, tokens }
}

#[inline(never)] // Several callers.
fn judge_tokens(paths: [&str; 2], tokens: &[String; 2], enabled: bool, findings: &mut Findings) {
    for (path, token) in paths.into_iter().zip(tokens) {
        if !is_token(token) {
            findings.refuse(path, "a text that is longer or has other characters", TOKEN_ALLOWED);
        } else if enabled && (1..LONG_TOKEN).contains(&token.len()) {
            findings.warn(path, "is shorter than 16 characters and can be guessed");
        }
    }
}

fn texts<const MIN: u64, const MAX: u64>(texts: Vec<Text<MIN, MAX>>) -> Vec<String> {
    texts.into_iter().map(|text| text.0).collect()
}
