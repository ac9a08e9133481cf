//! What is counted of a request: read at its head and at its answer while the headers are at hand, judged at its end by the code
//! that judges its span.
//!
//! Apart, and never inlined: where nothing is counted, a request pays for a test.

use super::end::Finish;
use super::{Parts, RequestContext, attributes};
use crate::door::{Attribute, Exchange, HeaderView, Host, Side};
use crate::http::{GrpcStatus, ResponseFlags};
use crate::metrics::{Instrument, Labels, Name, Scheme, series};
use crate::otlp::Exemplar;
use crate::policy::Policy;
use crate::span::{HttpFacts, KindSetting, RpcMethod, SpanKind, is_grpc, judge, rpc_method};
use crate::stream::{Keep, Stream};
use crate::telemetry::Metric;

/// What the head of a request said. A text that names its series is kept beside this.
#[derive(Clone, Copy)]
pub struct Measured {
    /// Method and scheme; the metric is not known yet.
    labels: Labels,
    route: Route,
}

/// What names its series.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Unknown,
    /// A template of the configuration.
    Template(u16),
    /// A response header said it: the text.
    Header,
    /// A gRPC call: the text is its path.
    Rpc,
}

/// A route that a response header said, or a gRPC call's path.
pub struct Named(pub Box<[u8]>);

/// Lengths of the names that the head is read for.
const LENGTHS: u64 =
    1 << ":path".len() | 1 << ":method".len() | 1 << "content-type".len() | 1 << "x-forwarded-proto".len();

/// How a request was counted.
pub struct Counted<'a> {
    labels: Labels,
    name: Name<'a>,
    nanos: u64,
    /// Unix nanoseconds of its beginning, which is that of its span, too.
    pub started: u64,
    ended: u64,
}

/// Reads the head of a request.
#[inline(never)]
pub fn requested<'a, V: HeaderView<'a>>(policy: &Policy, context: &mut RequestContext, headers: V) {
    let Some(settings) = &policy.metrics else { return };
    let [mut method, mut path, mut scheme, mut forwarded, mut content_type] = [None; 5];
    headers.of_lengths(LENGTHS, |key, value| {
        let place = match key {
            b":method" => &mut method,
            b":path" => &mut path,
            b":scheme" => &mut scheme,
            b"x-forwarded-proto" => &mut forwarded,
            b"content-type" => &mut content_type,
            _ => return,
        };
        place.get_or_insert(value);
    });
    if is_grpc(content_type) {
        context.named = Some(Box::new(Named(path.unwrap_or_default().into())));
        context.measured = Some(Measured { labels: Labels::new(Instrument::RpcServer), route: Route::Rpc });
        return;
    }
    let path = path.filter(|_| !settings.routes.templates().is_empty());
    let route = path.and_then(|path| settings.routes.find(path)).map_or(Route::Unknown, Route::Template);
    // As on the span: what a trusted proxy in front says of a SERVER's scheme, or what Envoy does.
    let trusts = !policy.edge && policy.span_kind != KindSetting::Client;
    let scheme = self::scheme(forwarded.filter(|_| trusts).or(scheme).unwrap_or_default());
    let labels = Labels::new(Instrument::HttpServer).method(method.unwrap_or_default()).scheme(scheme);
    context.measured = Some(Measured { labels, route });
}

/// The first of a list.
fn scheme(text: &[u8]) -> Scheme {
    match text {
        b"http" => return Scheme::Http,
        b"https" => return Scheme::Https,
        _ => {}
    }
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
pub fn answered<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &mut Parts<'_, X>,
    (measured, named): (&mut Measured, &mut Option<Box<Named>>),
    headers: V,
) {
    let Some(name) = parts.policy.metrics.as_ref().and_then(|settings| settings.route_header.as_deref()) else {
        return;
    };
    let Some(value) = headers.first(name) else { return };
    if value.starts_with(b"/") && measured.route != Route::Rpc {
        measured.route = Route::Header;
        *named = Some(Box::new(Named(value.into())));
    }
    if parts.policy.edge && parts.exchange.remove(Side::Response, name).is_err() {
        parts.failed();
    }
}

