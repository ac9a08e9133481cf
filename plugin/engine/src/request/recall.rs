//! Recall requests of other instances, answered by the filter itself: the application never sees them.

use super::{Parts, attributes};
use crate::door::{Attribute, Exchange, Side};
use crate::shared::{upgrade_log, verdicts};
use crate::telemetry::Metric;
use crate::trace_context::TraceId;
use crate::upgrade::recall::wire::{self, Refusal};
use crate::upgrade::{RecallPolicy, Verdict};

/// What the access log shows as the reason of our answer.
const DETAILS: &str = "tracelift_recall";

/// Answers the request at hand, if this listener answers such requests; with `false` it continues like any other. Recall must
/// be on, and the request must have come from another instance: not from outside the mesh, and not from our own application.
pub fn answer<X: Exchange>(parts: &mut Parts<'_, X>) -> bool {
    let policy = &parts.policy.upgrade.recall;
    if !policy.enabled || parts.policy.edge || attributes::is_client(parts.exchange, parts.policy.span_kind) {
        return false;
    }
    let result = traces(parts.exchange, policy).and_then(|traces| upgrade(parts, &traces));
    parts.metrics.count(match result {
        Ok(()) => Metric::RecallAnswered,
        Err(Refusal::NotUnderstood) => Metric::RecallRefused,
        Err(Refusal::Denied) => Metric::RecallDenied,
        Err(Refusal::Busy) => Metric::RecallBusy,
    });
    let status = result.map_or_else(Refusal::status, |()| 200);
    let headers = [(wire::HEADER.as_bytes(), wire::VERSION.as_bytes())];
    if parts.exchange.answer(status, DETAILS, &headers).is_err() {
        parts.failed();
        return false;
    }
    true
}

/// What an authenticated request asks for.
fn traces(exchange: &impl Exchange, policy: &RecallPolicy) -> Result<Vec<TraceId>, Refusal> {
    let knows_token = policy.token.is_empty()
        || exchange.header(Side::Request, wire::TOKEN, |token| {
            wire::same_secret(policy.token.as_bytes(), token.unwrap_or_default())
        });
    if !knows_token || !is_peer(exchange, &policy.peers) {
        return Err(Refusal::Denied);
    }
    exchange.header(Side::Request, wire::HEADER, |traces| wire::read(traces.unwrap_or_default()))
}

fn is_peer(exchange: &impl Exchange, peers: &[String]) -> bool {
    let is_listed = |identity: &[u8]| peers.iter().any(|peer| identity.starts_with(peer.as_bytes()));
    peers.is_empty() || exchange.text(Attribute::PeerIdentity, is_listed)
}

/// Upgrades what is not upgraded yet, as far as the budget goes: whoever asks again is charged for the rest only, and a
/// trace that goes in a circle ends where it began.
fn upgrade<X: Exchange>(parts: &mut Parts<'_, X>, traces: &[TraceId]) -> Result<(), Refusal> {
    let host = parts.exchange.host();
    for &trace_id in traces {
        if verdicts::find(host, trace_id) == Some(Verdict::Upgraded) {
            continue;
        }
        if !parts.scope.limits.recalls.admit(&parts.policy.upgrade.budget, host) {
            return Err(Refusal::Busy);
        }
        if verdicts::remember(host, parts.metrics, trace_id, Verdict::Upgraded) && !upgrade_log::append(host, trace_id)
        {
            parts.metrics.count(Metric::RecallMissed);
        }
    }
    Ok(())
}
