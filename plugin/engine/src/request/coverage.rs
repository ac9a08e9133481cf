//! Which kind a request is of, and whether it is one of the first of its kind: read at its head and judged once, as soon as its
//! status is known, so that its caller hears of it.
//!
//! Every request of a policy with coverage is looked at, also one that is sampled or kept already: who is first must not depend on
//! that.

use super::asked::mark;
use super::{Parts, RequestContext, Scope};
use crate::door::{Exchange, HeaderView, Host, Side};
use crate::http::GrpcStatus;
use crate::policy::{Policy, Rules};
use crate::shared::{Coverage, Said};
use crate::span::{METHODS, is_grpc};
use crate::stream::{Head, Stream, Upgrade};
use crate::telemetry::Metric;
use crate::upgrade::coverage::Kind;

/// Stands for the method of gRPC calls, and for one that is not among [`METHODS`].
const RPC: u64 = 100;
const OTHER: u64 = 101;

/// What the head of a request said of its kind.
#[derive(Clone, Copy)]
pub struct Sorted {
    /// Its method and the template of its path.
    kind: Kind,
    /// A gRPC call's path. It counts if the answer shows that the method exists: a client could name any.
    rpc: Option<u32>,
}

/// What is known of a request once it was answered, or has ended.
#[derive(Clone, Copy)]
pub struct Found {
    kind: Kind,
    is_success: bool,
}

/// Reads the head of a request.
#[inline(never)] // Without coverage a request pays for a test.
pub fn requested<'a, V: HeaderView<'a>>(policy: &Policy, headers: V) -> Option<Sorted> {
    let names = policy.names.as_ref()?;
    let method = headers.first(":method").unwrap_or_default();
    if method == b"POST" && is_grpc(headers.first("content-type")) {
        let path = headers.first(":path").unwrap_or_default();
        let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
        return Some(Sorted { kind: Kind::START.with(RPC), rpc: Some(mark(path)) });
    }
    let method = (0..).zip(METHODS).find(|(_, known)| known.as_bytes() == method).map_or(OTHER, |(place, _)| place);
    let path = if names.routes.templates().is_empty() { None } else { headers.first(":path") };
    let route = path.and_then(|path| names.routes.find(path)).map_or(0, |route| u64::from(route).saturating_add(1));
    Some(Sorted { kind: Kind::START.with(method << 16 | route), rpc: None })
}

impl Sorted {
    /// With the answer of a request: no status is none at all.
    fn answered(self, status: Option<u16>, grpc_status: Option<GrpcStatus>) -> Found {
        let http = u64::from(status.unwrap_or_default());
        let Some(path) = self.rpc else {
            return Found { kind: self.kind.with(http), is_success: (100..400).contains(&http) };
        };
        let exists = status == Some(200) && grpc_status.is_some_and(|status| status != GrpcStatus::UNIMPLEMENTED);
        let kind = self.kind.with(if exists { u64::from(path) } else { 0 });
        let code = grpc_status.map_or(0, |status| u64::from(status.code()).saturating_add(1));
        Found {
            kind: kind.with(http << 8 | code),
            is_success: status == Some(200) && grpc_status == Some(GrpcStatus::OK),
        }
    }
}

/// What is found of a request at a part of its answer; `None` where it was looked at before, or where more is to come.
#[inline(never)] // As above.
pub fn answered<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    context: &mut RequestContext,
    head: &Head,
    headers: Option<V>,
) -> Option<Found> {
    let mut sorted = context.sorted?;
    let name = parts.policy.names.as_ref().and_then(|names| names.route_header.as_deref());
    if let (Some(name), Some(headers)) = (name, headers)
        && let Some(route) = headers.first(name)
    {
        if route.starts_with(b"/") {
            sorted.kind = sorted.kind.with_text(route);
        }
        // Where the request is counted as well, that takes it off.
        let is_taken_off = context.measured.is_some() || !parts.policy.edge;
        if !is_taken_off && parts.exchange.remove(Side::Response, name).is_err() {
            parts.failed();
        }
    }
    let is_whole = head.end_of_stream || head.grpc_status.is_some();
    if sorted.rpc.is_some() && head.status == Some(200) && !is_whole {
        return None;
    }
    context.sorted = None;
    Some(sorted.answered(head.status, head.grpc_status))
}

/// What is found of a request that has ended without what it was to be judged by. `complete`: it ended well all the same.
pub fn ended(sorted: Sorted, stream: &Stream, complete: bool) -> Option<Found> {
    let has_no_answer = stream.status().is_none() && !complete;
    let is_cut = sorted.rpc.is_some() && stream.status().is_some();
    (has_no_answer || is_cut).then(|| sorted.answered(stream.status(), stream.grpc_status()))
}

/// Keeps a request that is one of the first of its kind.
#[inline(always)] // Twice; for most requests it is a look at a table.
pub fn live<X: Exchange>(parts: &mut Parts<'_, X>, stream: &mut Stream, found: Found) -> Option<Upgrade> {
    let Scope { coverage, .. } = &mut *parts.scope;
    let judged = look(parts.exchange, coverage.as_deref_mut()?, parts.policy.rules(), stream, found)?;
    let metrics = &mut *parts.metrics;
    metrics.add_count(Metric::CoverageEvicted, judged.forgotten);
    match judged.said {
        Said::First if judged.upgrade.is_some() => metrics.count(Metric::CoverageKept),
        Said::Refused => metrics.count(Metric::CoverageRefused),
        Said::First | Said::Known => {}
    }
    judged.upgrade
}

/// The same under the shadow policy.
pub fn shadow<X: Exchange>(parts: &mut Parts<'_, X>, rules: Rules<'_>, shadow: &mut Stream, found: Found) {
    if let Some(coverage) = parts.scope.shadow_coverage.as_deref_mut() {
        let _ = look(parts.exchange, coverage, rules, shadow, found); // It shows in the stream.
    }
}

/// What came of a look.
struct Judged {
    said: Said,
    forgotten: u64,
    upgrade: Option<Upgrade>,
}

#[inline(never)] // For the live policy and its shadow.
fn look<X: Exchange>(
    exchange: &X,
    coverage: &mut Coverage,
    rules: Rules<'_>,
    stream: &mut Stream,
    found: Found,
) -> Option<Judged> {
    let policy = rules.upgrade.coverage.as_ref()?;
    let is_root = rules.edge || !stream.has_parent();
    if !policy.looks(is_root, found.is_success) || !stream.may_be_covered(rules) {
        return None;
    }
    let host = exchange.host();
    let mut kind = coverage.kind(found.kind);
    if policy.latency {
        let took = stream.started().map(|started| host.now().saturating_sub(started) / 1_000_000);
        kind = kind.with_latency(took.unwrap_or_default());
    }
    if !coverage.may_be_new(kind) {
        return None;
    }
    let charge = !stream.is_kept_whole();
    let (said, forgotten) = coverage.arrive(host, policy, kind, charge);
    let upgrade = (said == Said::First && charge).then(|| stream.cover());
    Some(Judged { said, forgotten, upgrade })
}
