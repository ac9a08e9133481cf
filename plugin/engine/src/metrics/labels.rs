//! What tells the series of a metric apart, in 32 bits: all but the route or the method of a gRPC call.

use std::borrow::Cow;

use super::places;
use crate::http::GrpcStatus;
use crate::span::{ERROR_WORDS, METHODS, SpanKind, Value, semconv};

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// `http.server.request.duration`.
    HttpServer,
    /// `http.client.request.duration`.
    HttpClient,
    /// `rpc.server.call.duration`.
    RpcServer,
    /// `rpc.client.call.duration`.
    RpcClient,
}

impl Instrument {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::HttpServer, Self::HttpClient, Self::RpcServer, Self::RpcClient];

    /// The metric of a request on one side of a call.
    pub fn of(kind: SpanKind, is_rpc: bool) -> Self {
        match (kind, is_rpc) {
            (SpanKind::Server, false) => Self::HttpServer,
            (SpanKind::Client, false) => Self::HttpClient,
            (SpanKind::Server, true) => Self::RpcServer,
            (SpanKind::Client, true) => Self::RpcClient,
        }
    }

    /// Its name. OTel semantic conventions, "HTTP metrics" and "RPC metrics".
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpServer => "http.server.request.duration",
            Self::HttpClient => "http.client.request.duration",
            Self::RpcServer => "rpc.server.call.duration",
            Self::RpcClient => "rpc.client.call.duration",
        }
    }

    /// What it says.
    pub fn description(self) -> &'static str {
        match self {
            Self::HttpServer => "Duration of HTTP server requests.",
            Self::HttpClient => "Duration of HTTP client requests.",
            Self::RpcServer => "Duration of inbound remote procedure calls.",
            Self::RpcClient => "Duration of outbound remote procedure calls.",
        }
    }

    /// It counts what was served.
    pub fn is_server(self) -> bool {
        matches!(self, Self::HttpServer | Self::RpcServer)
    }

    /// It counts gRPC calls.
    pub fn is_rpc(self) -> bool {
        matches!(self, Self::RpcServer | Self::RpcClient)
    }

    /// The attribute that a series' name is.
    fn name_key(self) -> &'static str {
        match self {
            Self::HttpServer => semconv::HTTP_ROUTE,
            Self::HttpClient => semconv::URL_TEMPLATE,
            Self::RpcServer | Self::RpcClient => semconv::RPC_METHOD,
        }
    }
}

/// The scheme of a request's URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Neither of those below.
    #[default]
    Other,
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// Reads `:scheme`, whatever its case.
    #[inline(always)] // For every request that is counted.
    pub fn of(text: &[u8]) -> Self {
        match Self::of_lower(text) {
            Self::Other => Self::of_any_case(text),
            known => known,
        }
    }

    /// The same of a text in lower case; all else is another scheme.
    #[inline(always)] // Likewise.
    pub fn of_lower(text: &[u8]) -> Self {
        const HTTP: u32 = u32::from_le_bytes(*b"http");
        if text.first_chunk().is_none_or(|start| u32::from_le_bytes(*start) != HTTP) {
            return Self::Other;
        }
        match text.get(4..) {
            Some([]) => Self::Http,
            Some([b's']) => Self::Https,
            _ => Self::Other,
        }
    }

    #[inline(never)] // Seldom.
    fn of_any_case(text: &[u8]) -> Self {
        match text {
            _ if text.eq_ignore_ascii_case(b"http") => Self::Http,
            _ if text.eq_ignore_ascii_case(b"https") => Self::Https,
            _ => Self::Other,
        }
    }
}

/// Where the parts begin, in bits.
const METHOD: u32 = 2;
const SCHEME: u32 = 6;
const STATUS: u32 = 8;
const ERROR: u32 = 18;
const OVERFLOW: u32 = 1 << 29;

/// Stands for a method that is not one of [`METHODS`].
const OTHER_METHOD: u32 = 15;
/// Errors: none, then words, then HTTP statuses and names of gRPC statuses.
const WORDS: u32 = 1;
const CODES: u32 = 64;
const GRPC: u32 = 1100;

/// A label set without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(u32);

impl Labels {
    /// Of this metric, and nothing else.
    pub fn new(instrument: Instrument) -> Self {
        Self(instrument as u32)
    }

    /// The overflow series.
    pub fn overflow(instrument: Instrument) -> Self {
        Self(instrument as u32 | OVERFLOW)
    }

    /// The same of an HTTP request on this side of a call.
    #[must_use]
    pub fn on(self, kind: SpanKind) -> Self {
        Self(self.0 & !3 | Instrument::of(kind, false) as u32)
    }

    /// With the request's method, by its place among [`METHODS`].
    #[must_use]
    pub fn method(self, place: Option<usize>) -> Self {
        self.with(METHOD, place.and_then(|place| u32::try_from(place).ok()).unwrap_or(OTHER_METHOD))
    }

    /// With the scheme of its URL.
    #[must_use]
    pub fn scheme(self, scheme: Scheme) -> Self {
        self.with(SCHEME, scheme as u32)
    }

    /// With an HTTP status; one above 1023 counts as none.
    #[must_use]
    pub fn status(self, status: Option<u16>) -> Self {
        self.with(STATUS, status.map(u32::from).filter(|status| *status < 1024).unwrap_or_default())
    }

    /// With a gRPC status.
    #[must_use]
    pub fn grpc(self, status: Option<GrpcStatus>) -> Self {
        self.with(STATUS, status.map(|status| u32::from(status.code()) + 1).unwrap_or_default())
    }

