//! From a span to what the collector's `awsxray` exporter makes of it: X-Ray's segment document.
//!
//! The rules are those of `exporter/awsxrayexporter` 0.158 (opentelemetry-collector-contrib), for the spans of an HTTP proxy:
//! no database, messaging or AWS SDK spans, no links, no exception events. Own code; `examples/xray/README.md` says where it
//! stands in for the collector.

mod attributes;
mod aws;
mod http;

use crate::limits::Refusal;
use crate::settings::ExporterSettings;
use attributes::Attributes;
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;
use tracelift_envoy::ReceivedSpan;

pub use attributes::annotation_key;

/// Longest name that the exporter makes of a span's name.
const NAME: usize = 200;

/// The documents of one span: one, and two for a client's span that says it is the first of its service here.
pub fn documents(received: &ReceivedSpan, settings: &ExporterSettings) -> Result<Vec<Value>, Refusal> {
    let span = Attributes::of(&received.span.attributes);
    let local_root = span.text("aws.span.kind") == Some("LOCAL_ROOT");
    if !local_root || received.kind() == SpanKind::Server {
        return Ok(vec![document(received, &span, settings)?]);
    }
    // Its service gets a segment of its own, and the call hangs below it.
    let mut call = document(received, &span, settings)?;
    let mut service = call.clone();
    let id = service_segment_id(received);
    service["id"] = id.clone().into();
    service["name"] = span.text("aws.local.service").unwrap_or_default().into();
    call["parent_id"] = id.into();
    call["type"] = "subsegment".into();
    call["namespace"] = "remote".into();
    if let Some(service) = service.as_object_mut() {
        for of_the_call in ["http", "type", "namespace"] {
            service.remove(of_the_call);
        }
    }
    Ok(vec![service, call])
}

/// Any id will do that no span has; the exporter draws one.
fn service_segment_id(received: &ReceivedSpan) -> String {
    let id = received.span.span_id.iter().fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    format!("{:016x}", !id)
}

fn document<'a>(
    received: &'a ReceivedSpan,
    span: &Attributes<'a>,
    settings: &ExporterSettings,
) -> Result<Value, Refusal> {
    let resource = Attributes::of(&received.resource.attributes);
    let server = received.kind() == SpanKind::Server;
    let subsegment = !server && !received.parent_span_id().is_empty();
    let mut left = span.clone();
    let http = http::section(&mut left, server);
    let flags = Flags::of(span, received.span.status.as_ref());

    let mut document = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = value.is_null() || value == "" || value == json!({});
        if !empty {
            document.insert(key.to_owned(), value);
        }
    };
    put("id", received.span_id().into());
    put("trace_id", crate::stored::xray_id(&received.trace_id()).into());
    put("parent_id", received.parent_span_id().into());
    put("name", name(received, span, &resource, server).into());
    put("start_time", seconds(received.span.start_time_unix_nano).into());
    put("end_time", seconds(received.span.end_time_unix_nano).into());
    put("fault", flags.fault.into());
    put("error", flags.error.into());
    put("throttle", flags.throttle.into());
    put("cause", cause(received.span.status.as_ref()));
    put("origin", aws::origin(&resource).into());
    put("http", http);
    put("aws", aws::section(&mut left, &resource));
    put("service", json!({ "version": resource.text("service.version") }));
    if received.kind() == SpanKind::Client {
        put("namespace", "remote".into());
    }
    if subsegment {
        put("type", "subsegment".into());
    }
    let (annotations, metadata) =
        attributes::annotations_and_metadata(&mut left, span, (!subsegment).then_some(&resource), settings);
    put("annotations", annotations);
    put("metadata", metadata);
    let document = Value::Object(document);
    crate::limits::check(&document)?;
    Ok(document)
}

/// The colours of the ring on the map.
struct Flags {
    error: bool,
    fault: bool,
    throttle: bool,
}

impl Flags {
    /// By the HTTP status where there is one that tells, else by the span's status. A code given as text is not seen.
    fn of(span: &Attributes<'_>, status: Option<&Status>) -> Self {
        let code = span.int("http.response.status_code").or_else(|| span.int("http.status_code"));
        let failed = status.is_some_and(|status| status.code() == StatusCode::Error);
        match code {
            Some(code @ 400..=499) => Self { error: true, fault: false, throttle: code == 429 },
            Some(500..=599) => Self { error: false, fault: true, throttle: false },
            _ => Self { error: false, fault: failed, throttle: false },
        }
    }
}

/// The status description of an error, as an exception without a type.
fn cause(status: Option<&Status>) -> Value {
    let failed = status.filter(|status| status.code() == StatusCode::Error && !status.message.is_empty());
    match failed {
        Some(status) => json!({ "exceptions": [{ "id": "0000000000000001", "message": status.message }] }),
        None => Value::Null,
    }
}

/// X-Ray's names are those of services, and make the nodes of its map.
fn name(received: &ReceivedSpan, span: &Attributes<'_>, resource: &Attributes<'_>, server: bool) -> String {
    let of_aws = if server { "aws.local.service" } else { "aws.remote.service" };
    let of_resource = || if server { resource.text("service.name") } else { None };
    let found = [of_aws, "peer.service", "aws.service"].into_iter().find_map(|key| span.text(key));
    let found = found.or_else(of_resource);
    let found =
        found.or_else(|| ["rpc.service", "http.host", "server.address"].into_iter().find_map(|key| span.text(key)));
    match found {
        Some(name) => name.to_owned(),
        None => {
            let legal: String = received.name().chars().filter(|letter| crate::limits::is_of_a_name(*letter)).collect();
            let mut end = legal.len().min(NAME);
            while !legal.is_char_boundary(end) {
                end -= 1;
            }
            if legal.is_empty() { "span".to_owned() } else { legal[..end].to_owned() }
        }
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The first four bytes of a trace-id as the second that they would mean, for exporters that still look at it.
pub fn second_of(trace_id: &str) -> Option<u32> {
    u32::from_str_radix(trace_id.get(..8)?, 16).ok()
}

/// Whether an exporter before 0.84, or one whose gate `exporter.awsxray.skiptimestampvalidation` is off, drops the span:
/// its id must begin with a second of the last 28 days, or of the next 5 minutes. `now` is in Unix seconds.
pub fn refused_by_old_exporters(trace_id: &str, now: u64) -> bool {
    const AGE: i64 = 28 * 24 * 60 * 60;
    const SKEW: i64 = 5 * 60;
    let age = second_of(trace_id).map(|second| now as i64 - i64::from(second));
    !age.is_some_and(|age| (-SKEW..=AGE).contains(&age))
}

/// `X.X.X.X` or IPv6, without a port: only such a client is shown.
fn is_ip(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<std::net::Ipv6Addr>().is_ok()
}
