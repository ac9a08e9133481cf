//! What is known of a finished stream, read from the host only for a stream that is exported or held: in wasm each value costs
//! about a microsecond.

use super::asked::{Asked, Original, Target};
use super::attributes::{Attributes, response_code};
use super::context::HeadersSaid;
use super::end::Finish;
use super::headers::join;
use crate::door::{Attribute, Exchange, HeaderView, Host, Side};
use crate::http::ResponseFlags;
use crate::http::pairs::{self, Pairs};
use crate::policy::Policy;
use crate::sampling::Reason;
use crate::span::{self, HttpFacts, Identity, KindSetting, Kinds, Provenance, Span, SpanKind, is_grpc};
use crate::stream::Keep;
use crate::trace_context::{HeaderEdit, TraceState};
use crate::upgrade::recall::wire;
use crate::upgrade::{CallFacts, Calls};

/// What the answer to a gRPC call shows.
#[derive(Clone, Copy, Default)]
pub struct GrpcAnswer {
    /// Its content type is that of gRPC.
    pub is_grpc: bool,
    /// The server knows the method, or that is not kept account of.
    pub method_seen: bool,
}

/// Everything that was read, owned, so that the spans can borrow it.
pub struct Facts {
    request: Vec<u8>,
    /// `tracestate` is what the head's decision made of it.
    as_decided: bool,
    response: Vec<u8>,
    attributes: Attributes,
    status: Option<u16>,
    complete: bool,
    lasting: bool,
    asked: Asked,
    trust_forwarded: bool,
    xray_rule: Option<String>,
    ended: u64,
    /// The route, where requests are counted by it.
    pub template: Option<Box<[u8]>>,
    grpc: GrpcAnswer,
}

impl Facts {
    /// Reads what the spans of this stream say, and nothing else. What is not there, or not in this host, is left out of them.
    pub fn read(
        exchange: &impl Exchange,
        (root, policy): (u32, &Policy),
        keep: &Keep,
        (finish, started, asked): (Finish, Option<u64>, Asked),
        (read, said): (Option<Attributes>, Option<Box<HeadersSaid>>),
        xray_rule: Option<String>,
    ) -> Self {
        let Finish { flags, complete, lasting, ended } = finish;
        let ended = ended.unwrap_or_else(|| exchange.host().now());
        let kind = (policy.span_kind, policy.upgrade.recall.enabled);
        let mut attributes = read.unwrap_or_else(|| Attributes::read(exchange, root, kind, flags, complete));
        attributes.started = started.or(attributes.started);
        let (request, as_decided) = match said {
            Some(said) => (said.headers, said.as_decided),
            None => (exchange.copied(Side::Request, |name| is_said(policy, name)), false),
        };
        let listed = &policy.attributes.response_headers;
        let response = if listed.is_empty() {
            Vec::new()
        } else {
            exchange.copied(Side::Response, |name| is_listed(listed, name))
        };
        // The address that was connected to names the server only where the client did not.
        let authority = |name: &[u8]| Pairs::new(&request).values_of(name).next();
        if !authority(b":authority").or_else(|| authority(b"host")).is_some_and(span::is_host) {
            attributes.read_destination(exchange);
        }
        Self {
            status: if keep.status.is_some() { None } else { response_code(exchange) },
            trust_forwarded: !policy.edge,
            attributes,
            request,
            as_decided,
            response,
            xray_rule,
            complete,
            lasting,
            asked,
            ended,
            template: None,
            grpc: GrpcAnswer::default(),
        }
    }

    /// What the answer shows of a gRPC call: known already where it was counted, else read.
    pub fn answered(&mut self, exchange: &impl Exchange, known: Option<GrpcAnswer>) {
        self.grpc = known.unwrap_or_else(|| {
            let is_call = Pairs::new(&self.request).values_of(b"content-type").any(|value| is_grpc(Some(value)));
            let is_grpc = is_call && exchange.header(Side::Response, "content-type", is_grpc);
            GrpcAnswer { is_grpc, method_seen: true }
        });
    }

