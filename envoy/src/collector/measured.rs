//! Request metrics as the collector takes them, decoded by the generated types.

use super::{Answer, Collector, Grpc, NotReceived, Store, answer_of, plain, refusal};
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
pub use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Export;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests by series: `name{key=value,…}` in the order of the keys.
pub type Counts = BTreeMap<String, u64>;

impl Collector {
    /// Waits until `find` finds something in the exports of metrics taken so far.
    ///
    /// # Errors
    /// If that does not happen within `deadline`.
    pub async fn wait_for_measured<T>(
        &self,
        deadline: Duration,
        mut find: impl FnMut(&[Export]) -> Option<T>,
    ) -> Result<T, NotReceived> {
        self.wait(deadline, |inner| find(&inner.measured)).await
    }

    /// Waits until the newest export of metrics counts so many requests, and returns its counts.
    ///
    /// # Errors
    /// If that does not happen within `deadline`.
    pub async fn wait_for_counts(&self, requests: u64, deadline: Duration) -> Result<Counts, NotReceived> {
        let counted = |counts: &Counts| counts.values().sum::<u64>() == requests;
        self.wait_for_measured(deadline, |exports| exports.last().map(counts).filter(counted)).await
    }

    /// Every export of metrics taken so far, in order of arrival.
    pub fn measured(&self) -> Vec<Export> {
        self.store.lock().measured.clone()
    }
}

/// The counts of one export.
pub fn counts(export: &Export) -> Counts {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut counts = Counts::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let points: Vec<(&[KeyValue], u64)> = match metric.data.as_ref() {
            Some(Data::Histogram(histogram)) => {
                histogram.data_points.iter().map(|point| (point.attributes.as_slice(), point.count)).collect()
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                histogram.data_points.iter().map(|point| (point.attributes.as_slice(), point.count)).collect()
            }
            _ => Vec::new(),
        };
        for (attributes, count) in points {
            *counts.entry(series(&metric.name, attributes)).or_default() += count;
        }
    }
    counts
}

fn series(name: &str, attributes: &[KeyValue]) -> String {
    let text = |pair: &KeyValue| match pair.value.clone().and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let mut all: Vec<_> = attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair))).collect();
    all.sort_unstable();
    format!("{name}{{{}}}", all.join(","))
}

impl Store {
    /// Keeps what the answer takes, and makes the message that says so.
    fn take_measured(&self, mut export: Export, answer: &Answer) -> ExportMetricsServiceResponse {
        let mut partial_success = None;
        if let Answer::PartialSuccess { rejected, message } = answer {
            let rejected_data_points = i64::try_from(reject(&mut export, *rejected)).unwrap_or(i64::MAX);
            let error_message = (*message).to_owned();
            partial_success = Some(ExportMetricsPartialSuccess { rejected_data_points, error_message });
        }
        self.lock().measured.push(export);
        self.changes.send_modify(|count| *count += 1);
        ExportMetricsServiceResponse { partial_success }
    }
}

/// Takes the last points out of an export, at most `rejected` of them; how many it took.
fn reject(export: &mut Export, rejected: usize) -> usize {
    let scopes = export.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    let mut left = rejected;
    for metric in scopes.flat_map(|scope| &mut scope.metrics).collect::<Vec<_>>().into_iter().rev() {
        left -= match metric.data.as_mut() {
            Some(Data::Histogram(histogram)) => shorten(&mut histogram.data_points, left),
            Some(Data::ExponentialHistogram(histogram)) => shorten(&mut histogram.data_points, left),
            _ => 0,
        };
    }
    rejected - left
}

fn shorten<T>(points: &mut Vec<T>, by: usize) -> usize {
    points.split_off(points.len().saturating_sub(by)).len()
}

pub(super) async fn over_http(
    State(store): State<Store>,
    Extension(answer): Extension<Answer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let export = plain(&headers, body).and_then(|plain| Export::decode(plain).map_err(std::io::Error::other));
    match export {
        Ok(export) => {
            let body = store.take_measured(export, &answer).encode_to_vec();
            ([(header::CONTENT_TYPE, "application/x-protobuf")], body).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

#[tonic::async_trait]
impl MetricsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<Export>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let answer = answer_of(&request);
        if let Answer::RefuseGrpc { code, retry_after } = answer {
            return Err(refusal(code, retry_after));
        }
        Ok(tonic::Response::new(self.0.take_measured(request.into_inner(), &answer)))
    }
}
