//! OTLP messages. A span is encoded once, when it is offered; a request is the envelope around such spans.

use std::borrow::Cow;

use super::exemplar::Exemplar;
use super::protobuf::Writer;
use crate::http::copy;
use crate::identity;
use crate::span::{Resource, Span, SpanKind, Status, Value};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u32 = 2;
/// `ScopeSpans.spans`.
const SPANS: u32 = 2;
/// `SpanFlags`: the next bit says something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SpanFlags`: the parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// `Status.StatusCode`.
const STATUS_CODE_ERROR: u64 = 2;
/// Bytes that most spans stay below.
const ORDINARY: usize = 1024;
/// Bytes that are kept for the next span.
const KEPT: usize = 16 * 1024;
/// The head of a span's field: its key, and two bytes of a length from 128 to 16,383, as nearly every span has.
const FIELD_HEAD: usize = 3;

/// One span in wire form: the `spans` field of an OTLP `ScopeSpans`, key and length included, so that a batch is
/// made by concatenation and its size is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedSpan {
    field: Box<[u8]>,
    upgraded: bool,
    exemplar: Option<Box<Exemplar>>,
}

impl EncodedSpan {
    /// `field` is a whole `ScopeSpans.spans` field, of an ordinary span.
    pub fn from_field(field: Vec<u8>) -> Self {
        Self { field: field.into_boxed_slice(), upgraded: false, exemplar: None }
    }

    /// Says whether an upgrade keeps the span, so that room is reserved for it.
    pub fn upgraded(self, upgraded: bool) -> Self {
        Self { upgraded, ..self }
    }

    /// With what a point of a metric may show once the collector has the span.
    pub fn shown_by(self, exemplar: Option<&Exemplar>) -> Self {
        Self { exemplar: exemplar.map(|exemplar| Box::new(*exemplar)), ..self }
    }

    /// What a point of a metric may show once the collector has the span.
    pub fn exemplar(&self) -> Option<&Exemplar> {
        self.exemplar.as_deref()
    }

    /// Whether an upgrade keeps the span.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Bytes that this span adds to a request and to the queue.
    #[allow(clippy::len_without_is_empty, reason = "a field has at least its key")]
    pub fn len(&self) -> usize {
        self.field.len()
    }

    /// The field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.field
    }
}

/// Encodes spans for the queue, each in one pass and without the generated types, whose copies of every text cost four times as
/// much as the rest of a sampled request. It keeps the memory that it writes in, and measures nothing before.
#[derive(Debug, Default)]
pub struct SpanEncoder(Writer);

/// Encodes one span; for many, [`SpanEncoder`].
pub fn encode_span(span: &Span<'_>, tracestate: bool) -> EncodedSpan {
    SpanEncoder::default().encode(span, tracestate)
}

impl SpanEncoder {
    /// Encodes a span. Without `tracestate` the whole `trace_state` stays empty, and with it `th` and `rv`.
    ///
    /// OTLP 1.x, `opentelemetry/proto/trace/v1/trace.proto`, message `Span`; the field numbers stand beside their names.
    pub fn encode(&mut self, span: &Span<'_>, tracestate: bool) -> EncodedSpan {
        let message = &mut self.0;
        message.clear();
        if message.capacity() == 0 {
            *message = Writer::with_capacity(ORDINARY);
        }
        message.append(&[0; FIELD_HEAD]); // Written when the length is known.
        message.bytes(1, &span.trace_id.to_bytes()); // trace_id
        message.bytes(2, &span.span_id.to_bytes()); // span_id
        if let Some(members) = span.tracestate.as_deref().filter(|members| tracestate && !members.is_empty()) {
            message.bytes(3, members.as_bytes()); // trace_state
        }
        if let Some(parent) = span.parent_id {
            message.bytes(4, &parent.to_bytes()); // parent_span_id
        }
        message.bytes(5, span.name.as_bytes()); // name
        let kind = match span.kind {
            SpanKind::Server => 2, // SPAN_KIND_SERVER
            SpanKind::Client => 3, // SPAN_KIND_CLIENT
        };
        message.varint(6, kind); // kind
        message.fixed64(7, span.start_unix_nanos); // start_time_unix_nano
        message.fixed64(8, span.end_unix_nanos); // end_time_unix_nano
        for (key, value) in &span.attributes {
            attribute(message, 9, key, value); // attributes
        }
        if let Status::Error { description } = &span.status {
            status(message, description);
        }
        let remote = if span.parent_remote { IS_REMOTE } else { 0 };
        message.fixed32(16, u32::from(span.flags.bits()) | HAS_IS_REMOTE | remote); // flags
        let encoded = EncodedSpan { field: with_head(message), upgraded: false, exemplar: None };
        if KEPT < self.0.capacity() {
            self.0 = Writer::default();
        }
        encoded
    }
}

