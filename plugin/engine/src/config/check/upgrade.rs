//! `upgrade`: sets of statuses, the budget, and what recall needs.

use super::Findings;
use crate::config::bounded::Rate;
use crate::config::error::Problem;
use crate::config::raw;
use crate::http::{GrpcStatusSet, HttpStatusSet};
use crate::upgrade::{Budget, Policy, RecallPolicy, SignalPolicy};

/// Below this many characters a token can be guessed.
const LONG_TOKEN: usize = 16;
/// Longest token; it travels in a header.
const MAX_TOKEN: usize = 256;

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
    Some(Policy {
        http_status,
        grpc_status,
        response_flags: raw.response_flags,
        latency_ms: raw.latency_ms.map(|latency| latency.get()),
        budget,
        signal: SignalPolicy {
            emit: raw.signal.emit,
            accept: raw.signal.accept,
            accept_previous: raw.signal.accept_previous,
            accept_server_timing: raw.signal.accept_server_timing,
        },
        recall: recall(raw.recall, findings),
    })
}

fn recall(raw: raw::Recall, findings: &mut Findings) -> RecallPolicy {
    const TOKEN: &str = "upgrade.recall.token";
    let token = raw.token.0;
    if MAX_TOKEN < token.len() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        findings.refuse(
            TOKEN,
            "a text that is longer or has other characters",
            "at most 256 visible ASCII characters, no spaces",
        );
    }
    findings.at_most("upgrade.recall.peers", raw.peers.len(), raw::MAX_PEERS, "peers");
    let known = !token.is_empty() || !raw.peers.is_empty();
    // A token of a wrong type was read as an empty one and has been told of: one problem is enough.
    if raw.enabled && !known && findings.problems.is_empty() {
        let problem = Problem::new(TOKEN, "no token while recall is enabled", "a secret that the whole mesh shares");
        let advice = "Set a token of 16 random characters or more, or `upgrade.recall.peers` where callers have \
                      certificates, or set `upgrade.recall.enabled` to false.";
        findings.problems.push(problem.advise(advice));
    } else if raw.enabled && raw.peers.is_empty() && token.len() < LONG_TOKEN {
        findings.warn(TOKEN, "is shorter than 16 characters and can be guessed");
    }
    RecallPolicy {
        enabled: raw.enabled,
        cluster: raw.cluster.0,
        token,
        peers: raw.peers.into_iter().map(|peer| peer.0).collect(),
        hold_ms: raw.hold_ms.get(),
        max_bytes: raw.max_bytes.size(),
    }
}
