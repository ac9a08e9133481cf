//! The head of an answer, or its trailers, which are a head that ends it: one path for both.

use super::signal::{self, Source};
use super::{Parts, RequestContext, admit, attributes, coverage, outline, shadow, slow};
use crate::door::{Exchange, HeaderView, Refused, Side};
use crate::http::{GrpcStatus, decimal};
use crate::stream::{Head, Stream, Upgrade};
use crate::telemetry::Metric;
use crate::trace_context::XRAY;
use crate::upgrade::Verdict;

/// Which part of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Its head.
    Head {
        /// Nothing follows.
        end_of_stream: bool,
    },
    /// Its trailers.
    Trailers,
}

impl Answered {
    /// Where its headers are.
    pub fn side(self) -> Side {
        match self {
            Self::Head { .. } => Side::Response,
            Self::Trailers => Side::Trailers,
        }
    }
}

/// An answer came, or its trailers.
#[inline(never)] // Called at each way out of a look at headers.
pub fn answered<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    which: Answered,
    headers: Result<V, Refused>,
) {
    let headers = parts.known(headers);
    let Some(known) = context.stream.as_ref().map(Stream::status) else {
        if parts.policy.edge {
            parts.leaves_mesh(which.side(), headers);
        }
        return context.answered_early(read(which, headers, None));
    };
    let mut head = read(which, headers, known);
    if which != Answered::Trailers {
        // Marks are ignored at the edge: the service behind it may belong to another operator.
        head.marked = !parts.policy.edge && parts.policy.upgrade.is_marked(headers);
        if context.is_looked_at() {
            outline::answered(parts.policy, context, headers);
        }
        if parts.scope.slow.is_some() || parts.scope.shadow_slow.is_some() {
            slow::answered(parts, context, &mut head);
        }
    }
    let Some(stream) = &mut context.stream else { return };
    let verdict = signal::verdict(parts, stream, &head, Source { which, headers });
    let upgrade = judge(parts, context, head, verdict, (which != Answered::Trailers).then_some(headers));
    let exchange = parts.exchange;
    let Some(stream) = &mut context.stream else { return };
    if parts.policy.edge {
        parts.leaves_mesh(which.side(), headers);
    }
    if upgrade.is_some() {
        let shown = signal::is_shown(headers, stream);
        signal::announce(parts, stream, Some(which.side()), shown);
    } else if which != Answered::Trailers {
        signal::answer_context(parts, stream, headers);
    }
    if which != Answered::Trailers && stream.is_forced() && parts.policy.edge {
        signal::answer_bearer(parts, stream);
    }
    if which != Answered::Trailers
        && let Some(answer) = stream.xray_answer()
        && exchange.replace(Side::Response, XRAY, &answer).is_err()
    {
        parts.failed();
    }
}

/// Judges the request by a part of its answer, under the live policy and its shadow, and counts what comes of it.
#[inline(always)] // Once for a request, and seldom for one whose head came late.
fn judge<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    head: Head,
    verdict: Option<Verdict>,
    headers: Option<V>,
) -> Option<Upgrade> {
    let found = if context.sorted.is_some() { coverage::answered(context, &head) } else { None };
    let stream = context.stream.as_mut()?;
    let (exchange, budget, rules) = (parts.exchange, &mut parts.scope.budget, parts.policy.rules());
    let flags = || attributes::response_flags(exchange);
    let mut upgrade = stream.response(rules, head, flags, verdict, |limit| admit(exchange, budget, limit));
    if upgrade.is_some() && stream.is_culprit() {
        parts.metrics.count(Metric::SlowCulprits);
    }
    if let Some(found) = found {
        upgrade = coverage::live(parts, stream, found).or(upgrade);
    }
    if let Some(shadow) = &mut context.shadow {
        shadow::answered(parts, shadow, (head, found), verdict, headers);
    }
    parts.count_upgrade(upgrade);
    upgrade
}

/// What a part of an answer says; `known` is the status of the head before it.
#[inline(always)] // Once for a request and once for an answer that came before any.
fn read<'a, V: HeaderView<'a>>(which: Answered, headers: V, known: Option<u16>) -> Head {
    let status = match which {
        Answered::Head { .. } => headers.first(":status").and_then(decimal),
        Answered::Trailers => known,
    };
    let end_of_stream = which != Answered::Head { end_of_stream: false };
    // gRPC has its status in the head only where that is all there is (trailers-only), always with HTTP 200.
    let has_grpc_status = which == Answered::Trailers || end_of_stream && status == Some(200);
    let grpc_status = if has_grpc_status { GrpcStatus::from_headers(headers.values("grpc-status")) } else { None };
    Head { status, grpc_status, end_of_stream, ..Head::default() }
}

/// The whole answer, read at the end: Envoy makes no context for a request that a filter in front of ours answered until it logs
/// it. Whether the answer was cut short is for its response flags to say.
#[inline(never)] // A request that came here does not ask.
pub fn as_logged(exchange: &impl Exchange) -> Option<Head> {
    exchange.headers(Side::Response, |headers| {
        let head = read(Answered::Head { end_of_stream: true }, headers.ok()?, None);
        head.status.map(|_| head)
    })
}

/// An answer whose request was read at the end only: its status counts as that of any other. Its caller has it already, so
/// that nobody is told.
pub fn answered_late<X: Exchange>(parts: &mut Parts<'_, X>, context: &mut RequestContext, head: Head) {
    if judge(parts, context, head, None, None::<X::Headers<'_>>).is_some()
        && let Some(stream) = &mut context.stream
    {
        signal::announce(parts, stream, None, false);
    }
}