/// The status of a failure.
fn status(message: &mut Writer, description: &str) {
    let text = if description.is_empty() { 0 } else { Writer::bytes_len(2, description.len()) };
    message.message(15, text.saturating_add(Writer::varint_len(3, STATUS_CODE_ERROR))); // status
    if !description.is_empty() {
        message.bytes(2, description.as_bytes()); // message
    }
    message.varint(3, STATUS_CODE_ERROR); // code
}

/// Writes the head of the field into the room before the message.
fn with_head(message: &mut Writer) -> Box<[u8]> {
    let field = message.as_bytes_mut();
    let len = field.len().saturating_sub(FIELD_HEAD);
    if let (0x80..0x4000, Some(head)) = (len, field.first_chunk_mut::<FIELD_HEAD>()) {
        *head = [Writer::delimited_key(SPANS), len as u8 | 0x80, (len >> 7) as u8];
        return Box::from(message.as_bytes());
    }
    let mut other = Writer::with_capacity(Writer::bytes_len(SPANS, len));
    other.bytes(SPANS, field.get(FIELD_HEAD..).unwrap_or_default());
    other.into_bytes().into_boxed_slice()
}

/// A `KeyValue` with an `AnyValue` in it. `opentelemetry/proto/common/v1/common.proto`.
pub(super) fn attribute(out: &mut Writer, tag: u32, key: &str, value: &Value<'_>) {
    let is_written = match value {
        Value::Text(text) => short_text(out, tag, key.as_bytes(), text.as_bytes()),
        Value::Int(value) => small_int(out, tag, key.as_bytes(), *value),
        _ => false,
    };
    if is_written {
        return;
    }
    let size = match value {
        Value::Text(text) => Writer::bytes_len(1, text.len()),
        Value::Bool(value) => Writer::varint_len(2, u64::from(*value)),
        Value::Int(value) => Writer::varint_len(3, value.cast_unsigned()),
        Value::Double(_) => Writer::FIXED64_LEN,
        Value::TextArray(texts) => Writer::bytes_len(5, array_len(texts)),
    };
    out.message(tag, Writer::bytes_len(1, key.len()).saturating_add(Writer::bytes_len(2, size)));
    out.bytes(1, key.as_bytes()); // key
    out.message(2, size); // value
    match value {
        Value::Text(text) => out.bytes(1, text.as_bytes()), // string_value
        Value::Bool(value) => out.varint(2, u64::from(*value)), // bool_value
        Value::Int(value) => out.varint(3, value.cast_unsigned()), // int_value
        Value::Double(value) => out.fixed64(4, value.to_bits()), // double_value
        Value::TextArray(texts) => {
            out.message(5, array_len(texts)); // array_value
            for text in texts {
                out.message(1, Writer::bytes_len(1, text.len())); // values
                out.bytes(1, text.as_bytes()); // string_value
            }
        }
    }
}

/// Writes an attribute of a text that is below 128 bytes with all that surrounds it, as most are: two heads at a time. `false`: it is
/// not.
fn short_text(out: &mut Writer, tag: u32, key: &[u8], text: &[u8]) -> bool {
    const HEADS: usize = 6; // Key's, value's and text's.
    if tag >= 16 || 0x80 <= key.len().saturating_add(text.len()).saturating_add(HEADS) {
        return false;
    }
    let (key_len, text_len) = (key.len() as u8, text.len() as u8);
    let value_len = text_len.saturating_add(2);
    let whole = key_len.saturating_add(value_len).saturating_add(4);
    let room = out.room(key.len().saturating_add(text.len()).saturating_add(HEADS + 2));
    if let Some((head, rest)) = room.split_first_chunk_mut()
        && let Some((key_room, rest)) = rest.split_at_mut_checked(key.len())
        && let Some((value_head, text_room)) = rest.split_first_chunk_mut()
    {
        *head = [Writer::delimited_key(tag), whole, Writer::delimited_key(1), key_len];
        copy(key_room, key); // key
        *value_head = [Writer::delimited_key(2), value_len, Writer::delimited_key(1), text_len];
        copy(text_room, text); // value.string_value
    }
    true
}

