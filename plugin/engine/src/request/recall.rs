//! Recall requests of other instances, answered by the filter itself: the application never sees them.

use super::{Parts, attributes};
use crate::door::{Attribute, Exchange, HeaderView, Host};
use crate::shared::{upgrade_log, verdicts};
use crate::telemetry::Metric;
use crate::trace_context::TraceId;
use crate::upgrade::mac::{self, same_secret};
use crate::upgrade::recall::wire::{self, Refusal};
use crate::upgrade::{RecallPolicy, Verdict};

/// What the access log shows as the reason of our answer.
const DETAILS: &str = "tracelift_recall";
/// What shows that a request came from outside the mesh: a proxy at its edge wrote it.
const FROM_OUTSIDE: [&str; 2] = ["x-forwarded-for", "x-envoy-external-address"];

/// Whether this listener answers the recall at hand. Recall must be on, and the request must have come from another instance: not
/// from outside the mesh, and not from our own application.
pub fn is_for_us<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) -> bool {
    let policy = parts.policy;
    if !policy.upgrade.recall.enabled || policy.edge || attributes::is_client(parts.exchange, policy.span_kind) {
        return false;
    }
    let outside = FROM_OUTSIDE.iter().any(|name| headers.first(name).is_some());
    if outside {
        parts.metrics.count(Metric::RecallOutside);
    }
    !outside
}

/// Answers it; `false` where the host did not let us.
pub fn reply<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, version: u8, headers: V) -> bool {
    let policy = &parts.policy.upgrade.recall;
    let result = traces(parts.exchange, policy, version, headers).and_then(|traces| upgrade(parts, &traces));
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
fn traces<'a, V: HeaderView<'a>>(
    exchange: &impl Exchange,
    policy: &RecallPolicy,
    version: u8,
    headers: V,
) -> Result<Vec<TraceId>, Refusal> {
    let value = |name| headers.first(name).unwrap_or_default();
    let ids = value(wire::HEADER);
    let (knows_secret, version) = match version {
        2 => {
            let asked = headers.first(wire::DESTINATION).unwrap_or_else(|| value(":authority"));
            let signed =
                wire::statement(asked, ids).is_signed(policy.keys(), value(mac::HEADER), exchange.host().now());
            (signed && is_our_address(exchange, policy, asked), wire::VERSION)
        }
        1 if policy.accept_previous => {
            (policy.keys().iter().any(|key| same_secret(key, value(wire::TOKEN))), wire::PREVIOUS)
        }
        _ => return Err(Refusal::NotUnderstood),
    };
    if !knows_secret || !is_peer(exchange, &policy.peers) {
        return Err(Refusal::Denied);
    }
    wire::read(ids, version)
}

/// A request for another instance is not good here, within its minute either. Where redirection brought it (iptables in
/// Istio), Envoy shows the address that was connected to; a listener without an IP address shows none, and believes what was
/// signed.
fn is_our_address(exchange: &impl Exchange, policy: &RecallPolicy, asked: &[u8]) -> bool {
    policy.addresses.iter().any(|address| address.as_bytes() == asked)
        || exchange.text(Attribute::DestinationAddress, |own| !wire::is_destination(own) || own == asked)
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
