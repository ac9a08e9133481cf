//! What the module exported, decoded with the generated OTLP types: no code in common with the module's encoder.

use std::fmt;
use std::io::Read;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
/// Kind of an exported span.
pub use proto::span::SpanKind;
/// Status code of an exported span.
pub use proto::status::StatusCode;

use crate::callout::{Callout, CalloutId, CalloutKind, CalloutState};
use crate::envoy::Envoy;
use crate::measured;

const SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";

/// One export request that the module sent.
#[derive(Clone, Debug)]
pub struct Export {
    /// The callout that carried it.
    pub callout: CalloutId,
    /// Where the callout stands.
    pub state: CalloutState,
    /// The decoded message.
    pub request: ExportTraceServiceRequest,
    /// Bytes of the body as sent, gRPC frame included.
    pub wire_size: usize,
}

/// Why an export's body is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// The gRPC frame is cut or holds more than one message.
    Frame,
    /// gzip does not unpack it.
    Gzip(String),
    /// It is not the message.
    Message(String),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame => write!(f, "the gRPC frame is cut or holds more than one message"),
            Self::Gzip(reason) => write!(f, "the body is no gzip: {reason}"),
            Self::Message(reason) => write!(f, "the body is no ExportTraceServiceRequest: {reason}"),
        }
    }
}

impl std::error::Error for ExportError {}

/// Exports, in the order they were sent.
#[derive(Clone, Debug)]
pub struct Exports(Vec<Export>);

impl Envoy {
    /// Every export that reached a collector, repetitions of failed ones included.
    ///
    /// # Panics
    /// If one does not decode.
    pub fn exports(&self) -> Exports {
        let sent = self.callouts().iter().filter(|callout| is_export(callout) && callout.delivered());
        Exports(sent.map(|callout| decode(callout).unwrap_or_else(|error| panic!("{callout:?}: {error}"))).collect())
    }
}

/// Whether a callout carries spans: by its gRPC service, or by a protobuf body posted as OTLP/HTTP does.
pub fn is_export(callout: &Callout) -> bool {
    let content = callout.headers.get("content-type").unwrap_or_default();
    match &callout.kind {
        CalloutKind::Grpc { service, .. } | CalloutKind::GrpcStream { service, .. } => service == SERVICE,
        CalloutKind::Http if content.starts_with(b"application/grpc") => callout.path() == format!("/{SERVICE}/Export"),
        CalloutKind::Http => content == b"application/x-protobuf" && !measured::is_export(callout),
    }
}

/// Reads an export's body: gzip by `content-encoding`, or in a gRPC frame by its flag.
///
/// # Errors
/// If it is no such message.
pub fn decode(callout: &Callout) -> Result<Export, ExportError> {
    let request = message(callout)?;
    Ok(Export { callout: callout.id, state: callout.state.clone(), request, wire_size: callout.body.len() })
}

/// The message in an export's body.
pub(crate) fn message<M: Message + Default>(callout: &Callout) -> Result<M, ExportError> {
    let header = |name: &str| callout.headers.get(name).unwrap_or_default();
    let framed = callout.kind == CalloutKind::Http && header("content-type").starts_with(b"application/grpc");
    let body = if framed {
        unframe(&callout.body)?
    } else if header("content-encoding") == b"gzip" {
        unzip(&callout.body)?
    } else {
        callout.body.clone()
    };
    M::decode(&body[..]).map_err(|error| ExportError::Message(error.to_string()))
}

/// gRPC over HTTP/2, "Length-Prefixed-Message": a flag, four bytes of length, the message.
fn unframe(body: &[u8]) -> Result<Vec<u8>, ExportError> {
    let ([compressed, length @ ..], message) = body.split_first_chunk::<5>().ok_or(ExportError::Frame)?;
    if message.len() != u32::from_be_bytes(*length) as usize {
        return Err(ExportError::Frame);
    }
    match compressed {
        0 => Ok(message.to_vec()),
        1 => unzip(message),
        _ => Err(ExportError::Frame),
    }
}

fn unzip(body: &[u8]) -> Result<Vec<u8>, ExportError> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(body).read_to_end(&mut plain);
    read.map_err(|error| ExportError::Gzip(error.to_string()))?;
    Ok(plain)
}

