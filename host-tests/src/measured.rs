//! Request metrics that the module exported, decoded with the generated OTLP types.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use crate::callout::{Callout, CalloutKind, CalloutState};
use crate::envoy::Envoy;
use crate::otlp::message;

const GRPC: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const HTTP: &str = "/v1/metrics";

/// Whether a callout carries metrics, by its path; a configuration that changes it is not known here.
pub fn is_export(callout: &Callout) -> bool {
    callout.kind == CalloutKind::Http && [GRPC, HTTP].contains(&callout.path().as_str())
}

impl Envoy {
    /// Exports of metrics that the collector took, in their order.
    ///
    /// # Panics
    /// If one does not decode.
    pub fn measured(&self) -> Vec<ExportMetricsServiceRequest> {
        let accepted = |callout: &&Callout| {
            let taken = match &callout.state {
                CalloutState::Answered(answer) => answer.is_success(),
                CalloutState::Cancelled { delivered } => *delivered,
                _ => false,
            };
            is_export(callout) && taken
        };
        let read = |callout| message(callout).unwrap_or_else(|error| panic!("{callout:?}: {error}"));
        self.callouts().iter().filter(accepted).map(read).collect()
    }
}

/// Requests by series of one export: `name{key=value,…}` in the order of the keys.
///
/// # Panics
/// If the buckets of a point do not add up to its count, or a metric is not a histogram.
pub fn counts(export: &ExportMetricsServiceRequest) -> BTreeMap<String, u64> {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut counts = BTreeMap::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let mut add = |attributes: &[KeyValue], count: u64, in_buckets: u64| {
            assert_eq!(count, in_buckets, "{}", metric.name);
            *counts.entry(series(&metric.name, attributes)).or_default() += count;
        };
        match metric.data.as_ref() {
            Some(Data::Histogram(histogram)) => {
                for point in &histogram.data_points {
                    add(&point.attributes, point.count, point.bucket_counts.iter().sum());
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                for point in &histogram.data_points {
                    let positive = point.positive.iter().flat_map(|buckets| &buckets.bucket_counts);
                    add(&point.attributes, point.count, positive.sum::<u64>() + point.zero_count);
                }
            }
            other => panic!("{}: {other:?}", metric.name),
        }
    }
    counts
}

fn series(name: &str, attributes: &[KeyValue]) -> String {
    let text = |pair: &KeyValue| match pair.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let mut all: Vec<String> = attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair))).collect();
    all.sort_unstable();
    format!("{name}{{{}}}", all.join(","))
}
