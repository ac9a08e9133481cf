//! What is known of a finished stream, read from the host only for a stream that is exported: each value costs about a
//! microsecond.

use super::abi::Map;
use super::host;
use super::pairs::{self, Pairs};
use super::root::Active;
use crate::span::{self, HttpFacts, Identity, KindSetting, Kinds, ListenerDirection, Provenance, Span, SpanKind};
use crate::stream::Keep;
use crate::trace_context::{HeaderEdit, TraceState};
use crate::upgrade::recall::wire;
use crate::upgrade::{CallFacts, Calls, ResponseFlags};
use std::rc::Rc;

/// Everything that was read, owned, so that the spans can borrow it.
pub struct Facts {
    request: Vec<u8>,
    response: Vec<u8>,
    protocol: Option<Vec<u8>>,
    code_details: Option<Vec<u8>>,
    source_address: Option<Vec<u8>>,
    destination_address: Option<Vec<u8>>,
    upstream_address: Option<Vec<u8>>,
    route_name: Option<Vec<u8>>,
    cluster_name: Option<Vec<u8>>,
    transport_failure_reason: Option<Vec<u8>>,
    kinds: Kinds,
    flags: ResponseFlags,
    status: Option<u16>,
    complete: bool,
    trust_forwarded: bool,
    xray_rule: Option<String>,
    started: u64,
    ended: u64,
}

impl Facts {
    /// Reads what the spans of this stream say, and nothing else. What is not there, or not in this host, is left out of them.
    pub fn read(active: &Active, keep: &Keep, complete: bool, xray_rule: Option<String>) -> Self {
        let ended = host::now();
        let flags = response_flags();
        let kinds = kinds(active.policy.span_kind);
        let (server, client) = (kinds != Kinds::One(SpanKind::Client), kinds != Kinds::One(SpanKind::Server));
        let request = host::map_bytes(Map::RequestHeaders).unwrap_or_default();
        let response = if active.policy.attributes.response_headers.is_empty() {
            Vec::new()
        } else {
            host::map_bytes(Map::ResponseHeaders).unwrap_or_default()
        };
        // The address that was connected to names the server only where the client did not.
        let authority = |name: &[u8]| Pairs::new(&request).find(|(key, _)| *key == name).map(|(_, value)| value);
        let is_named = || authority(b":authority").or_else(|| authority(b"host")).is_some_and(span::is_host);
        let text_if = |wanted: bool, path| if wanted { text(path) } else { None };
        Self {
            protocol: text_if(server, "request\0protocol"),
            code_details: text_if(!flags.is_empty() || !complete, "response\0code_details"),
            source_address: text_if(server, "source\0address"),
            destination_address: text_if(server && !is_named(), "destination\0address"),
            upstream_address: text_if(client, "upstream\0address"),
            route_name: text("xds\0route_name").or_else(|| text("route_name")),
            cluster_name: text("xds\0cluster_name").or_else(|| text("cluster_name")),
            transport_failure_reason: text_if(!flags.is_empty(), "upstream\0transport_failure_reason"),
            status: if keep.status.is_some() { None } else { response_code() },
            started: integer("request\0time").and_then(|time| u64::try_from(time).ok()).unwrap_or(ended),
            trust_forwarded: !active.policy.edge,
            kinds,
            request,
            response,
            xray_rule,
            flags,
            complete,
            ended,
        }
    }