    /// Makes the one span, or the two, that this stream becomes.
    /// `calls` is what is known of the calls behind it.
    pub fn spans(&self, keep: &Keep, policy: &Policy, calls: Option<Calls>, take: &mut dyn FnMut(Span<'_>)) {
        let request = Pairs::all(&self.request);
        let settings = &policy.attributes;
        let said = Said::of(&request);
        let sent = Target { path: said.path, authority: said.authority.or(said.host) };
        let (asked, sent) = (self.asked.server(sent, &said.original), self.asked.client(sent, &said.original));
        let text = |text| self.attributes.text(text);
        let facts = HttpFacts {
            method: said.method,
            path: sent.path,
            scheme: said.scheme,
            authority: sent.authority,
            user_agent: said.user_agent,
            protocol: text(Attribute::Protocol),
            forwarded: said.forwarded,
            forwarded_proto: said.forwarded_proto,
            forwarded_host: said.forwarded_host,
            trust_forwarded: self.trust_forwarded,
            content_type: said.content_type,
            grpc_answer: self.grpc.is_grpc,
            grpc_method_seen: self.grpc.method_seen,
            grpc_status: keep.grpc_status,
            // Envoy's own answer to a gRPC client has 200 in its header and the real code only in between.
            status_code: keep.status.or(self.status).filter(|code| *code != 0),
            response_flags: self.attributes.flags,
            reset: !self.complete,
            lasting: self.lasting,
            code_details: text(Attribute::CodeDetails),
            source_address: text(Attribute::SourceAddress),
            destination_address: text(Attribute::DestinationAddress),
            upstream_address: text(Attribute::UpstreamAddress),
            template: self.template.as_deref(),
            route_name: text(Attribute::RouteName),
            cluster_name: text(Attribute::ClusterName),
            transport_failure_reason: text(Attribute::TransportFailureReason),
            request_headers: &listed(&settings.request_headers, &request),
            response_headers: &listed(&settings.response_headers, &Pairs::all(&self.response)),
        };
        let on_server = HttpFacts { path: asked.path, authority: asked.authority, ..facts };
        let provenance = self.provenance(keep, policy, calls);
        let tracestate = exported_tracestate(&request, keep, self.as_decided && keep.trigger.is_none());
        let identity = |tracestate, span_id, (parent_id, parent_remote)| Identity {
            trace_id: keep.trace_id,
            span_id,
            parent_id,
            parent_remote,
            flags: keep.flags,
            tracestate,
            start_unix_nanos: self.began(),
            end_unix_nanos: self.ended,
        };
        let caller = (keep.parent_id, keep.parent_id.is_some());
        match (self.attributes.kinds(), keep.server_span_id) {
            (Kinds::ServerAndClient, Some(id)) => {
                let of_both = Provenance { calls: None, ..provenance };
                let server = identity(tracestate.clone(), id, caller);
                take(span::build(settings, SpanKind::Server, server, &on_server, &of_both));
                let client = identity(tracestate, keep.span_id, (Some(id), false));
                take(span::build(settings, SpanKind::Client, client, &facts, &provenance));
            }
            (Kinds::One(SpanKind::Client), _) => {
                let client = identity(tracestate, keep.span_id, caller);
                take(span::build(settings, SpanKind::Client, client, &facts, &provenance));
            }
            (Kinds::One(SpanKind::Server), _) | (Kinds::ServerAndClient, None) => {
                let server = identity(tracestate, keep.span_id, caller);
                take(span::build(settings, SpanKind::Server, server, &on_server, &provenance));
            }
        }
    }
}

/// Why a stream is kept.
impl Facts {
    fn provenance<'a>(&'a self, keep: &Keep, policy: &'a Policy, calls: Option<Calls>) -> Provenance<'a> {
        Provenance {
            reason: keep.reason.name(),
            rule: policy.sampling.rule(keep.rule).map(|rule| rule.name.as_str()),
            xray_rule: self.xray_rule.as_deref(),
            force_key: match keep.reason {
                Reason::Forced { key } => policy.force.as_ref().and_then(|force| force.key_id(key)),
                _ => None,
            },
            trigger: keep.trigger,
            adjusted_count: keep.adjusted_count,
            calls,
            unrecorded_parent: keep.unrecorded_parent,
        }
    }
}

/// What recall asks of a stream that has ended.
impl Facts {
    /// Whether the stream was a call to another instance, or held one.
    pub fn is_call(&self) -> bool {
        self.attributes.kinds() != Kinds::One(SpanKind::Server)
    }

    /// Whether the stream was a call of the application beside this proxy, and nothing else.
    pub fn is_call_only(&self) -> bool {
        self.attributes.kinds() == Kinds::One(SpanKind::Client)
    }

    /// What the stream saw of its own call.
    pub fn call(&self, keep: &Keep) -> CallFacts {
        let flags = self.attributes.flags;
        CallFacts {
            reached: self.attributes.text(Attribute::UpstreamAddress).is_some()
                && !flags.contains(ResponseFlags::CONNECTION_FAILURE),
            sampled: keep.sent_sampled,
            answered: keep.status.is_some() && !flags.failed(),
            heard: keep.heard,
        }
    }

    /// The instance that was called, if it can be asked.
    pub fn destination(&self) -> Option<&str> {
        let address =
            self.attributes.text(Attribute::UpstreamAddress).filter(|address| wire::is_destination(address))?;
        str::from_utf8(address).ok()
    }

    /// The call went over TLS.
    pub fn is_tls(&self) -> bool {
        self.attributes.text(Attribute::UpstreamTls).is_some()
    }

