//! Histograms in wire form. `opentelemetry/proto/metrics/v1/metrics.proto`, OTLP 1.x.
//!
//! A metric is encoded as the field of a `ScopeMetrics` that it is, whose key and whose surroundings have the numbers of a span's:
//! the same envelope goes around both.

use super::exemplar::{self, Exemplar};
use super::protobuf::Writer;
use super::span::attribute;
use crate::span::Value;

/// `ScopeMetrics.metrics`.
const METRICS: u32 = 2;
/// `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// The buckets of a point.
#[derive(Clone, Copy, Debug)]
pub enum Buckets<'a> {
    /// Between bounds, in seconds; one count more than there are bounds.
    Explicit {
        /// Upper bounds, rising, in nanoseconds.
        bounds_nanos: &'a [u64],
    },
    /// Powers of 2^(2^-scale).
    Exponential {
        /// The resolution.
        scale: i32,
        /// Values of 0.
        zeros: u64,
        /// Index of the first count.
        offset: i32,
    },
}

/// One point of a histogram.
#[derive(Clone, Debug)]
pub struct HistogramPoint<'a> {
    /// Attributes, no key twice.
    pub attributes: Vec<(&'static str, Value<'a>)>,
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
    /// Values in all.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Where the buckets are.
    pub buckets: Buckets<'a>,
    /// What is in them.
    pub counts: &'a [u64],
    /// Requests that it shows.
    pub exemplars: &'a [Exemplar],
}

/// The points of one metric of seconds, all with buckets of one kind.
#[derive(Debug, Default)]
pub struct Histograms {
    points: Writer,
    is_exponential: bool,
}

impl Histograms {
    /// Encodes a point, and returns how many bytes it has.
    pub fn append(&mut self, point: &HistogramPoint<'_>) -> usize {
        let before = self.points.as_bytes().len();
        self.is_exponential = matches!(point.buckets, Buckets::Exponential { .. });
        self.points.bytes(1, &encode(point)); // data_points
        self.points.as_bytes().len().saturating_sub(before)
    }

    /// Appends the metric to `fields`, if it has points.
    pub fn finish(self, name: &str, description: &str, is_cumulative: bool, fields: &mut Vec<u8>) {
        if self.points.as_bytes().is_empty() {
            return;
        }
        let mut data = self.points;
        data.varint(2, if is_cumulative { CUMULATIVE } else { DELTA }); // aggregation_temporality
        let data = data.into_bytes();
        let mut metric = Writer::with_capacity(data.len().saturating_add(256));
        metric.bytes(1, name.as_bytes());
        metric.bytes(2, description.as_bytes());
        metric.bytes(3, b"s"); // unit
        metric.bytes(if self.is_exponential { 10 } else { 9 }, &data); // exponential_histogram, histogram
        let metric = metric.into_bytes();
        let mut head = Writer::with_capacity(16);
        head.message(METRICS, metric.len());
        fields.extend_from_slice(head.as_bytes());
        fields.extend_from_slice(&metric);
    }
}

fn encode(point: &HistogramPoint<'_>) -> Vec<u8> {
    let mut out = Writer::with_capacity(512);
    let is_exponential = matches!(point.buckets, Buckets::Exponential { .. });
    for (key, value) in &point.attributes {
        attribute(&mut out, if is_exponential { 1 } else { 9 }, key, value);
    }
    for exemplar in point.exemplars {
        exemplar::append(&mut out, if is_exponential { 11 } else { 8 }, exemplar);
    }
    out.fixed64(2, point.start);
    out.fixed64(3, point.time);
    out.fixed64(4, point.count);
    out.fixed64(5, point.sum.to_bits());
    match point.buckets {
        Buckets::Explicit { bounds_nanos } => {
            let buckets = bounds_nanos.len().saturating_add(1);
            let counts = point.counts.iter().copied().chain(std::iter::repeat(0)).take(buckets);
            out.bytes(6, &counts.flat_map(u64::to_le_bytes).collect::<Vec<u8>>());
            let bounds = bounds_nanos.iter().map(|nanos| *nanos as f64 / 1e9);
            out.bytes(7, &bounds.flat_map(f64::to_le_bytes).collect::<Vec<u8>>());
        }
        Buckets::Exponential { scale, zeros, offset } => {
            out.varint(6, zigzag(scale));
            out.fixed64(7, zeros);
            let mut counts = Writer::with_capacity(point.counts.len().saturating_mul(2));
            point.counts.iter().for_each(|count| counts.raw(*count));
            let (offset, counts) = (zigzag(offset), counts.into_bytes());
            out.message(8, Writer::varint_len(1, offset).saturating_add(Writer::bytes_len(2, counts.len()))); // positive
            out.varint(1, offset);
            out.bytes(2, &counts);
        }
    }
    out.into_bytes()
}

/// `sint32`.
fn zigzag(value: i32) -> u64 {
    u64::from((value.cast_unsigned() << 1) ^ (value >> 31).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{ScopeMetrics, metric::Data};
    use prost::Message;

    use super::*;

    fn point<'a>(buckets: Buckets<'a>, counts: &'a [u64]) -> HistogramPoint<'a> {
        let attributes = vec![("http.route", Value::Text("/cart".into())), ("code", Value::Int(200))];
        HistogramPoint { attributes, start: 5, time: 9, count: 7, sum: 1.5, buckets, counts, exemplars: &[] }
    }

    fn histogram(name: &str, description: &str, is_cumulative: bool, points: &[HistogramPoint<'_>]) -> Vec<u8> {
        let (mut histograms, mut fields) = (Histograms::default(), Vec::new());
        let bytes: usize = points.iter().map(|point| histograms.append(point)).sum();
        assert!(30 < bytes, "{bytes}");
        histograms.finish(name, description, is_cumulative, &mut fields);
        fields
    }

    #[test]
    fn the_published_messages_read_what_is_written() {
        let exponential = point(Buckets::Exponential { scale: -1, zeros: 2, offset: -33 }, &[1, 0, 300]);
        let field = histogram("a.b", "What it is.", true, &[exponential]);
        let read = ScopeMetrics::decode(field.as_slice()).expect("OTLP").metrics.remove(0);
        assert_eq!((read.name.as_str(), read.description.as_str(), read.unit.as_str()), ("a.b", "What it is.", "s"));
        let Some(Data::ExponentialHistogram(read)) = read.data else { panic!("exponential") };
        assert_eq!(read.aggregation_temporality, 2);
        let read = &read.data_points[0];
        assert_eq!((read.start_time_unix_nano, read.time_unix_nano, read.count, read.sum), (5, 9, 7, Some(1.5)));
        assert_eq!((read.scale, read.zero_count, read.attributes.len()), (-1, 2, 2));
        let positive = read.positive.as_ref().expect("buckets");
        assert_eq!((positive.offset, positive.bucket_counts.as_slice()), (-33, &[1, 0, 300][..]));

        let explicit = point(Buckets::Explicit { bounds_nanos: &[500_000_000, 1_000_000_000] }, &[4, 3]);
        let field = histogram("a.b", "", false, &[explicit]);
        let read = ScopeMetrics::decode(field.as_slice()).expect("OTLP").metrics.remove(0);
        let Some(Data::Histogram(read)) = read.data else { panic!("explicit") };
        assert_eq!(read.aggregation_temporality, 1);
        let read = &read.data_points[0];
        assert_eq!((read.bucket_counts.as_slice(), read.explicit_bounds.as_slice()), (&[4, 3, 0][..], &[0.5, 1.0][..]));
        assert_eq!((read.count, read.attributes.len()), (7, 2));
    }
}