    /// Makes the one span, or the two, that this stream becomes.
    /// `calls` is what is known of the calls behind it.
    pub fn spans(&self, keep: &Keep, active: &Active, calls: Option<Calls>, take: &mut dyn FnMut(Span)) {
        let request = Pairs::all(&self.request);
        let response = Pairs::all(&self.response);
        let settings = &active.policy.attributes;
        let header = |name: &str| request.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value);
        let facts = HttpFacts {
            method: header(":method"),
            path: header(":path"),
            scheme: header(":scheme"),
            authority: header(":authority").or_else(|| header("host")),
            user_agent: header("user-agent"),
            protocol: self.protocol.as_deref(),
            forwarded: header("forwarded"),
            forwarded_proto: header("x-forwarded-proto"),
            forwarded_host: header("x-forwarded-host"),
            trust_forwarded: self.trust_forwarded,
            content_type: header("content-type"),
            grpc_status: keep.grpc_status,
            // Envoy's own answer to a gRPC client has 200 in its header and the real code only in between.
            status_code: keep.status.or(self.status).filter(|code| *code != 0),
            response_flags: self.flags,
            reset: !self.complete,
            code_details: self.code_details.as_deref(),
            source_address: self.source_address.as_deref(),
            destination_address: self.destination_address.as_deref(),
            upstream_address: self.upstream_address.as_deref(),
            route_name: self.route_name.as_deref(),
            cluster_name: self.cluster_name.as_deref(),
            transport_failure_reason: self.transport_failure_reason.as_deref(),
            request_headers: &listed(&settings.request_headers, &request),
            response_headers: &listed(&settings.response_headers, &response),
        };
        let rule = active.policy.sampling.rule(keep.rule).map(|rule| rule.name.as_str());
        let provenance = Provenance {
            reason: keep.reason.name(),
            rule,
            xray_rule: self.xray_rule.as_deref(),
            trigger: keep.trigger,
            adjusted_count: keep.adjusted_count,
            calls,
        };
        let tracestate = exported_tracestate(&request, keep);
        let identity = |span_id, parent_id, parent_remote| Identity {
            trace_id: keep.trace_id,
            span_id,
            parent_id,
            parent_remote,
            flags: keep.flags,
            tracestate: tracestate.clone(),
            start_unix_nanos: self.started,
            end_unix_nanos: self.ended,
        };
        let remote = keep.parent_id.is_some();
        match (self.kinds, keep.server_span_id) {
            (Kinds::ServerAndClient, Some(server)) => {
                take(span::build(
                    settings,
                    SpanKind::Server,
                    identity(server, keep.parent_id, remote),
                    &facts,
                    &Provenance { calls: None, ..provenance },
                ));
                let client = identity(keep.span_id, Some(server), false);
                take(span::build(settings, SpanKind::Client, client, &facts, &provenance));
            }
            (Kinds::One(kind), _) => {
                take(span::build(settings, kind, identity(keep.span_id, keep.parent_id, remote), &facts, &provenance));
            }
            (Kinds::ServerAndClient, None) => {
                let server = identity(keep.span_id, keep.parent_id, remote);
                take(span::build(settings, SpanKind::Server, server, &facts, &provenance));
            }
        }
    }
}

/// What recall asks of a stream that has ended.
impl Facts {
    /// Whether the stream was a call to another instance, or held one.
    pub fn is_call(&self) -> bool {
        self.kinds != Kinds::One(SpanKind::Server)
    }

    /// What the stream saw of its own call.
    pub fn call(&self, keep: &Keep) -> CallFacts {
        CallFacts {
            reached: self.upstream_address.is_some() && !self.flags.contains(ResponseFlags::CONNECTION_FAILURE),
            sampled: keep.sent_sampled,
            answered: keep.status.is_some() && !self.flags.failed(),
            heard: keep.heard,
        }
    }

    /// The instance that was called, if it can be asked.
    pub fn destination(&self) -> Option<Rc<str>> {
        let address = self.upstream_address.as_deref().filter(|address| wire::is_destination(address))?;
        str::from_utf8(address).ok().map(Rc::from)
    }

    /// Unix nanoseconds.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Leaves of the headers what a span says.
    pub fn compact(&mut self, active: &Active) {
        const SAID: [&str; 10] = [
            ":method",
            ":path",
            ":scheme",
            ":authority",
            "host",
            "user-agent",
            "forwarded",
            "x-forwarded-proto",
            "x-forwarded-host",
            "content-type",
        ];
        let listed = &active.policy.attributes.request_headers;
        let said = |key: &[u8]| {
            key == b"tracestate"
                || SAID.iter().any(|name| name.as_bytes() == key)
                || listed.iter().any(|name| name.as_bytes() == key)
        };
        let kept: Vec<_> = Pairs::new(&self.request).filter(|(key, _)| said(key)).collect();
        self.request = pairs::encode(&kept);
        self.request.shrink_to_fit();
    }

