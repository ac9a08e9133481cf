//! Exemplars as a real Prometheus gives them back: each leads to a span that the collector has.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{ReceivedSpan, Shipped};

use crate::counting::Counting;
use crate::mesh::{Pod, SOON, settings};
use crate::prometheus::{Prometheus, percent_encoded};
use crate::traffic;

/// Series with their exemplars of the last hour.
async fn exemplars(prometheus: &Prometheus, selector: &str) -> Vec<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let path = format!("query_exemplars?query={}&start={}&end={}", percent_encoded(selector), now - 3600, now + 60);
    prometheus.api(&path).await.as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exemplar_of_prometheus_opens_a_span_that_took_as_long() {
    let prometheus = Prometheus::start(&json!({ "storage": { "exemplars": { "max_exemplars": 10_000 } } }), &[]).await;
    let (counting, refusing) = (Counting::storing(prometheus.address()).await, RefusingPort::any().unwrap());
    let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 0.05, "mode": "independent" });
            json["upgrade"] = json!({ "traces_per_second": 1_000_000 });
            json["metrics"] = traffic::metrics("exponential", "cumulative");
        });
        bootstrap.endpoints("otel_collector", &[counting.otlp()]).unwrap();
        traffic::refuse(bootstrap, &refusing);
    })
    .await;
    let truth = traffic::send(&pod, 2000, 41).await;

    // A failed request is upgraded, so that each series of failures has an exemplar in the end.
    let status = |cell: &str, status: &str| cell.contains(&format!("http.response.status_code={status}"));
    let failures = truth.keys().filter(|cell| status(cell, "5")).count();
    let selector = "http_server_request_duration_seconds{http_response_status_code=~\"5..\"}";
    let started = Instant::now();
    while exemplars(&prometheus, selector).await.len() < failures {
        let found = exemplars(&prometheus, selector).await;
        assert!(started.elapsed() < SOON, "{} of {failures} series: {found:#?}", found.len());
        sleep(std::time::Duration::from_millis(200)).await;
    }

    let spans: BTreeMap<String, ReceivedSpan> =
        counting.spans.spans().into_iter().map(|span| (span.span_id(), span)).collect();
    let mut opened = 0;
    for series in exemplars(&prometheus, "http_server_request_duration_seconds").await {
        let labels = &series["seriesLabels"];
        for exemplar in series["exemplars"].as_array().unwrap() {
            let id = exemplar["labels"]["span_id"].as_str().unwrap_or_else(|| panic!("{exemplar:#}"));
            let span = spans.get(id).unwrap_or_else(|| panic!("{id} opens nothing: {series:#}"));
            assert_eq!(exemplar["labels"]["trace_id"], span.trace_id());
            let took: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
            assert!((took - span.duration().as_secs_f64()).abs() < 1e-9, "{took} s, {:?}", span.duration());
            assert_eq!(labels["http_request_method"].as_str(), span.text("http.request.method"), "{series:#}");
            assert_eq!(labels["http_route"].as_str(), span.text("http.route"), "{series:#}");
            assert_eq!(labels["error_type"].as_str(), span.text("error.type"), "{series:#}");
            opened += 1;
        }
    }
    assert!(failures <= opened, "{opened}");
}
