//! What a collector knows of the metrics that it was sent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric};

/// One point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
    /// Requests.
    pub count: u64,
    /// Seconds.
    pub sum: f64,
    /// Counts of the buckets; those of an exponential histogram without where they are.
    pub buckets: Vec<u64>,
    /// Requests that it shows.
    pub exemplars: Vec<Exemplar>,
}

/// The points of an export, by the metric's name and its attributes: `name{key=value,…}` in the order of the keys.
pub fn of(export: &ExportMetricsServiceRequest) -> BTreeMap<String, Point> {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut points = BTreeMap::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        for (series, point) in of_metric(metric) {
            assert!(point.start <= point.time, "{series} begins in the future");
            assert_eq!(point.buckets.iter().sum::<u64>(), point.count, "{series}");
            assert!(points.insert(series.clone(), point).is_none(), "{series} is there twice");
        }
    }
    points
}

fn of_metric(metric: &Metric) -> Vec<(String, Point)> {
    assert_eq!(metric.unit, "s");
    match metric.data.as_ref().expect("points") {
        Data::Histogram(histogram) => histogram
            .data_points
            .iter()
            .map(|point| {
                let buckets = point.bucket_counts.clone();
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                let sum = point.sum.expect("a sum");
                let exemplars = point.exemplars.clone();
                let point_of = Point { start, time, count: point.count, sum, buckets, exemplars };
                (series(&metric.name, &point.attributes), point_of)
            })
            .collect(),
        Data::ExponentialHistogram(histogram) => histogram
            .data_points
            .iter()
            .map(|point| {
                let mut buckets = vec![point.zero_count];
                buckets.extend(point.positive.iter().flat_map(|positive| &positive.bucket_counts));
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                let sum = point.sum.expect("a sum");
                let exemplars = point.exemplars.clone();
                let point_of = Point { start, time, count: point.count, sum, buckets, exemplars };
                (series(&metric.name, &point.attributes), point_of)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn series(name: &str, attributes: &[KeyValue]) -> String {
    let text = |value: &KeyValue| match value.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    let mut all: Vec<String> = attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair))).collect();
    all.sort_unstable();
    format!("{name}{{{}}}", all.join(","))
}