    /// Bytes on the heap, with what the allocator adds to each block.
    pub fn bytes(&self) -> usize {
        const BLOCK: usize = 16;
        let optional = [
            &self.protocol,
            &self.code_details,
            &self.source_address,
            &self.destination_address,
            &self.upstream_address,
            &self.route_name,
            &self.cluster_name,
            &self.transport_failure_reason,
        ];
        let optional = optional.into_iter().flatten();
        let blocks = optional.chain([&self.request, &self.response]).filter(|block| 0 < block.capacity());
        blocks.fold(0, |sum, block| sum.saturating_add(block.capacity()).saturating_add(BLOCK))
    }
}

/// Which spans a stream becomes. The listener's direction is asked for only where the setting leaves it open.
fn kinds(setting: KindSetting) -> Kinds {
    match setting {
        KindSetting::Auto => setting.kinds(direction()),
        _ => setting.kinds(ListenerDirection::Unspecified),
    }
}

/// What went upstream, with the probability that the exported span really has.
fn exported_tracestate(request: &[(&[u8], &[u8])], keep: &Keep) -> Option<Vec<u8>> {
    let mut propagated = Vec::new();
    for (_, value) in request.iter().filter(|(key, _)| *key == b"tracestate") {
        if !propagated.is_empty() {
            propagated.push(b',');
        }
        propagated.extend_from_slice(value);
    }
    let state = TraceState::parse(&propagated).unwrap_or_else(|_| TraceState::empty());
    match state.edit(keep.th, None) {
        HeaderEdit::Replace(value) => Some(value),
        HeaderEdit::Remove => None,
        HeaderEdit::Keep => (!propagated.is_empty()).then_some(propagated),
    }
}

/// The entries that the configuration lists; most list none.
fn listed(names: &[String], entries: &[(&[u8], &[u8])]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_listed = |key: &[u8]| names.iter().any(|name| name.as_bytes() == key);
    entries.iter().filter(|(key, _)| is_listed(key)).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Envoy's response flags; none where the host does not know any.
pub fn response_flags() -> ResponseFlags {
    ResponseFlags::from_bits(integer("response\0flags").and_then(|bits| u64::try_from(bits).ok()).unwrap_or_default())
}

/// The status that Envoy logs; 0 where it logs none.
fn response_code() -> Option<u16> {
    integer("response\0code").and_then(|code| u16::try_from(code).ok())
}

/// The listener's `traffic_direction`; older hosts know it under the shorter name.
fn direction() -> ListenerDirection {
    integer("xds\0listener_direction")
        .or_else(|| integer("listener_direction"))
        .map_or(ListenerDirection::Unspecified, ListenerDirection::from_property)
}

/// Whether a stream is a call to another service.
pub fn is_client(kind: KindSetting) -> bool {
    kinds(kind) == Kinds::One(SpanKind::Client)
}

/// A CONNECT request: a tunnel has no end of stream that would say whether it was whole.
pub fn is_tunnel() -> bool {
    host::header(Map::RequestHeaders, ":method").ok().flatten().is_some_and(|method| method == b"CONNECT")
}

fn text(path: &str) -> Option<Vec<u8>> {
    host::property(path).ok().flatten().filter(|value| !value.is_empty())
}

/// Integers and times are eight bytes, little-endian.
fn integer(path: &str) -> Option<i64> {
    let number = |value: Option<&[u8]>| value?.first_chunk::<8>().map(|bytes| i64::from_le_bytes(*bytes));
    host::with_property(path.as_bytes(), number).ok().flatten()
}

/// An unsigned decimal number of at most five digits.
pub fn decimal(text: &[u8]) -> Option<u16> {
    if text.is_empty() || 5 < text.len() {
        return None;
    }
    let mut number: u32 = 0; // Five digits stay below 2^32.
    for byte in text {
        number = number * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    u16::try_from(number).ok()
}
