//! Points as metrics of OTLP.

use super::histogram::BOUNDS_NANOS;
use super::{Aggregation, Instrument, Point, Settings, Temporality};
use crate::otlp::{Buckets, HistogramPoint, histogram};

/// Encodes the points as of `now` (Unix nanoseconds): a field for each metric that has some.
pub fn encode(settings: &Settings, points: &[Point], now: u64) -> Vec<u8> {
    let bounds = BOUNDS_NANOS.map(|nanos| nanos as f64 / 1e9);
    let is_cumulative = settings.temporality == Temporality::Cumulative;
    let mut fields = Vec::new();
    for instrument in Instrument::ALL {
        let ours = points.iter().filter(|point| point.labels.instrument() == instrument);
        // Explicit buckets are numbered from 0, and a window of them may begin later.
        let counts: Vec<Vec<u64>> = match settings.histogram {
            Aggregation::Exponential => Vec::new(),
            Aggregation::Explicit => ours.clone().map(|point| point.sum.from_zero(bounds.len())).collect(),
        };
        let mut explicit = counts.iter();
        let points: Vec<_> = ours
            .map(|point| {
                let sum = &point.sum;
                let (buckets, counts) = match explicit.next() {
                    Some(counts) => (Buckets::Explicit { bounds: &bounds }, counts.as_slice()),
                    None => {
                        let (scale, zeros, offset) = (sum.scale(), sum.zeros(), sum.first());
                        (Buckets::Exponential { scale, zeros, offset }, sum.counts())
                    }
                };
                let mut attributes = Vec::with_capacity(6);
                point.labels.attributes(&point.name, &mut |key, value| attributes.push((key, value)));
                let (start, count) = (point.start.min(now), sum.count());
                let (sum, exemplars) = (sum.sum_seconds(), point.exemplars.as_slice());
                HistogramPoint { attributes, start, time: now, count, sum, buckets, counts, exemplars }
            })
            .collect();
        if !points.is_empty() {
            let name =
                [settings.namespace.as_str(), if settings.namespace.is_empty() { "" } else { "." }, instrument.name()];
            fields.extend(histogram(&name.concat(), instrument.description(), is_cumulative, &points));
        }
    }
    fields
}