/// The same of a number from 128 to 2,097,151, as a status is, and nearly every port.
fn small_int(out: &mut Writer, tag: u32, key: &[u8], value: i64) -> bool {
    const HEADS: usize = 7; // Key's and value's, and the key of the number.
    const LONGEST: usize = 3;
    if tag >= 16 || 0x80 <= key.len().saturating_add(HEADS + LONGEST) || !(0x80..0x20_0000).contains(&value) {
        return false;
    }
    let is_long = 0x4000 <= value;
    let more = u8::from(is_long);
    let key_len = key.len() as u8;
    let room = out.room(key.len().saturating_add(HEADS + 2 + usize::from(is_long)));
    if let Some((head, rest)) = room.split_first_chunk_mut()
        && let Some((key_room, rest)) = rest.split_at_mut_checked(key.len())
        && let Some((tail, last)) = rest.split_first_chunk_mut()
    {
        let whole = key_len.saturating_add(7).saturating_add(more);
        *head = [Writer::delimited_key(tag), whole, Writer::delimited_key(1), key_len];
        copy(key_room, key); // key
        let second = (value >> 7) as u8 & 0x7f | more << 7;
        *tail = [Writer::delimited_key(2), 3 + more, Writer::varint_key(3), value as u8 | 0x80, second]; // value.int_value
        if let [last] = last {
            *last = (value >> 14) as u8;
        }
    }
    true
}

fn array_len(texts: &[Cow<'_, str>]) -> usize {
    let value = |text: &Cow<'_, str>| Writer::bytes_len(1, Writer::bytes_len(1, text.len()));
    texts.iter().map(value).fold(0, usize::saturating_add)
}

/// What surrounds the spans of a request: whose they are and who recorded them.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The `resource` field of `ResourceSpans`.
    resource: Vec<u8>,
    /// The `scope` field of `ScopeSpans`.
    scope: Vec<u8>,
}

impl Envelope {
    /// The envelope of this resource.
    pub fn new(resource: &Resource) -> Self {
        let mut attributes = Writer::with_capacity(1024);
        for (key, value) in resource.attributes() {
            attribute(&mut attributes, 1, key, value); // Resource.attributes
        }
        let mut resource = Writer::with_capacity(1024);
        resource.bytes(1, &attributes.into_bytes()); // ResourceSpans.resource
        let mut name = Writer::with_capacity(64);
        name.bytes(1, identity::NAME.as_bytes()); // InstrumentationScope.name
        name.bytes(2, identity::VERSION.as_bytes()); // InstrumentationScope.version
        let mut scope = Writer::with_capacity(64);
        scope.bytes(1, &name.into_bytes()); // ScopeSpans.scope
        Self { resource: resource.into_bytes(), scope: scope.into_bytes() }
    }

    /// The resource, encoded.
    pub fn resource(&self) -> &[u8] {
        &self.resource
    }

    /// The most that the envelope adds to the spans of a request, bytes.
    pub fn overhead(&self) -> usize {
        const HEADS: usize = 2 * (1 + 5); // Two fields below 2^35 bytes.
        self.resource.len().saturating_add(self.scope.len()).saturating_add(HEADS)
    }

    /// Appends an `ExportTraceServiceRequest` with these spans, which are `bytes` long together.
    pub fn wrap(&self, spans: &[EncodedSpan], bytes: usize, request: &mut Vec<u8>) {
        let scope_spans = self.scope.len().saturating_add(bytes);
        let resource_spans = self.resource.len().saturating_add(Writer::bytes_len(SCOPE_SPANS, scope_spans));
        request.reserve(Writer::bytes_len(RESOURCE_SPANS, resource_spans));
        let mut before = Writer::with_capacity(self.overhead());
        before.message(RESOURCE_SPANS, resource_spans);
        before.append(&self.resource);
        before.message(SCOPE_SPANS, scope_spans);
        before.append(&self.scope);
        request.extend_from_slice(before.as_bytes());
        for span in spans {
            request.extend_from_slice(span.as_bytes());
        }
    }
}
