//! An application that reports the same metric under the same service: the queries of the documentation count each request once.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use tracelift_envoy::collector::measured::Export;

use crate::mesh::{Pod, settings};
use crate::points::{newest, total};
use crate::prometheus::Prometheus;
use crate::traffic;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const REQUESTS: usize = 50;

/// The selectors of the page's queries, which stand alone on their lines.
fn selectors() -> Vec<&'static str> {
    let section = PAGE.split("## Two reporters").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let selectors: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(selectors.len(), 2, "{section}");
    selectors
}

/// What an SDK's exponential histogram says of as many requests, in the filter's resource.
fn of_an_sdk(ours: &Export) -> Export {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let pair = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let point = ExponentialHistogramDataPoint {
        attributes: vec![
            pair("http.request.method", Value::StringValue("GET".to_owned())),
            pair("http.response.status_code", Value::IntValue(200)),
            pair("http.route", Value::StringValue("/status/{code}".to_owned())),
            pair("url.scheme", Value::StringValue("http".to_owned())),
        ],
        start_time_unix_nano: now - 1_000_000_000,
        time_unix_nano: now,
        count: REQUESTS as u64,
        zero_count: REQUESTS as u64,
        sum: Some(0.0),
        ..ExponentialHistogramDataPoint::default()
    };
    let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    let metric = Metric {
        name: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::ExponentialHistogram(histogram)),
        ..Metric::default()
    };
    let mut attributes = ours.resource_metrics[0].resource.clone().unwrap_or_default().attributes;
    attributes.retain(|attribute| attribute.key != "service.instance.id");
    attributes.push(pair("service.instance.id", Value::StringValue("an-sdk".to_owned())));
    let scope = InstrumentationScope {
        name: "opentelemetry.instrumentation.flask".to_owned(),
        ..InstrumentationScope::default()
    };
    Export {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

/// What Envoys with this namespace and an SDK report, in a Prometheus that keeps scopes or does not.
async fn reported_twice(namespace: &str, keeps_scopes: bool) -> Prometheus {
    let configuration = json!({ "otlp": { "promote_scope_metadata": keeps_scopes } });
    let prometheus = Prometheus::start(&configuration, &[]).await;
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"]["ratio"] = 0.into();
            json["metrics"] = traffic::metrics("exponential", "cumulative");
            json["metrics"]["namespace"] = namespace.into();
        });
    })
    .await;
    for _ in 0..REQUESTS {
        assert_eq!(pod.get("/status/200").await.status, 200);
    }
    let is_whole = |export: &&Export| total(&newest(std::slice::from_ref(*export), "")) == REQUESTS as u64;
    pod.collector.wait_for_counts(REQUESTS as u64, crate::mesh::SOON).await.unwrap();
    let exports = pod.collector.measured();
    let ours = exports.iter().rev().find(is_whole).unwrap();
    prometheus.take(ours.encode_to_vec()).await;
    prometheus.take(of_an_sdk(ours).encode_to_vec()).await;
    prometheus
}

fn count(selector: &str) -> String {
    format!("sum by (job) (histogram_count({selector}))")
}

#[tokio::test]
async fn a_sum_over_both_reporters_is_twice_the_truth_and_one_over_our_scope_is_not() {
    let [by_scope, _] = selectors()[..] else { unreachable!() };
    let prometheus = reported_twice("", true).await;
    prometheus.wait_for(&count("http_server_request_duration_seconds"), 2.0 * REQUESTS as f64).await;
    prometheus.wait_for(&count(by_scope), REQUESTS as f64).await;
}

#[tokio::test]
async fn a_prometheus_that_drops_scopes_needs_the_namespace() {
    let [by_scope, by_namespace] = selectors()[..] else { unreachable!() };
    let prometheus = reported_twice("", false).await;
    prometheus.wait_for(&count("http_server_request_duration_seconds"), 2.0 * REQUESTS as f64).await;
    assert_eq!(prometheus.query(by_scope).await, []);

    let prometheus = reported_twice("proxy", false).await;
    prometheus.wait_for(&count(by_namespace), REQUESTS as f64).await;
    prometheus.wait_for(&count("http_server_request_duration_seconds"), REQUESTS as f64).await;
}
