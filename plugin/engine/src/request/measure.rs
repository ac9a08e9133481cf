//! What is counted of a request: read at its head and at its answer while the headers are at hand, judged at its end by the code
//! that judges its span.
//!
//! Where nothing is counted, a request pays for a test.

use super::end::Finish;
use super::facts::GrpcAnswer;
use super::outline::Route;
use super::{Parts, attributes};
use crate::door::{Attribute, Exchange, Host};
use crate::http::{GrpcStatus, ResponseFlags};
use crate::metrics::{Instrument, Labels, Name, Scheme, series};
use crate::otlp::Exemplar;
use crate::policy::Policy;
use crate::span::{HttpFacts, RpcMethod, SpanKind, judge, rpc_method};
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

    /// Another request: the place of its method among those that are known, and the scheme of its URL.
    pub fn request(method: Option<usize>, schemes: [Scheme; 2]) -> Self {
        Self { labels: Labels::new(Instrument::HttpServer).method(method), schemes }
    }

    /// On this side of a call.
    fn on(self, kind: SpanKind) -> Labels {
        let [server, client] = self.schemes;
        self.labels.on(kind).scheme(if kind == SpanKind::Client { client } else { server })
    }
}

/// How a request was counted.
pub struct Counted {
    labels: Labels,
    /// Its series has the name that its route is, as far as there was room.
    is_named: bool,
    nanos: u64,
    /// Unix nanoseconds of its beginning, which is that of its span, too.
    pub started: u64,
    ended: u64,
}

impl Counted {
    /// What the answer to a gRPC call showed.
    pub fn grpc(&self, route: Route) -> Option<GrpcAnswer> {
        let Route::Rpc { answered } = route else { return None };
        Some(GrpcAnswer { is_grpc: answered, method_seen: self.is_named })
    }
}

/// The name of a series by a route and the text beside it.
fn name((route, text): (Route, &[u8])) -> Name<'_> {
    match route {
        Route::Unknown => Name::None,
        Route::Template(place) => Name::Route(place),
        Route::Header => Name::Text(text),
        Route::Rpc { .. } => Name::Text(rpc_name(text)),
    }
}

/// The method of a gRPC call, by its path.
fn rpc_name(path: &[u8]) -> &[u8] {
    path.get(1..).unwrap_or_default()
}

/// Counts a request that has ended. `is_late`: its head was read only then.
#[inline(always)] // Its one caller has all of this at hand; what is not ordinary is apart.
pub fn ended<X: Exchange>(
    parts: &mut Parts<'_, X>,
    (measured, route, text): (Measured, Route, &[u8]),
    stream: &Stream,
    (finish, is_late): (&Finish, bool),
) -> Counted {
    let (exchange, kind) = (parts.exchange, parts.policy.span_kind);
    let kind = if attributes::is_client(exchange, kind) { SpanKind::Client } else { SpanKind::Server };
    let status = stream.status();
    let is_plain = finish.complete && finish.flags.is_none_or(ResponseFlags::is_empty);
    let (labels, is_named) = match status {
        _ if let Route::Rpc { answered } = route => {
            let knows = |name: &[u8]| parts.scope.recorder.as_ref().is_some_and(|recorder| recorder.knows(name));
            call(exchange, stream, finish, (kind, text, answered), knows)
        }
        Some(..400) if is_plain => (measured.on(kind).status(status), true),
        _ => (unusual(exchange, stream, finish, (kind, measured.on(kind))), true),
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
        let template = match route {
            Route::Unknown => Some(None),
            Route::Template(place) => Some(Some(place)),
            Route::Header | Route::Rpc { .. } => None,
        };
        if !template.is_some_and(|template| recorder.record_again(labels, template, nanos)) {
            let name = if is_named { name((route, text)) } else { Name::None };
            recorder.record(labels, name, nanos, ended);
        }
    }
    Counted { labels, is_named, nanos, started, ended }
}

/// What a point may show of a request whose span is kept.
#[inline(never)]
pub fn exemplar(policy: &Policy, (counted, route): (&Counted, (Route, &[u8])), keep: &Keep) -> Option<Box<Exemplar>> {
    let settings = policy.metrics.as_ref().filter(|settings| settings.exemplars)?;
    let name = if counted.is_named { name(route) } else { Name::None };
    let name = match name {
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
fn call(
    exchange: &impl Exchange,
    stream: &Stream,
    finish: &Finish,
    (kind, path, answered): (SpanKind, &[u8], bool),
    knows: impl FnOnce(&[u8]) -> bool,
) -> (Labels, bool) {
    let grpc_status = stream.grpc_status();
    let end = End::of(exchange, stream, finish, grpc_status);
    let facts = HttpFacts {
        path: Some(path),
        grpc_answer: answered,
        grpc_method_seen: !answered && knows(rpc_name(path)),
        ..end.facts(finish, grpc_status)
    };
    let is_named = matches!(rpc_method(&facts), RpcMethod::Known(_));
    let error = judge(kind, &facts, true).error_type;
    (Labels::new(Instrument::of(kind, true)).grpc(grpc_status).error(error.as_deref()), is_named)
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