    /// With `error.type`, as a span says it.
    #[must_use]
    pub fn error(self, error: Option<&str>) -> Self {
        let word = |error| ERROR_WORDS.iter().position(|word| *word == error).and_then(|at| u32::try_from(at).ok());
        let code = |error: &str| error.parse().ok().filter(|code: &u32| *code < GRPC - CODES);
        let grpc = |error| GrpcStatus::from_name(error).map(|status| u32::from(status.code()));
        self.with(
            ERROR,
            error.map_or(0, |error| {
                let word = word(error).map(|word| WORDS + word);
                word.or_else(|| code(error).map(|code| CODES + code))
                    .or_else(|| grpc(error).map(|code| GRPC + code))
                    .unwrap_or_default()
            }),
        )
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Reads the bits; any bits are a label set.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The metric.
    pub fn instrument(self) -> Instrument {
        Instrument::ALL.get((self.0 & 3) as usize).copied().unwrap_or(Instrument::HttpServer)
    }

    /// Whether this is the overflow series.
    pub fn is_overflow(self) -> bool {
        self.0 & OVERFLOW != 0
    }

    fn with(self, at: u32, value: u32) -> Self {
        Self(self.0 | value << at)
    }

    fn part(self, at: u32, bits: u32) -> u32 {
        self.0 >> at & ((1 << bits) - 1)
    }

    /// Shows `take` each attribute of a series with this name; an empty one is absent.
    pub fn attributes<'a>(self, name: &'a str, take: &mut dyn FnMut(&'static str, Value<'a>)) {
        if self.is_overflow() {
            return take("otel.metric.overflow", Value::Bool(true));
        }
        let instrument = self.instrument();
        let status = self.part(STATUS, 10);
        if instrument.is_rpc() {
            take(semconv::RPC_SYSTEM_NAME, Value::Text("grpc".into()));
            take(semconv::RPC_METHOD, Value::Text(if name.is_empty() { semconv::OTHER } else { name }.into()));
            let status = status.checked_sub(1).and_then(|code| u8::try_from(code).ok()).and_then(GrpcStatus::from_code);
            if let Some(status) = status {
                take(semconv::RPC_STATUS_CODE, Value::Text(status.name().into()));
            }
        } else {
            let method = METHODS.get(self.part(METHOD, 4) as usize).copied().unwrap_or(semconv::OTHER);
            take(semconv::HTTP_REQUEST_METHOD, Value::Text(method.into()));
            match self.part(SCHEME, 2) {
                1 => take(semconv::URL_SCHEME, Value::Text("http".into())),
                2 => take(semconv::URL_SCHEME, Value::Text("https".into())),
                _ => {}
            }
            if status != 0 {
                take(semconv::HTTP_RESPONSE_STATUS_CODE, Value::Int(i64::from(status)));
            }
            if !name.is_empty() {
                take(instrument.name_key(), Value::Text(name.into()));
            }
        }
        if let Some(error) = error_text(self.part(ERROR, 11)) {
            take(semconv::ERROR_TYPE, Value::Text(error));
        }
    }
}

/// Names a series, also where it is not known whether the process has it.
pub fn series(labels: Labels, name: &[u8]) -> u64 {
    places::hash(labels.bits(), name)
}

fn error_text(error: u32) -> Option<Cow<'static, str>> {
    match error {
        0 => None,
        WORDS..CODES => ERROR_WORDS.get((error - WORDS) as usize).map(|word| Cow::Borrowed(*word)),
        CODES..GRPC => Some(Cow::Owned((error - CODES).to_string())),
        _ => {
            let status = u8::try_from(error - GRPC).ok().and_then(GrpcStatus::from_code);
            status.map(|status| Cow::Borrowed(status.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(labels: Labels, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        labels.attributes(name, &mut |key, value| {
            all.push(match value {
                Value::Text(text) => format!("{key}={text}"),
                Value::Int(number) => format!("{key}={number}"),
                other => format!("{key}={other:?}"),
            });
        });
        all
    }

    #[test]
    fn a_label_set_says_what_went_into_it() {
        let http = Labels::new(Instrument::HttpServer).method(Some(0)).scheme(Scheme::Https).status(Some(503));
        assert_eq!(
            said(http.error(Some("503")), "/cart"),
            [
                "http.request.method=GET",
                "url.scheme=https",
                "http.response.status_code=503",
                "http.route=/cart",
                "error.type=503"
            ]
        );
        let rpc = Labels::new(Instrument::RpcClient).grpc(GrpcStatus::from_code(14)).error(Some("UNAVAILABLE"));
        assert_eq!(
            said(rpc, "Cart/Add"),
            ["rpc.system.name=grpc", "rpc.method=Cart/Add", "rpc.status_code=UNAVAILABLE", "error.type=UNAVAILABLE"]
        );
        assert_eq!(said(Labels::overflow(Instrument::HttpClient), ""), ["otel.metric.overflow=Bool(true)"]);
        assert_eq!(said(Labels::new(Instrument::HttpClient).method(None), ""), ["http.request.method=_OTHER"]);
    }

    #[test]
    fn every_error_of_a_span_has_a_place_of_its_own() {
        let codes: Vec<String> = (100..1000).map(|code: u32| code.to_string()).collect();
        let all =
            ERROR_WORDS.into_iter().chain(GrpcStatus::names().iter().copied()).chain(codes.iter().map(String::as_str));
        for error in all {
            let labels = Labels::new(Instrument::RpcServer).error(Some(error));
            assert!(said(labels, "").contains(&format!("error.type={error}")), "{error}");
        }
    }
}
