//! From the facts of a stream to its span.

use std::borrow::Cow;

use super::address::{self, HostPort};
use super::attributes::Attributes;
use super::grpc::{self, Method};
use super::semconv as key;
use super::{
    AttributeSettings, HttpFacts, Identity, Provenance, Span, SpanKind, Value, bounds, name, outcome, redaction,
};
use crate::upgrade::Trigger;

/// Attributes that X-Ray shall make searchable, where a span has them.
const ANNOTATIONS: [&str; 8] = [
    key::SAMPLING_REASON,
    key::FORCE_KEY,
    key::UPGRADE_TRIGGER,
    key::SLOW_CULPRIT,
    key::SLOW_EXCESS,
    key::RESPONSE_FLAGS,
    key::UPSTREAM_CLUSTER,
    key::ROUTE_NAME,
];

/// Makes the span of one side of a stream. Any bytes will do: what cannot be read is left out.
pub fn build<'a>(
    settings: &AttributeSettings,
    kind: SpanKind,
    identity: Identity,
    facts: &HttpFacts<'a>,
    provenance: &Provenance<'a>,
) -> Span<'a> {
    let mut attributes = Attributes::new();
    let method = facts.method.and_then(name::known_method);
    let template = name::template(facts);
    let rpc = grpc::is_call(facts.content_type).then(|| grpc::method(facts));
    let grpc_status = facts.grpc_status.filter(|_| rpc.is_some());
    let outcome = outcome::judge(kind, facts, rpc.is_some());

    attributes.set(key::HTTP_REQUEST_METHOD, method.unwrap_or(key::OTHER).into());
    if method.is_none() {
        attributes.text(key::HTTP_REQUEST_METHOD_ORIGINAL, facts.method, bounds::METHOD);
    }
    url(&mut attributes, settings, kind, facts);
    ends(&mut attributes, kind, facts);
    attributes.int(key::HTTP_RESPONSE_STATUS_CODE, facts.status_code);
    if let Some(template) = template {
        attributes.set(if kind == SpanKind::Server { key::HTTP_ROUTE } else { key::URL_TEMPLATE }, template.into());
    }
    if let Some(rpc) = rpc {
        attributes.set(key::RPC_SYSTEM_NAME, "grpc".into());
        attributes.set(key::RPC_METHOD, if let Method::Known(name) = rpc { name } else { key::OTHER }.into());
        if let Method::Claimed(name) = rpc {
            attributes.set(key::RPC_METHOD_ORIGINAL, name.into());
        }
        if let Some(status) = grpc_status {
            attributes.set(key::RPC_STATUS_CODE, status.name().into());
        }
    }
    if let Some(error_type) = outcome.error_type {
        attributes.set(key::ERROR_TYPE, Value::Text(error_type));
    }
    if kind == SpanKind::Client && identity.parent_id.is_none() {
        local_root(&mut attributes, settings);
    }
    envoy(&mut attributes, facts);
    origin(&mut attributes, provenance);
    attributes.headers(key::HTTP_REQUEST_HEADER, &settings.request_headers, facts.request_headers);
    attributes.headers(key::HTTP_RESPONSE_HEADER, &settings.response_headers, facts.response_headers);
    annotate(&mut attributes);

    Span {
        trace_id: identity.trace_id,
        span_id: identity.span_id,
        parent_id: identity.parent_id,
        parent_remote: identity.parent_remote,
        flags: identity.flags.with_sampled(true),
        tracestate: identity.tracestate.and_then(tracestate),
        kind,
        name: name::span(method, template, rpc),
        start_unix_nanos: identity.start_unix_nanos,
        end_unix_nanos: identity.end_unix_nanos.max(identity.start_unix_nanos),
        attributes: attributes.into_list(),
        status: outcome.status,
    }
}

/// URL and server: in parts on SERVER spans, whole on CLIENT spans.
fn url<'a>(attributes: &mut Attributes<'a>, settings: &AttributeSettings, kind: SpanKind, facts: &HttpFacts<'a>) {
    let server = kind == SpanKind::Server;
    let (path, query) = redaction::split(facts.path.unwrap_or_default());
    let path = redaction::path(path);
    let query = query.filter(|query| settings.query && !query.is_empty()).map(redaction::query);
    let scheme = address::scheme(facts, server);
    let endpoint = if server { facts.destination_address } else { facts.upstream_address };
    let target = address::target(facts, server);
    let host = target.or_else(|| endpoint.and_then(HostPort::parse));

    if server {
        attributes.cow(key::URL_PATH, path, bounds::URL);
        attributes.cow(key::URL_QUERY, Cow::Owned(query.unwrap_or_default()), bounds::URL);
        attributes.text(key::USER_AGENT_ORIGINAL, facts.user_agent, bounds::TEXT);
    } else if let Some(host) = host {
        let mut full = Vec::with_capacity(path.len().min(bounds::URL).saturating_add(64));
        full.extend_from_slice(scheme.as_deref().unwrap_or("http").as_bytes());
        full.extend_from_slice(b"://");
        if target.is_some() && facts.authority.is_some_and(|authority| authority.contains(&b'@')) {
            full.extend_from_slice(redaction::USER_INFO.as_bytes());
            full.push(b'@');
        }
        let v6 = host.host.contains(&b':');
        full.extend_from_slice(if v6 { b"[" } else { b"" });
        full.extend_from_slice(host.host);
        full.extend_from_slice(if v6 { b"]" } else { b"" });
        if let Some(port) = host.port {
            full.push(b':');
            full.extend_from_slice(port.to_string().as_bytes());
        }
        if path.starts_with(b"/") {
            full.extend_from_slice(&path);
        }
        if let Some(query) = &query {
            full.push(b'?');
            full.extend_from_slice(query);
        }
        attributes.cow(key::URL_FULL, Cow::Owned(full), bounds::URL);
    }
    let port = host.and_then(|host| host.port).or_else(|| scheme.as_deref().and_then(address::default_port));
    if let Some(scheme) = scheme.filter(|_| server) {
        attributes.set(key::URL_SCHEME, Value::Text(scheme));
    }
    if let Some(host) = host {
        attributes.text(key::SERVER_ADDRESS, Some(host.host), bounds::HOST);
        attributes.int(key::SERVER_PORT, port);
    }
}

