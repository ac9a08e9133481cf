//! The time to the head of an answer, beside what is usual for its route and method. Every answer is counted, whatever is sampled: what is
//! usual must not depend on that.

use super::coverage::Sorted;
use super::outline::Route;
use super::{Parts, RequestContext, Scope, attributes};
use crate::door::{Exchange, Host};
use crate::shared::Slowness;
use crate::stream::Head;
use crate::upgrade::coverage::Kind;
use crate::upgrade::{Per, Slow};

/// Judges an answer under the live policy and its shadow.
#[inline(never)] // Where nothing is learned, a request pays for a test.
pub fn answered<X: Exchange>(parts: &mut Parts<'_, X>, context: &RequestContext, head: &mut Head) {
    let Scope { slow, shadow_slow, .. } = &mut *parts.scope;
    let started = context.stream.as_ref().and_then(|stream| stream.started());
    let (Some(started), Some(sorted)) = (started, context.sorted) else { return };
    let exchange = parts.exchange;
    let took = exchange.host().now().saturating_sub(started);
    let is_client = attributes::is_client(exchange, parts.policy.span_kind);
    let of = (sorted, (context.route, context.name()));
    head.slow = judge(exchange, slow.as_deref_mut(), (of, is_client, took), head);
    head.shadow_slow = judge(exchange, shadow_slow.as_deref_mut(), (of, is_client, took), head);
}

/// A request, the side of the call, and the time in nanoseconds.
type Took<'a> = ((Sorted, (Route, &'a [u8])), bool, u64);

fn judge<X: Exchange>(
    exchange: &X,
    slowness: Option<&mut Slowness>,
    ((sorted, route), is_client, took): Took<'_>,
    head: &Head,
) -> Option<Slow> {
    let slowness = slowness?;
    let kind = match slowness.policy().per {
        Per::Route => sorted.of_route(route, head),
        Per::Side => Kind::START,
    };
    slowness.judge(exchange.host(), kind, is_client, took)
}
