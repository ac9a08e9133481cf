//! Requests of Tracelift's own, known by the mark in their `traceparent`: answered here, or continued without our headers.

use super::{Parts, applications, recall};
use crate::door::{Exchange, HeaderView, Side};
use crate::trace_context::{OwnRequest, Propagator, TRACEPARENT, own_request};
use crate::upgrade::recall::wire::OURS;

/// Answers the request at hand, which bears that mark, if this listener answers such requests; with `false` it continues like
/// any other, without our headers.
#[inline(never)] // For requests of our own alone.
pub fn answer<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, own: OwnRequest, headers: V) -> bool {
    let answered = match own {
        OwnRequest::Recall(version) => recall::is_for_us(parts, headers) && recall::reply(parts, version, headers),
        OwnRequest::Upgrades => applications::is_for_us(parts) && applications::reply(parts, headers),
    };
    if !answered {
        take_off(parts, headers);
    }
    answered
}

/// A mark does not pass an edge whose propagators do not read `traceparent`: behind it, it would have the edge's own
/// identity. Where they do, it was read, and is replaced by a context.
pub fn guard_edge<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) {
    let policy = parts.policy;
    if !policy.edge || policy.propagators.contains(&Propagator::TraceContext) {
        return;
    }
    if headers.values(TRACEPARENT).any(|value| own_request(value.trim_ascii()).is_some()) {
        parts.take_off(Side::Request, headers, TRACEPARENT);
        take_off(parts, headers);
    }
}

/// No header of ours continues with a request that is not answered here.
fn take_off<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) {
    for (name, _) in headers.entries() {
        if name.starts_with(OURS)
            && str::from_utf8(name).is_ok_and(|name| parts.exchange.remove(Side::Request, name).is_err())
        {
            parts.failed();
        }
    }
}
