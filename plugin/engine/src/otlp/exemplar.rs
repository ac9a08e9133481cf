//! A request that a point of a histogram shows: its span, and how long it took. `opentelemetry/proto/metrics/v1/metrics.proto`,
//! message `Exemplar`.

use super::protobuf::Writer;
use super::span::attribute;
use crate::sampling::Reason;
use crate::span::{Value, semconv};
use crate::trace_context::{SpanId, TraceId};

/// One of them. It travels with its span, so that it is shown only once the collector has that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// A hash of the series that the request is counted in, name included.
    pub series: u64,
    /// The series without its name, where that was given up.
    pub labels: u32,
    /// How long the request took.
    pub nanos: u64,
    /// Unix nanoseconds of its end.
    pub time: u64,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// An upgrade keeps the span.
    pub upgraded: bool,
    /// Why it is kept, by [`Reason::index`].
    pub reason: u8,
}

/// Appends it as a field of a point.
pub(super) fn append(out: &mut Writer, tag: u32, exemplar: &Exemplar) {
    let mut message = Writer::with_capacity(128);
    message.fixed64(2, exemplar.time); // time_unix_nano
    message.fixed64(3, (exemplar.nanos as f64 / 1e9).to_bits()); // as_double
    message.bytes(4, &exemplar.span_id.to_bytes()); // span_id
    message.bytes(5, &exemplar.trace_id.to_bytes()); // trace_id
    if let Some(reason) = Reason::NAMES.get(usize::from(exemplar.reason)) {
        attribute(&mut message, 7, semconv::SAMPLING_REASON, &Value::Text((*reason).into())); // filtered_attributes
    }
    out.bytes(tag, &message.into_bytes());
}
