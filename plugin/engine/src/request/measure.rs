//! What is counted of a request: read at its head and at its answer while the headers are at hand, judged at its end by the code
//! that judges its span.
//!
//! Apart, and never inlined: where nothing is counted, a request pays for a test.

use super::end::Finish;
use super::facts::GrpcAnswer;
use super::outline::Route;
use super::{Parts, attributes};
use crate::door::{Attribute, Exchange, Host};
use crate::http::{GrpcStatus, ResponseFlags};
use crate::metrics::{Instrument, Labels, Name, Scheme, series};
use crate::otlp::Exemplar;
use crate::policy::Policy;
use crate::span::{HttpFacts, RpcMethod, SpanKind, judge, rpc_method, scheme};
use crate::stream::{Keep, Stream};
use crate::telemetry::Metric;

/// What the head of a request said, beside its route.
#[derive(Clone, Copy)]
pub struct Measured {
    /// The method; the metric is not known yet.
    labels: Labels,
    /// Of the URL, as the side says it that was called, and the one that calls.
    schemes: [Scheme; 2],
}

impl Measured {
    /// A call of gRPC.
    pub fn call() -> Self {
        Self { labels: Labels::new(Instrument::RpcServer), schemes: [Scheme::Other; 2] }
    }

    /// Another request: the place of its method among those that are known, `:scheme`, and what trusted proxies in front say:
    /// `forwarded` and `x-forwarded-proto`.
    #[inline(always)] // It has one caller.
    pub fn request<'a>(
        method: Option<usize>,
        sent: Option<&'a [u8]>,
        (forwarded, forwarded_proto): (Option<&'a [u8]>, Option<&'a [u8]>),
    ) -> Self {
        let sent_scheme = Scheme::of(sent.unwrap_or_default());
        let scheme = match (forwarded, forwarded_proto) {
            (None, None) => sent_scheme,
            (None, Some(b"http")) => Scheme::Http,
            (None, Some(b"https")) => Scheme::Https,
            _ => forwarded_scheme(sent, forwarded, forwarded_proto),
        };
        Self { labels: Labels::new(Instrument::HttpServer).method(method), schemes: [scheme, sent_scheme] }
    }

    /// On this side of a call.
    fn on(self, kind: SpanKind) -> Labels {
        let [server, client] = self.schemes;
        self.labels.on(kind).scheme(if kind == SpanKind::Client { client } else { server })
    }
}

/// As the span of the side that was called reads it.
#[inline(never)] // Seldom: lists, capitals and RFC 7239.
fn forwarded_scheme<'a>(
    sent: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    forwarded_proto: Option<&'a [u8]>,
) -> Scheme {
    let facts = HttpFacts { scheme: sent, forwarded, forwarded_proto, trust_forwarded: true, ..HttpFacts::default() };
    scheme(&facts, true).map_or(Scheme::Other, |scheme| Scheme::of(scheme.as_bytes()))
}

/// How a request was counted.
pub struct Counted<'a> {
    labels: Labels,
    name: Name<'a>,
    nanos: u64,
    /// Unix nanoseconds of its beginning, which is that of its span, too.
    pub started: u64,
    ended: u64,
}

impl Counted<'_> {
    /// What the answer to a gRPC call showed.
    pub fn grpc(&self, route: Route) -> Option<GrpcAnswer> {
        let Route::Rpc { answered } = route else { return None };
        Some(GrpcAnswer { is_grpc: answered, method_seen: self.name != Name::None })
    }
}

/// Counts a request that has ended. `is_late`: its head was read only then.
#[inline(never)]
pub fn ended<'a, X: Exchange>(
    parts: &mut Parts<'_, X>,
    (measured, route, named): (Measured, Route, &'a [u8]),
    stream: &Stream,
    (finish, is_late): (&Finish, bool),
) -> Counted<'a> {
    let (exchange, kind) = (parts.exchange, parts.policy.span_kind);
    let kind = if attributes::is_client(exchange, kind) { SpanKind::Client } else { SpanKind::Server };
    let status = stream.status();
    let is_plain = finish.complete && finish.flags.is_none_or(ResponseFlags::is_empty);
    let name = match route {
        Route::Unknown | Route::Rpc { .. } => Name::None,
        Route::Template(place) => Name::Route(place),
        Route::Header => Name::Text(named),
    };
    let (labels, name) = match status {
        _ if let Route::Rpc { answered } = route => {
            let knows = |name: &[u8]| parts.scope.recorder.as_ref().is_some_and(|recorder| recorder.knows(name));
            call(exchange, stream, finish, (kind, named, answered), knows)
        }
        Some(..400) if is_plain => (measured.on(kind).status(status), name),
        _ => (unusual(exchange, stream, finish, (kind, measured.on(kind))), name),
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
    (kind, path, answered): (SpanKind, &'a [u8], bool),
    knows: impl FnOnce(&[u8]) -> bool,
) -> (Labels, Name<'a>) {
    let grpc_status = stream.grpc_status();
    let end = End::of(exchange, stream, finish, grpc_status);
    let name = path.get(1..).unwrap_or_default();
    let facts = HttpFacts {
        path: Some(path),
        grpc_answer: answered,
        grpc_method_seen: !answered && knows(name),
        ..end.facts(finish, grpc_status)
    };
    let name = match rpc_method(&facts) {
        RpcMethod::Known(_) => Name::Text(name),
        RpcMethod::Claimed(_) | RpcMethod::Malformed => Name::None,
    };
    let error = judge(kind, &facts, true).error_type;
    (Labels::new(Instrument::of(kind, true)).grpc(grpc_status).error(error.as_deref()), name)
}

/// A request that failed, or of which that is not known yet.
#[inline(never)]
fn unusual(exchange: &impl Exchange, stream: &Stream, finish: &Finish, (kind, labels): (SpanKind, Labels)) -> Labels {
    let end = End::of(exchange, stream, finish, None);
    let error = judge(kind, &end.facts(finish, None), false).error_type;
    labels.status(end.status).error(error.as_deref())
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
        let status = stream.status();
        let status = status.or_else(|| attributes::response_code(exchange).filter(|code| *code != 0));
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