    /// The cluster that was called.
    pub fn cluster(&self) -> &[u8] {
        self.attributes.text(Attribute::ClusterName).unwrap_or_default()
    }

    /// Unix nanoseconds.
    pub fn began(&self) -> u64 {
        self.attributes.started.unwrap_or(self.ended)
    }

    /// Unix nanoseconds.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Leaves of the headers what a span says.
    pub fn compact(&mut self, policy: &Policy) {
        let kept: Vec<_> = Pairs::new(&self.request).filter(|(key, _)| is_said(policy, key)).collect();
        self.request = pairs::encode(&kept);
        self.request.shrink_to_fit();
    }

    /// Bytes on the heap, with what the allocator adds to each block.
    pub fn bytes(&self) -> usize {
        const BLOCK: usize = 16;
        let blocks = [self.attributes.capacity(), self.request.capacity(), self.response.capacity()];
        let blocks = blocks.into_iter().filter(|capacity| 0 < *capacity);
        blocks.fold(0, |sum, capacity| sum.saturating_add(capacity).saturating_add(BLOCK))
    }
}

/// The request headers that a span is made of, the first of each name. Found in one pass.
#[derive(Default)]
struct Said<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    forwarded_proto: Option<&'a [u8]>,
    forwarded_host: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    original: Original<'a>,
}

impl<'a> Said<'a> {
    fn of(request: &[(&'a [u8], &'a [u8])]) -> Self {
        let mut said = Self::default();
        for (key, value) in request {
            if let Some(place) = said.place(key) {
                place.get_or_insert(value);
            }
            // There is one type of a body or none that anyone would know.
            if *key == b"content-type" && said.content_type != Some(value) {
                said.content_type = Some(b"");
            }
        }
        said
    }

    #[inline(always)] // Where only the name is asked for, nothing else is left of it.
    fn place(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        // First by the length, in one step.
        Some(match (key.len(), key) {
            (4, b"host") => &mut self.host,
            (5, b":path") => &mut self.path,
            (7, b":method") => &mut self.method,
            (7, b":scheme") => &mut self.scheme,
            (9, b"forwarded") => &mut self.forwarded,
            (10, b":authority") => &mut self.authority,
            (10, b"user-agent") => &mut self.user_agent,
            (12, b"content-type") => &mut self.content_type,
            (16, b"x-forwarded-host") => &mut self.forwarded_host,
            (17, b"x-forwarded-proto") => &mut self.forwarded_proto,
            (20, b"x-envoy-original-url") => &mut self.original.url,
            (21, b"x-envoy-original-path") => &mut self.original.path,
            (21, b"x-envoy-original-host") => &mut self.original.host,
            _ => return None,
        })
    }

    /// The lengths of these names, a bit for each.
    const LENGTHS: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 16 | 1 << 17 | 1 << 20 | 1 << 21;
}

/// What spans say of a request's headers, for one that is sampled: read once, at its head, where nothing can say more later. Behind a route
/// that rewrites it, the side that called knows at the end only where the call went. `tracestate` is what goes upstream, and whether that
/// is as it was decided.
#[inline(never)]
pub fn said<'a, V: HeaderView<'a>>(
    policy: &Policy,
    headers: V,
    (tracestate, as_decided): (Option<&[u8]>, bool),
) -> Option<Box<HeadersSaid>> {
    let is_enough = policy.span_kind == KindSetting::Server
        && policy.attributes.request_headers.is_empty()
        && !policy.upgrade.recall.enabled;
    if !is_enough {
        return None;
    }
    let mut said = Vec::with_capacity(16);
    headers.of_lengths(Said::LENGTHS, |name, value| {
        if Said::default().place(name).is_some() {
            said.push((name, value));
        }
    });
    said.extend(tracestate.map(|value| (&b"tracestate"[..], value)));
    Some(Box::new(HeadersSaid { headers: pairs::encode(&said), as_decided }))
}

/// What went upstream, with the probability that the exported span really has. `is_final`: it has that already.
fn exported_tracestate(request: &[(&[u8], &[u8])], keep: &Keep, is_final: bool) -> Option<Vec<u8>> {
    let lines = request.iter().filter(|(key, _)| *key == b"tracestate").map(|(_, value)| *value);
    let propagated = join(lines).unwrap_or_default();
    if is_final {
        return (!propagated.is_empty()).then_some(propagated);
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
    if names.is_empty() {
        return Vec::new();
    }
    let is_listed = |key: &[u8]| is_listed(names, key);
    entries.iter().filter(|(key, _)| is_listed(key)).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn is_listed(names: &[String], key: &[u8]) -> bool {
    names.iter().any(|name| name.as_bytes() == key)
}

/// Whether a span of this configuration says anything of that request header.
fn is_said(policy: &Policy, key: &[u8]) -> bool {
    key == b"tracestate" || Said::default().place(key).is_some() || is_listed(&policy.attributes.request_headers, key)
}
