//! Points of metrics by their label sets, read with the generated types and made comparable.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, number_data_point,
};
use std::collections::BTreeMap;
use tracelift_envoy::collector::measured::Export;

/// What tells HTTP requests apart, and gRPC calls, of which spans say more than metrics do.
const HTTP: [&str; 6] = [
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "otel.metric.overflow",
    "url.scheme",
];
const RPC: [&str; 5] = ["error.type", "otel.metric.overflow", "rpc.method", "rpc.status_code", "rpc.system.name"];

/// Points by `key=value,…`.
pub type Cells = BTreeMap<String, Point>;

/// What was measured of one label set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Requests, or what a sum says, rounded.
    pub count: u64,
    /// Of their durations, in seconds; of a sum, what it says.
    pub sum: f64,
    /// Where the durations are.
    pub buckets: Buckets,
    /// Unix nanoseconds of the earliest start.
    pub start: u64,
    /// Unix nanoseconds of the latest end.
    pub time: u64,
}

/// Counts of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Buckets {
    /// It is a sum.
    #[default]
    None,
    /// Between bounds in seconds, one count more than there are bounds.
    Explicit {
        /// The bounds.
        bounds: Vec<f64>,
        /// The counts.
        counts: Vec<u64>,
    },
    /// Powers of 2^(2^-scale) by index, empty ones left out.
    Exponential {
        /// The resolution.
        scale: i32,
        /// Durations of 0.
        zeros: u64,
        /// The counts.
        counts: BTreeMap<i32, u64>,
    },
}

impl Buckets {
    /// At this scale or a smaller one, by perfect subsetting: two buckets become one for each step.
    #[must_use]
    pub fn at_most(&self, wanted: i32) -> Self {
        match self {
            Self::Exponential { scale, zeros, counts } if wanted < *scale => {
                let mut coarse = BTreeMap::new();
                for (index, count) in counts {
                    *coarse.entry(index >> (scale - wanted)).or_default() += count;
                }
                Self::Exponential { scale: wanted, zeros: *zeros, counts: coarse }
            }
            other => other.clone(),
        }
    }

    /// Its resolution; none unless it is exponential.
    pub fn scale(&self) -> Option<i32> {
        match self {
            Self::Exponential { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// All counts, which must be the histogram's.
    pub fn total(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Explicit { counts, .. } => counts.iter().sum(),
            Self::Exponential { zeros, counts, .. } => zeros + counts.values().sum::<u64>(),
        }
    }

    fn plus(self, other: &Self) -> Self {
        let scale = self.scale().into_iter().chain(other.scale()).min().unwrap_or_default();
        match (self.at_most(scale), other.at_most(scale)) {
            (Self::None, other) => other,
            (Self::Explicit { bounds, mut counts }, Self::Explicit { bounds: same, counts: more }) => {
                assert_eq!(bounds, same);
                counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
                Self::Explicit { bounds, counts }
            }
            (
                Self::Exponential { zeros, mut counts, .. },
                Self::Exponential { zeros: more_zeros, counts: more, .. },
            ) => {
                for (index, count) in more {
                    *counts.entry(index).or_default() += count;
                }
                Self::Exponential { scale, zeros: zeros + more_zeros, counts }
            }
            (one, other) => panic!("two kinds of one metric: {one:?}, {other:?}"),
        }
    }
}

impl Point {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.buckets = std::mem::take(&mut self.buckets).plus(&other.buckets);
        self.start = if self.start == 0 { other.start } else { self.start.min(other.start) };
        self.time = self.time.max(other.time);
    }
}

impl From<&HistogramDataPoint> for Point {
    fn from(point: &HistogramDataPoint) -> Self {
        let buckets = Buckets::Explicit { bounds: point.explicit_bounds.clone(), counts: point.bucket_counts.clone() };
        Self::histogram(point.count, point.sum, buckets, point.start_time_unix_nano, point.time_unix_nano)
    }
}

impl From<&ExponentialHistogramDataPoint> for Point {
    fn from(point: &ExponentialHistogramDataPoint) -> Self {
        let positive = point.positive.clone().unwrap_or_default();
        let indexed = (positive.offset..).zip(positive.bucket_counts).filter(|(_, count)| *count != 0);
        let buckets = Buckets::Exponential { scale: point.scale, zeros: point.zero_count, counts: indexed.collect() };
        Self::histogram(point.count, point.sum, buckets, point.start_time_unix_nano, point.time_unix_nano)
    }
}

impl From<&NumberDataPoint> for Point {
    fn from(point: &NumberDataPoint) -> Self {
        let sum = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => 0.0,
        };
        let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
        Self { count: 0, sum, buckets: Buckets::None, start, time }
    }
}

impl Point {
    fn histogram(count: u64, sum: Option<f64>, buckets: Buckets, start: u64, time: u64) -> Self {
        assert_eq!(buckets.total(), count, "the buckets have another count than the point");
        Self { count, sum: sum.unwrap_or_default(), buckets, start, time }
    }
}

/// The points of one export whose metric has a name that begins so.
pub fn cells(export: &Export, name: &str) -> Cells {
    let mut cells = Cells::new();
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics).filter(|metric| metric.name.starts_with(name)) {
        for (attributes, point) in of_metric(metric) {
            cells.entry(cell(attributes)).or_default().add(&point);
        }
    }
    cells
        .values_mut()
        .filter(|cell| cell.buckets == Buckets::None)
        .for_each(|cell| cell.count = cell.sum.round() as u64);
    cells
}

fn of_metric(metric: &Metric) -> Vec<(&[KeyValue], Point)> {
    match metric.data.as_ref() {
        Some(Data::Histogram(it)) => it.data_points.iter().map(|it| (it.attributes.as_slice(), it.into())).collect(),
        Some(Data::ExponentialHistogram(it)) => {
            it.data_points.iter().map(|it| (it.attributes.as_slice(), it.into())).collect()
        }
        Some(Data::Sum(it)) => it.data_points.iter().map(|it| (it.attributes.as_slice(), it.into())).collect(),
        _ => Vec::new(),
    }
}

/// What cumulative exports say in the end.
pub fn newest(exports: &[Export], name: &str) -> Cells {
    exports.iter().rev().map(|export| cells(export, name)).find(|cells| !cells.is_empty()).unwrap_or_default()
}

/// What delta exports come to.
pub fn summed(exports: &[Export], name: &str) -> Cells {
    let mut all = Cells::new();
    for export in exports {
        for (key, point) in cells(export, name) {
            all.entry(key).or_default().add(&point);
        }
    }
    all.values_mut().filter(|cell| cell.buckets == Buckets::None).for_each(|cell| cell.count = cell.sum.round() as u64);
    all
}

/// All requests.
pub fn total(cells: &Cells) -> u64 {
    cells.values().map(|point| point.count).sum()
}

fn cell(attributes: &[KeyValue]) -> String {
    let is_rpc = attributes.iter().any(|attribute| attribute.key == "rpc.system.name");
    let keys = if is_rpc { RPC.as_slice() } else { HTTP.as_slice() };
    let mut parts: Vec<_> = attributes
        .iter()
        .filter(|attribute| keys.contains(&attribute.key.as_str()))
        .map(|attribute| format!("{}={}", attribute.key, text(attribute)))
        .collect();
    parts.sort_unstable();
    parts.join(",")
}

fn text(attribute: &KeyValue) -> String {
    match attribute.value.clone().and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
