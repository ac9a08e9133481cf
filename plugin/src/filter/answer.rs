//! Recall requests of other instances, answered by the filter itself: the application never sees them.

use super::abi::Map;
use super::facts;
use super::metrics::Metrics;
use super::root::{Active, Root};
use super::{host, recall, verdicts};
use crate::telemetry::Metric;
use crate::trace_context::TraceId;
use crate::upgrade::recall::wire::{self, Refusal};
use crate::upgrade::{RecallPolicy, Verdict};

/// What the access log shows as the reason of our answer.
const DETAILS: &str = "tracelift_recall";

/// Answers the request at hand, if this listener answers such requests: `false` lets it go on like any other. Recall must be
/// on, and the request must have come from another instance: not from outside the mesh, and not from our own application.
pub fn answer(active: &Active, root: &mut Root, metrics: &mut Metrics) -> bool {
    let policy = &active.policy.upgrade.recall;
    if !policy.enabled || active.policy.edge {
        return false;
    }
    if facts::is_client(active.policy.span_kind) {
        return false;
    }
    let result = traces(policy).and_then(|traces| upgrade(active, root, &traces, metrics));
    metrics.count(match result {
        Ok(()) => Metric::RecallAnswered,
        Err(Refusal::NotUnderstood) => Metric::RecallRefused,
        Err(Refusal::Denied) => Metric::RecallDenied,
        Err(Refusal::Busy) => Metric::RecallBusy,
    });
    let status = result.map_or_else(Refusal::status, |()| 200);
    if host::send_local_response(status, DETAILS, &[(wire::HEADER.as_bytes(), wire::VERSION.as_bytes())]).is_err() {
        super::vm::failed(metrics);
        return false;
    }
    true
}

/// What an authenticated request asks for.
fn traces(policy: &RecallPolicy) -> Result<Vec<TraceId>, Refusal> {
    let header = |name: &str| host::header(Map::RequestHeaders, name).ok().flatten().unwrap_or_default();
    let told = policy.token.is_empty() || wire::same_secret(policy.token.as_bytes(), &header(wire::TOKEN));
    if !told || !is_peer(&policy.peers) {
        return Err(Refusal::Denied);
    }
    wire::read(&header(wire::HEADER))
}

fn is_peer(peers: &[String]) -> bool {
    if peers.is_empty() {
        return true;
    }
    let san = host::property("connection\0uri_san_peer_certificate").ok().flatten().unwrap_or_default();
    peers.iter().any(|peer| san.starts_with(peer.as_bytes()))
}

/// Upgrades what is not upgraded yet, as far as the budget goes: whoever asks again is charged for the rest only, and a
/// trace that goes in a circle ends where it began.
fn upgrade(active: &Active, root: &mut Root, traces: &[TraceId], metrics: &mut Metrics) -> Result<(), Refusal> {
    for &trace_id in traces {
        if verdicts::find(trace_id) == Some(Verdict::Upgraded) {
            continue;
        }
        if !root.recalls.admit(&active.policy.upgrade.budget) {
            return Err(Refusal::Busy);
        }
        if verdicts::remember(trace_id, Verdict::Upgraded) {
            recall::announce(trace_id, metrics);
        }
    }
    Ok(())
}
