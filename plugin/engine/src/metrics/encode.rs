//! Points as metrics of OTLP, one after the other: an export can be made in parts.

use super::histogram::BOUNDS_NANOS;
use super::{Aggregation, Histogram, Instrument, Labels, Settings, Temporality};
use crate::otlp::{Buckets, Exemplar, HistogramPoint, Histograms};

/// One point of one series.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// The metric and its attributes.
    pub labels: Labels,
    /// The route or the gRPC method; empty for none.
    pub name: &'a [u8],
    /// Unix nanoseconds from which on it counts.
    pub start: u64,
    /// What it counts.
    pub sum: &'a Histogram,
    /// Requests that it shows.
    pub exemplars: &'a [Exemplar],
}

/// The points of one export.
#[derive(Debug)]
pub struct Encoder {
    time: u64,
    points: u64,
    /// By [`Instrument`].
    metrics: [Histograms; Instrument::ALL.len()],
}

impl Encoder {
    /// An export of what was counted as of `time`, Unix nanoseconds.
    pub fn new(time: u64) -> Self {
        Self { time, points: 0, metrics: std::array::from_fn(|_| Histograms::default()) }
    }

    /// Unix nanoseconds as of which it counts.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Points so far.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Encodes a point, and returns how many bytes it has.
    pub fn append(&mut self, histogram: Aggregation, point: &Point<'_>) -> usize {
        let Some(metric) = self.metrics.get_mut(point.labels.instrument() as usize) else { return 0 };
        let sum = point.sum;
        // Explicit buckets are numbered from 0, and a window of them may begin later.
        let from_zero = match histogram {
            Aggregation::Exponential => Vec::new(),
            Aggregation::Explicit => sum.from_zero(BOUNDS_NANOS.len()),
        };
        let (buckets, counts) = match histogram {
            Aggregation::Exponential => {
                (Buckets::Exponential { scale: sum.scale(), zeros: sum.zeros(), offset: sum.first() }, sum.counts())
            }
            Aggregation::Explicit => (Buckets::Explicit { bounds_nanos: &BOUNDS_NANOS }, from_zero.as_slice()),
        };
        let name = str::from_utf8(point.name).unwrap_or_default();
        let mut attributes = Vec::with_capacity(6);
        point.labels.attributes(name, &mut |key, value| attributes.push((key, value)));
        self.points = self.points.saturating_add(1);
        metric.append(&HistogramPoint {
            attributes,
            start: point.start.min(self.time),
            time: self.time,
            count: sum.count(),
            sum: sum.sum_seconds(),
            buckets,
            counts,
            exemplars: point.exemplars,
        })
    }

    /// A field for each metric that has points.
    pub fn finish(self, settings: &Settings) -> Vec<u8> {
        let is_cumulative = settings.temporality == Temporality::Cumulative;
        let dot = if settings.namespace.is_empty() { "" } else { "." };
        let mut fields = Vec::new();
        for (instrument, metric) in Instrument::ALL.into_iter().zip(self.metrics) {
            let name = [settings.namespace.as_str(), dot, instrument.name()].concat();
            metric.finish(&name, instrument.description(), is_cumulative, &mut fields);
        }
        fields
    }
}
