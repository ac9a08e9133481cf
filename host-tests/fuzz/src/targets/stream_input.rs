//! What streams are made of: mostly things that mean something, now and then any bytes.

use crate::Input;

/// Every room of the filter is entered by one of them.
pub(super) const CONFIGURATIONS: [&str; 12] = [
    r#"{"sampling": {"ratio": 0.5}, "upgrade": {"latency_ms": 1000}, "export": {"max_export_batch_size": 3, "scheduled_delay_ms": 200}}"#,
    r#"{"sampling": {"ratio": 1}, "export": {"protocol": "grpc", "compression": "gzip", "max_queue_size": 8, "max_export_batch_size": 2}}"#,
    r#"{"sampling": {"ratio": 0}, "propagators": ["xray", "b3", "b3multi", "tracecontext"], "upgrade": {"traces_per_second": 2}}"#,
    r#"{"sampling": {"ratio": 0.1, "rules": [{"name": "a", "match": {"path": {"prefix": "/a"}, "headers": {"x-a": {"regex": "^a+b"}}}, "ratio": 1, "latency_ms": 5}, {"name": "b", "match": {"host": {"suffix": ".b"}, "method": ["POST"]}, "ratio": 0, "upgrade": false}]}, "attributes": {"request_headers": ["x-a", "authorization"], "response_headers": ["location"], "query": true}}"#,
    r#"{"edge": true, "span_kind": "both", "sampling": {"mode": "independent", "ratio": 0.5}, "upgrade": {"http_status": ["4xx", "5xx"]}}"#,
    r#"{"span_kind": "client", "sampling": {"ratio": 0, "algorithm": "hash_seed"}, "upgrade": {"response_flags": false, "grpc_status": []}}"#,
    r#"{"span_kind": "server", "sampling": {"ratio": 0.5, "algorithm": "traceidratio"}, "export": {"max_queue_bytes": 1024, "timeout_ms": 50, "tracestate": false}}"#,
    r#"{"sampling": {"ratio": 0.5, "algorithm": "modulo"}, "upgrade": {"signal": {"emit": false, "accept": true}}, "resource": {"a": "b"}}"#,
    r#"{"sampling": {"ratio": 0}, "upgrade": {"recall": {"enabled": true, "cluster": "tracelift_recall", "token": "secret-of-the-mesh", "clusters": ["*"], "accept_previous": true}}}"#,
    r#"{"sampling": {"ratio": 0.2}, "span_kind": "server", "upgrade": {"recall": {"enabled": true, "cluster": "tracelift_recall", "token": "secret-of-the-mesh", "peers": ["spiffe://a/"], "hold_ms": 300, "max_bytes": 600}}}"#,
    r#"{"sampling": {"ratio": 0.1}, "shadow": {"sampling": {"ratio": 0.5, "rules": [{"name": "a", "match": {"path": {"prefix": "/a"}}, "ratio": 0}]}, "upgrade": {"http_status": ["4xx"], "latency_ms": 5, "traces_per_second": 2}}}"#,
    r#"{"sampling": {"ratio": 0.3, "xray": {"enabled": true, "cluster": "xray_proxy", "targets_interval_ms": 1000, "timeout_ms": 50}}}"#,
];

pub(super) const STATUSES: [u16; 8] = [200, 204, 302, 404, 429, 500, 503, 504];

pub(super) const HOSTCALLS: [&str; 17] = [
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_http_call",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_effective_context",
    "proxy_set_tick_period_milliseconds",
    "proxy_log",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
];

pub(super) const PROPERTIES: [&str; 18] = [
    "request.headers.traceparent",
    "request.time",
    "request.duration",
    "request.protocol",
    "response.flags",
    "response.code",
    "response.code_details",
    "response.grpc_status",
    "source.address",
    "destination.address",
    "upstream.address",
    "upstream.transport_failure_reason",
    "xds.route_name",
    "xds.cluster_name",
    "xds.listener_direction",
    "xds.node.metadata.OWNER",
    "connection.mtls",
    "connection.uri_san_peer_certificate",
];

/// Two traces, so that streams meet in one.
const CONTEXTS: [(&str, &str); 19] = [
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"),
    ("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", "ot=th:8;rv:0123456789abcd,vendor=x"),
    ("tracestate", "ot=th:fffffffffffff"),
    ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?;a=b"),
    ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("x-b3-spanid", "e457b5a2e4d86bd1"),
    ("traceparent", "ff-tracelift-recall-1"),
    ("traceparent", "ff-tracelift-recall-2"),
    (":path", "/.well-known/tracelift/recall"),
    ("x-tracelift-recall", "1;0af7651916cd43dd8448eb211c80319c,4bf92f3577b34da6a3ce929d0e0e4736"),
    ("x-tracelift-token", "secret-of-the-mesh"),
    ("x-tracelift-mac", "1;1795255200;6847dad0975839e8e31d5a58bbe1ad210d0fd6a6795a21f4439e80b250531b3d"),
    ("x-forwarded-for", "203.0.113.9"),
    ("content-type", "application/grpc"),
    ("x-a", "aab"),
];

const ANSWERS: [(&str, &str); 8] = [
    ("traceresponse", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("traceresponse", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ("x-tracelift-signal", "2;upgraded;0af7651916cd43dd8448eb211c80319c"),
    ("x-tracelift-signal", "2;shed;4bf92f3577b34da6a3ce929d0e0e4736,2;here;0af7651916cd43dd8448eb211c80319c"),
    ("server-timing", "db;dur=5, trace;desc=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("grpc-status", "14"),
    ("content-type", "application/grpc"),
    ("location", "https://user:password@a/?sig=b"),
];

pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The headers of a request.
pub(super) fn request(input: &mut Input<'_>) -> Pairs {
    let mut headers = Vec::new();
    for (name, usual) in [(":method", "GET"), (":path", "/a?sig=1"), (":authority", "a.b"), (":scheme", "http")] {
        match input.any::<u8>() {
            0 => {}
            1 => headers.push((name.into(), input.bytes().to_vec())),
            _ => headers.push((name.into(), usual.into())),
        }
    }
    more(&mut headers, input, &CONTEXTS);
    headers
}

/// Those of an answer beside its status.
pub(super) fn response(input: &mut Input<'_>) -> Pairs {
    let mut headers = Vec::new();
    more(&mut headers, input, &ANSWERS);
    headers
}

/// Known headers as they are, known ones with any value, and any.
fn more(headers: &mut Pairs, input: &mut Input<'_>, known: &[(&str, &str)]) {
    for _ in 0..input.below(6) {
        let (name, value) = input.one_of(known);
        headers.push(match input.below(4) {
            0 | 1 => (name.into(), value.into()),
            2 => (name.into(), input.bytes().to_vec()),
            _ => (input.bytes().to_vec(), input.bytes().to_vec()),
        });
    }
}