impl Exports {
    /// Only those that the collector took.
    pub fn accepted(self) -> Self {
        let accepted = |state: &CalloutState| matches!(state, CalloutState::Answered(answer) if answer.is_success());
        Self(self.0.into_iter().filter(|export| accepted(&export.state)).collect())
    }

    /// The exports one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Export> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every span of every export.
    pub fn spans(&self) -> Vec<ExportedSpan> {
        self.0.iter().flat_map(Export::spans).collect()
    }

    /// The only span.
    ///
    /// # Panics
    /// If there is none or more than one.
    pub fn only_span(&self) -> ExportedSpan {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "expected one span, there are: {spans:#?}");
        spans.remove(0)
    }

    /// Spans of one trace, by its id in hex.
    pub fn trace(&self, trace_id: &str) -> Vec<ExportedSpan> {
        self.spans().into_iter().filter(|span| span.trace_id() == trace_id).collect()
    }
}

impl Export {
    /// The spans in it.
    pub fn spans(&self) -> Vec<ExportedSpan> {
        let mut spans = Vec::new();
        for resource_spans in &self.request.resource_spans {
            let resource = resource_spans.resource.clone().unwrap_or_default();
            for scope_spans in &resource_spans.scope_spans {
                let scope = scope_spans.scope.clone().unwrap_or_default().name;
                spans.extend(scope_spans.spans.iter().map(|span| ExportedSpan {
                    span: span.clone(),
                    resource: resource.clone(),
                    scope: scope.clone(),
                }));
            }
        }
        spans
    }
}

/// One span with the resource it came under.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedSpan {
    /// The span as generated types have it.
    pub span: proto::Span,
    /// Its resource.
    pub resource: Resource,
    /// Name of its instrumentation scope.
    pub scope: String,
}

impl ExportedSpan {
    /// Trace id in lower-case hex.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Span id in lower-case hex.
    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// Parent's span id in lower-case hex; empty for a root.
    pub fn parent_span_id(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// Name of the span.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Kind of the span.
    pub fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    /// Status code; unset if there is no status.
    pub fn status(&self) -> StatusCode {
        self.span.status.clone().unwrap_or_default().code()
    }

    /// An attribute of the span; [`Value::Absent`] if it has none of this key.
    pub fn attribute(&self, key: &str) -> Value {
        value_in(&self.span.attributes, key)
    }

    /// An attribute of its resource.
    pub fn resource_attribute(&self, key: &str) -> Value {
        value_in(&self.resource.attributes, key)
    }

    /// Keys of the span's attributes, in order.
    pub fn attribute_keys(&self) -> Vec<&str> {
        self.span.attributes.iter().map(|attribute| &attribute.key[..]).collect()
    }
}

/// An attribute's value; compares with strings, numbers and booleans.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No such attribute.
    Absent,
    /// A string.
    Text(String),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
}

impl Value {
    /// Whether the attribute exists.
    pub fn is_present(&self) -> bool {
        *self != Value::Absent
    }

    fn of(value: &AnyValue) -> Self {
        match &value.value {
            Some(ProtoValue::StringValue(text)) => Self::Text(text.clone()),
            Some(ProtoValue::IntValue(number)) => Self::Int(*number),
            Some(ProtoValue::DoubleValue(number)) => Self::Double(*number),
            Some(ProtoValue::BoolValue(flag)) => Self::Bool(*flag),
            Some(ProtoValue::BytesValue(bytes)) => Self::Bytes(bytes.clone()),
            Some(ProtoValue::ArrayValue(list)) => Self::List(list.values.iter().map(Self::of).collect()),
            other => panic!("a span attribute holds {other:?}"),
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, number: &i64) -> bool {
        *self == Self::Int(*number)
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, flag: &bool) -> bool {
        *self == Self::Bool(*flag)
    }
}

/// The value of a key, which must not occur twice.
fn value_in(attributes: &[KeyValue], key: &str) -> Value {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value =
        found.next().map_or(Value::Absent, |attribute| attribute.value.as_ref().map_or(Value::Absent, Value::of));
    assert!(found.next().is_none(), "attribute {key} occurs twice");
    value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