/// Counts a request that has ended. `is_late`: its head was read only then.
#[inline(never)]
pub fn ended<'a, X: Exchange>(
    parts: &mut Parts<'_, X>,
    (measured, named): (Measured, &'a [u8]),
    stream: &Stream,
    (finish, is_late): (&Finish, bool),
) -> Counted<'a> {
    let (exchange, kind) = (parts.exchange, parts.policy.span_kind);
    let kind = if attributes::is_client(exchange, kind) { SpanKind::Client } else { SpanKind::Server };
    let status = stream.status();
    let is_plain = finish.complete && finish.flags.is_none_or(ResponseFlags::is_empty);
    let name = match measured.route {
        Route::Unknown | Route::Rpc => Name::None,
        Route::Template(place) => Name::Route(place),
        Route::Header => Name::Text(named),
    };
    let (labels, name) = match status {
        _ if measured.route == Route::Rpc => call(exchange, stream, finish, (kind, named)),
        Some(..400) if is_plain => (measured.labels.on(kind).status(status), name),
        _ => (unusual(exchange, stream, finish, (kind, measured.labels)), name),
    };
    let ended = finish.ended.unwrap_or_else(|| exchange.host().now());
    let started = stream.started().filter(|_| !is_late);
    let started = started.or_else(|| exchange.number(Attribute::StartTime).and_then(|time| u64::try_from(time).ok()));
    let started = started.unwrap_or(ended);
    let nanos = ended.checked_sub(started);
    if nanos.is_none() {
        parts.metrics.count(Metric::MetricsClockBack);
    }
    let nanos = nanos.unwrap_or_default();
    if let Some(recorder) = &mut parts.scope.recorder {
        recorder.record(labels, name, nanos, ended);
    }
    Counted { labels, name, nanos, started, ended }
}

/// The route of a request whose span is kept, which has it, too: what is counted by route can be found by route.
#[inline(never)]
pub fn route(policy: &Policy, counted: &Counted<'_>) -> Option<Box<[u8]>> {
    match counted.name {
        _ if counted.labels.instrument().is_rpc() => None,
        Name::None => None,
        Name::Route(place) => Some(policy.metrics.as_ref()?.routes.template(place).as_bytes().into()),
        Name::Text(name) => Some(name.into()),
    }
}

/// What a point may show of a request whose span is kept.
#[inline(never)]
pub fn exemplar(policy: &Policy, counted: &Counted<'_>, keep: &Keep) -> Option<Box<Exemplar>> {
    let settings = policy.metrics.as_ref().filter(|settings| settings.exemplars)?;
    let name = match counted.name {
        Name::None => &[],
        Name::Route(place) => settings.routes.template(place).as_bytes(),
        Name::Text(name) => name,
    };
    let span_id = if counted.labels.instrument().is_server() { keep.server_span_id } else { None };
    Some(Box::new(Exemplar {
        series: series(counted.labels, name),
        labels: counted.labels.bits(),
        nanos: counted.nanos,
        time: counted.ended,
        trace_id: keep.trace_id,
        span_id: span_id.unwrap_or(keep.span_id),
        upgraded: keep.upgraded,
        reason: keep.reason.index(),
    }))
}

/// A gRPC call: its method has a name if an answer has shown that the server knows it.
#[inline(never)]
fn call<'a>(
    exchange: &impl Exchange,
    stream: &Stream,
    finish: &Finish,
    (kind, path): (SpanKind, &'a [u8]),
) -> (Labels, Name<'a>) {
    let grpc_status = stream.grpc_status();
    let end = End::of(exchange, stream, finish, grpc_status);
    let facts = HttpFacts { path: Some(path), ..end.facts(finish, grpc_status) };
    let name = match rpc_method(&facts) {
        RpcMethod::Known(_) => Name::Text(path.get(1..).unwrap_or_default()),
        RpcMethod::Claimed(_) | RpcMethod::Malformed => Name::None,
    };
    let error = judge(kind, &facts, grpc_status).error_type;
    (Labels::new(Instrument::of(kind, true)).grpc(grpc_status).error(error.as_deref()), name)
}

/// A request that failed, or of which that is not known yet.
#[inline(never)]
fn unusual(exchange: &impl Exchange, stream: &Stream, finish: &Finish, (kind, labels): (SpanKind, Labels)) -> Labels {
    let end = End::of(exchange, stream, finish, None);
    let error = judge(kind, &end.facts(finish, None), None).error_type;
    labels.on(kind).status(end.status).error(error.as_deref())
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
        Self { status, flags, details: details.filter(|details| !details.is_empty()) }
    }

    /// As the judgement takes it.
    fn facts(&self, finish: &Finish, grpc_status: Option<GrpcStatus>) -> HttpFacts<'_> {
        HttpFacts {
            grpc_status,
            status_code: self.status,
            response_flags: self.flags,
            reset: !finish.complete,
            lasting: finish.lasting,
            code_details: self.details.as_deref(),
            ..HttpFacts::default()
        }
    }
}
