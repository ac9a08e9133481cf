//! One HTTP stream as Envoy holds it: its maps, its facts, and which of them exist right now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::property::Properties;
use crate::{Cost, Headers};

/// Where a stream is in its life; decides which maps and properties exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Before the first callback, and between two: no map is there.
    Between,
    /// In `proxy_on_request_headers`.
    RequestHeaders,
    /// In `proxy_on_request_body`.
    RequestBody,
    /// In `proxy_on_request_trailers`.
    RequestTrailers,
    /// In `proxy_on_response_headers`.
    ResponseHeaders,
    /// In `proxy_on_response_body`.
    ResponseBody,
    /// In `proxy_on_response_trailers`.
    ResponseTrailers,
    /// In `proxy_on_log`: every map can be read, none written.
    Log,
    /// In `proxy_on_done` and `proxy_on_delete`.
    Done,
}

/// An answer that the module itself gave with `proxy_send_local_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u32,
    /// Text for the access log.
    pub details: Vec<u8>,
    /// Body.
    pub body: Vec<u8>,
    /// Headers beside `:status`.
    pub headers: Headers,
    /// gRPC status, or -1 for none.
    pub grpc_status: i32,
}

/// Everything the host knows of one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) root: u32,
    pub(crate) listener: usize,
    pub(crate) phase: Phase,
    /// A malformed request reaches the log without a request map.
    pub(crate) request_headers: Option<Headers>,
    pub(crate) request_trailers: Option<Headers>,
    pub(crate) response_headers: Option<Headers>,
    pub(crate) response_trailers: Option<Headers>,
    /// The chunk that the current body callback is about.
    pub(crate) body_chunk: Vec<u8>,
    pub(crate) request_body_size: u64,
    /// What went downstream so far.
    pub(crate) response_body: Vec<u8>,
    pub(crate) response_body_size: u64,
    pub(crate) started: Duration,
    pub(crate) first_response_byte: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    /// `response.code` as the callbacks see it.
    pub(crate) code: Option<i64>,
    pub(crate) code_details: Option<String>,
    pub(crate) flags: u64,
    /// A host was picked, so the upstream properties exist once the request phase is over.
    pub(crate) upstream_chosen: bool,
    pub(crate) response_seen: bool,
    /// Its answer is sent past the filter.
    pub(crate) skipped: bool,
    pub(crate) overrides: Properties,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Filter state that was refused: a root cannot write to the request that the access log shows it.
    pub(crate) refused_state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) local_response: Option<LocalResponse>,
    pub(crate) paused: bool,
    pub(crate) cost: Cost,
    pub(crate) callbacks: Vec<(&'static str, Cost)>,
}

/// Which map of a stream a hostcall names. Proxy-Wasm `proxy_map_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamMap {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
}

impl Stream {
    pub(crate) fn new(root: u32, listener: usize, now: Duration) -> Self {
        Self {
            root,
            listener,
            phase: Phase::Between,
            request_headers: None,
            request_trailers: None,
            response_headers: None,
            response_trailers: None,
            body_chunk: Vec::new(),
            request_body_size: 0,
            response_body: Vec::new(),
            response_body_size: 0,
            started: now,
            first_response_byte: None,
            ended: None,
            code: None,
            code_details: None,
            flags: 0,
            upstream_chosen: true,
            response_seen: false,
            skipped: false,
            overrides: Properties::default(),
            filter_state: BTreeMap::new(),
            refused_state: BTreeMap::new(),
            local_response: None,
            paused: false,
            cost: Cost::default(),
            callbacks: Vec::new(),
        }
    }

    /// The map, if it can be read now: each in its own phase, all of them at the log.
    pub(crate) fn readable(&self, map: StreamMap) -> Option<&Headers> {
        let here = match map {
            StreamMap::RequestHeaders => Phase::RequestHeaders,
            StreamMap::RequestTrailers => Phase::RequestTrailers,
            StreamMap::ResponseHeaders => Phase::ResponseHeaders,
            StreamMap::ResponseTrailers => Phase::ResponseTrailers,
        };
        if self.phase != here && self.phase != Phase::Log {
            return None;
        }
        match map {
            StreamMap::RequestHeaders => self.request_headers.as_ref(),
            StreamMap::RequestTrailers => self.request_trailers.as_ref(),
            StreamMap::ResponseHeaders => self.response_headers.as_ref(),
            StreamMap::ResponseTrailers => self.response_trailers.as_ref(),
        }
    }

    /// The map, if it can be written now: only in its own phase.
    pub(crate) fn writable(&mut self, map: StreamMap) -> Option<&mut Headers> {
        match (map, self.phase) {
            (StreamMap::RequestHeaders, Phase::RequestHeaders) => self.request_headers.as_mut(),
            (StreamMap::RequestTrailers, Phase::RequestTrailers) => self.request_trailers.as_mut(),
            (StreamMap::ResponseHeaders, Phase::ResponseHeaders) => self.response_headers.as_mut(),
            (StreamMap::ResponseTrailers, Phase::ResponseTrailers) => self.response_trailers.as_mut(),
            _ => None,
        }
    }

    /// Whether the client speaks gRPC, so that Envoy's own replies become trailers-only answers.
    pub(crate) fn is_grpc(&self) -> bool {
        self.request_headers
            .as_ref()
            .and_then(|headers| headers.get("content-type"))
            .is_some_and(|value| value.starts_with(b"application/grpc"))
    }
}

/// The gRPC status that Envoy derives from an HTTP one (gRPC "HTTP to gRPC status code mapping", with Envoy's 200 -> 2).
pub(crate) fn grpc_status_of_http(code: i64) -> i64 {
    match code {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
