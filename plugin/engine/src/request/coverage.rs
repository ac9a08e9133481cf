//! Which kind a request is of, and whether it is one of the first of its kind: read at its head and judged once, as soon as its
//! status is known, so that its caller can be signalled.
//!
//! Every request of a policy with coverage is looked at, also one that is sampled or kept already: which requests are
//! the first must not depend on that.

use super::outline::Route;
use super::{Parts, RequestContext, Scope, attributes};
use crate::door::{Exchange, Host};
use crate::http::GrpcStatus;
use crate::policy::Rules;
use crate::shared::{Coverage, Said};
use crate::stream::{Head, Stream, Upgrade};
use crate::telemetry::Metric;
use crate::upgrade::coverage::Kind;

/// Stands for a method that is not a known one, and for the method of gRPC calls.
const OTHER: u8 = 100;
const RPC: u64 = 101;

/// What the head of a request said of its kind, beside its route.
#[derive(Clone, Copy)]
pub struct Sorted {
    method: u8,
    /// A gRPC call's path. It counts if the answer shows that the method exists: a client could name any.
    rpc: Option<u32>,
}

/// What is known of a request once it was answered, or has ended.
#[derive(Clone, Copy)]
pub struct Found {
    kind: Kind,
    is_success: bool,
}

impl Sorted {
    /// A call of gRPC, by a mark of its path.
    pub fn call(path: u32) -> Self {
        Self { method: OTHER, rpc: Some(path) }
    }

    /// Another request, by the place of its method among those that are known.
    pub fn request(method: Option<usize>) -> Self {
        Self { method: method.and_then(|place| u8::try_from(place).ok()).unwrap_or(OTHER), rpc: None }
    }

    /// A request that is no call of gRPC, with its status.
    fn request_of(self, (route, name): (Route, &[u8]), http: u64) -> Kind {
        let (start, template) = match route {
            Route::Template(place) => (Kind::START, u64::from(place).saturating_add(1)),
            Route::Header => (Kind::START.with_text(name), 0),
            Route::Unknown | Route::Rpc { .. } => (Kind::START, 0),
        };
        start.with(u64::from(self.method) << 40 | template << 16 | http)
    }

    /// Its method and its route, whatever the status. A method of gRPC counts unless the head of the answer shows that there is none.
    pub fn of_route(self, route: (Route, &[u8]), head: &Head) -> Kind {
        let Some(path) = self.rpc else { return self.request_of(route, 0) };
        let path = if has_method(head.status, head.grpc_status, true) { u64::from(path) } else { 0 };
        Kind::START.with(path << 32 | RPC << 24)
    }

    /// With the answer of a request; status 0 stands for none.
    fn answered(self, (route, name): (Route, &[u8]), status: Option<u16>, grpc_status: Option<GrpcStatus>) -> Found {
        let http = u64::from(status.unwrap_or_default());
        let Some(path) = self.rpc else {
            let kind = self.request_of((route, name), http);
            return Found { kind, is_success: (100..400).contains(&http) };
        };
        let path = if has_method(status, grpc_status, false) { u64::from(path) } else { 0 };
        let code = grpc_status.map_or(0, |status| u64::from(status.code()).saturating_add(1));
        Found {
            kind: Kind::START.with(path << 32 | RPC << 24 | http << 8 | code),
            is_success: status == Some(200) && grpc_status == Some(GrpcStatus::OK),
        }
    }
}

/// Whether the answer to a call of gRPC shows that the server has its method; `open`: what one shows without a status of gRPC.
fn has_method(status: Option<u16>, grpc_status: Option<GrpcStatus>, open: bool) -> bool {
    status == Some(200) && grpc_status.map_or(open, |status| status != GrpcStatus::UNIMPLEMENTED)
}

/// What is found of a request at a part of its answer; `None` where it was looked at before, or where more is to come.
#[inline(never)] // Without coverage a request pays for a test.
pub fn answered(context: &mut RequestContext, head: &Head) -> Option<Found> {
    let sorted = context.sorted?;
    let is_whole = head.end_of_stream || head.grpc_status.is_some();
    if sorted.rpc.is_some() && head.status == Some(200) && !is_whole {
        return None;
    }
    context.sorted = None;
    Some(sorted.answered((context.route, context.name()), head.status, head.grpc_status))
}

/// What is found of a request that has ended without what it was to be judged by. `complete`: it ended well all the same.
pub fn ended(sorted: Sorted, route: (Route, &[u8]), stream: &Stream, complete: bool) -> Option<Found> {
    let has_no_answer = stream.status().is_none() && !complete;
    let is_cut = sorted.rpc.is_some() && stream.status().is_some();
    (has_no_answer || is_cut).then(|| sorted.answered(route, stream.status(), stream.grpc_status()))
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
    // The side is asked for where the configuration does not say it, as for metrics.
    let mut kind = coverage.kind(found.kind, attributes::is_client(exchange, rules.kind));
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