/// The other end of the connection, the client, and the protocol spoken.
fn ends<'a>(attributes: &mut Attributes<'a>, kind: SpanKind, facts: &HttpFacts<'a>) {
    let peer = if kind == SpanKind::Server { facts.source_address } else { facts.upstream_address };
    if let Some((peer, ip)) = peer.and_then(HostPort::parse).and_then(|peer| Some((peer, peer.ip()?))) {
        if kind == SpanKind::Server {
            attributes.set(key::CLIENT_ADDRESS, ip.into());
        }
        // Without a port the address came out of X-Forwarded-For, and is nobody that Envoy was connected to.
        if peer.port.is_some() {
            attributes.set(key::NETWORK_PEER_ADDRESS, ip.into());
            attributes.int(key::NETWORK_PEER_PORT, peer.port);
        }
    }
    let version = match facts.protocol {
        Some(b"HTTP/1.0") => "1.0",
        Some(b"HTTP/1.1") => "1.1",
        Some(b"HTTP/2") => "2",
        Some(b"HTTP/3") => "3",
        _ => "",
    };
    // What Envoy speaks with the upstream is its own affair, and no property tells it.
    if kind == SpanKind::Server && !version.is_empty() {
        attributes.set(key::NETWORK_PROTOCOL_VERSION, version.into());
    }
    if let Some(cluster) = facts.cluster_name.filter(|_| kind == SpanKind::Client) {
        attributes.text(key::PEER_SERVICE, name::peer_service(cluster), bounds::PEER);
    }
}

/// A call that begins a trace: without this X-Ray would take it for the service that it calls.
fn local_root(attributes: &mut Attributes<'_>, settings: &AttributeSettings) {
    if !settings.service_name.is_empty() {
        attributes.set(key::AWS_SPAN_KIND, "LOCAL_ROOT".into());
        attributes.cow(key::AWS_LOCAL_SERVICE, Cow::Owned(settings.service_name.clone().into_bytes()), bounds::TEXT);
    }
}

/// What Envoy did with the stream.
fn envoy<'a>(attributes: &mut Attributes<'a>, facts: &HttpFacts<'a>) {
    let flags = outcome::flags_text(facts.response_flags);
    if !flags.is_empty() {
        attributes.set(key::RESPONSE_FLAGS, Value::Text(Cow::Owned(flags)));
    }
    attributes.text(key::RESPONSE_CODE_DETAILS, outcome::local_details(facts), bounds::DESCRIPTION);
    attributes.text(key::UPSTREAM_CLUSTER, facts.cluster_name, bounds::CONFIGURED);
    attributes.text(key::ROUTE_NAME, facts.route_name, bounds::CONFIGURED);
}

/// Why the span exists.
fn origin<'a>(attributes: &mut Attributes<'a>, provenance: &Provenance<'a>) {
    if !provenance.reason.is_empty() {
        attributes.set(key::SAMPLING_REASON, provenance.reason.into());
    }
    attributes.text(key::SAMPLING_RULE, provenance.rule.map(str::as_bytes), bounds::CONFIGURED);
    attributes.text(key::AWS_XRAY_SAMPLING_RULE, provenance.xray_rule.map(str::as_bytes), bounds::CONFIGURED);
    attributes.text(key::FORCE_KEY, provenance.force_key.map(str::as_bytes), bounds::CONFIGURED);
    if let Some(count) = provenance.adjusted_count.filter(|count| count.is_finite()) {
        attributes.set(key::ADJUSTED_COUNT, Value::Double(count));
    }
    if let Some(trigger) = provenance.trigger {
        attributes.set(key::UPGRADE_TRIGGER, trigger.name().into());
        attributes.set(key::SAMPLING_PRIORITY, Value::Int(1));
    }
    if let Some(Trigger::Slow(slow)) = provenance.trigger {
        attributes.set(key::SLOW_CULPRIT, Value::Bool(true));
        attributes.set(key::SLOW_BASELINE, Value::Int(slow.baseline_ms.into()));
        attributes.set(key::SLOW_EXCESS, Value::Int(slow.excess_ms.into()));
    }
    if let Some(parent_id) = provenance.unrecorded_parent {
        attributes.set(key::UNRECORDED_PARENT, Value::Text(Cow::Owned(parent_id.to_string())));
    }
    if let Some(calls) = provenance.calls {
        let counts = [calls.made, calls.answered, calls.outside, calls.lost];
        for (key, count) in key::CALLS.into_iter().zip(counts) {
            attributes.set(key, Value::Int(i64::from(count)));
        }
    }
}

/// X-Ray keeps attributes out of its search unless a span names them.
fn annotate(attributes: &mut Attributes<'_>) {
    let names = attributes.among(&ANNOTATIONS).map(Cow::Borrowed).collect::<Vec<_>>();
    if !names.is_empty() {
        attributes.set(key::AWS_XRAY_ANNOTATIONS, Value::TextArray(names));
    }
}

/// A `tracestate` goes out whole or not at all.
fn tracestate(value: Vec<u8>) -> Option<String> {
    let legal = !value.is_empty() && value.len() <= bounds::TRACESTATE && value.is_ascii();
    String::from_utf8(value).ok().filter(|_| legal)
}
