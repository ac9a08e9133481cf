//! What is counted of a request: read at its head and at its answer while the headers are at hand, judged at its end by the code
//! that judges its span.
//!
//! Apart, and never inlined: where nothing is counted, a request pays for a test.

use super::end::Finish;
use super::{Parts, attributes};
use crate::door::{Attribute, Exchange, HeaderView, Host, Side};
use crate::http::{GrpcStatus, ResponseFlags};
use crate::metrics::{Instrument, Labels, Name, Scheme};
use crate::policy::Policy;
use crate::span::{HttpFacts, KindSetting, RpcMethod, SpanKind, is_grpc, judge, rpc_method};
use crate::stream::Stream;
use crate::telemetry::Metric;

/// What the head of a request said.
pub struct Measured {
    /// Method and scheme; the metric is not known yet.
    labels: Labels,
    route: Route,
}

/// What names its series.
enum Route {
    Unknown,
    /// A template of the configuration.
    Template(u16),
    /// A response header said it.
    Header(Box<[u8]>),
    /// A gRPC call's path.
    Rpc(Box<[u8]>),
}

/// Reads the head of a request.
#[inline(never)]
pub fn requested<'a, V: HeaderView<'a>>(policy: &Policy, headers: V) -> Option<Box<Measured>> {
    let settings = policy.metrics.as_ref()?;
    if is_grpc(headers.first("content-type")) {
        let path = headers.first(":path").unwrap_or_default();
        return Some(Box::new(Measured { labels: Labels::new(Instrument::RpcServer), route: Route::Rpc(path.into()) }));
    }
    let route = if settings.routes.templates().is_empty() { None } else { headers.first(":path") };
    let route = route.and_then(|path| settings.routes.find(path)).map_or(Route::Unknown, Route::Template);
    let labels = Labels::new(Instrument::HttpServer)
        .method(headers.first(":method").unwrap_or_default())
        .scheme(scheme(policy, headers));
    Some(Box::new(Measured { labels, route }))
}

/// As on the span: what a trusted proxy in front says of a SERVER's scheme, or what Envoy does.
fn scheme<'a, V: HeaderView<'a>>(policy: &Policy, headers: V) -> Scheme {
    let trusts = !policy.edge && policy.span_kind != KindSetting::Client;
    let forwarded = if trusts { headers.first("x-forwarded-proto") } else { None };
    let text = forwarded.or_else(|| headers.first(":scheme")).unwrap_or_default();
    let first = text.split(|byte| *byte == b',').next().unwrap_or(text).trim_ascii();
    if first.eq_ignore_ascii_case(b"http") {
        Scheme::Http
    } else if first.eq_ignore_ascii_case(b"https") {
        Scheme::Https
    } else {
        Scheme::Other
    }
}

/// Reads the route that an answer names, and takes it off at the edge.
#[inline(never)]
pub fn answered<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, measured: &mut Measured, headers: V) {
    let Some(name) = parts.policy.metrics.as_ref().and_then(|settings| settings.route_header.as_deref()) else {
        return;
    };
    let Some(value) = headers.first(name) else { return };
    if value.starts_with(b"/") && !matches!(measured.route, Route::Rpc(_)) {
        measured.route = Route::Header(value.into());
    }
    if parts.policy.edge && parts.exchange.remove(Side::Response, name).is_err() {
        parts.failed();
    }
}

/// Counts a request that has ended.
#[inline(never)]
pub fn ended<X: Exchange>(parts: &mut Parts<'_, X>, measured: &Measured, stream: &Stream, finish: &Finish) {
    let (exchange, kind) = (parts.exchange, parts.policy.span_kind);
    let kind = if attributes::is_client(exchange, kind) { SpanKind::Client } else { SpanKind::Server };
    let is_rpc = matches!(measured.route, Route::Rpc(_));
    let grpc_status = stream.grpc_status().filter(|_| is_rpc);
    let end = End::of(exchange, stream, finish, grpc_status);
    let facts = HttpFacts {
        path: if let Route::Rpc(path) = &measured.route { Some(path) } else { None },
        grpc_status,
        status_code: end.status,
        response_flags: end.flags,
        reset: !finish.complete,
        lasting: finish.lasting,
        code_details: end.details.as_deref().filter(|details| !details.is_empty()),
        ..HttpFacts::default()
    };
    let is_plain = grpc_status.is_none() && finish.complete && end.status.is_some_and(|code| code < 400);
    let error = if is_plain && end.flags.is_empty() { None } else { judge(kind, &facts, grpc_status).error_type };
    let labels = if is_rpc {
        Labels::new(Instrument::of(kind, true)).grpc(grpc_status)
    } else {
        measured.labels.on(kind).status(end.status)
    };
    let name = match &measured.route {
        Route::Unknown => Name::None,
        Route::Template(place) => Name::Route(*place),
        Route::Header(route) => Name::Text(route),
        Route::Rpc(_) => match rpc_method(&facts) {
            RpcMethod::Known(method) => Name::Text(method.as_bytes()),
            RpcMethod::Claimed(_) | RpcMethod::Malformed => Name::None,
        },
    };
    let (nanos, ended) = duration(parts, finish);
    if let Some(recorder) = &mut parts.scope.recorder {
        recorder.record(labels.error(error.as_deref()), name, nanos, ended);
    }
}

/// How long it took, and when it ended, in nanoseconds.
fn duration<X: Exchange>(parts: &mut Parts<'_, X>, finish: &Finish) -> (u64, u64) {
    let exchange = parts.exchange;
    let ended = finish.ended.unwrap_or_else(|| exchange.host().now());
    let started =
        finish.started.or_else(|| exchange.number(Attribute::StartTime).and_then(|time| u64::try_from(time).ok()));
    let nanos = ended.checked_sub(started.unwrap_or(ended));
    if nanos.is_none() {
        parts.metrics.count(Metric::MetricsClockBack);
    }
    (nanos.unwrap_or_default(), ended)
}

/// What the judgement of a span would know.
struct End {
    status: Option<u16>,
    flags: ResponseFlags,
    details: Option<Vec<u8>>,
}

impl End {
    /// Asks the host only for what did not end well, as for a span.
    fn of(exchange: &impl Exchange, stream: &Stream, finish: &Finish, grpc_status: Option<GrpcStatus>) -> Self {
        let status = stream.status().or_else(|| {
            let code = exchange.number(Attribute::ResponseCode).and_then(|code| u16::try_from(code).ok());
            code.filter(|code| *code != 0)
        });
        let failed = !finish.complete
            || status.is_none_or(|status| 400 <= status)
            || grpc_status.is_some_and(|status| status != GrpcStatus::OK);
        let flags = match finish.flags {
            Some(flags) => flags,
            None if failed => attributes::response_flags(exchange),
            None => ResponseFlags::default(),
        };
        let details = (!finish.complete || !flags.is_empty() || grpc_status.is_some() && failed)
            .then(|| exchange.text(Attribute::CodeDetails, <[u8]>::to_vec));
        Self { status, flags, details }
    }
}
