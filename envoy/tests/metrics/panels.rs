//! The shipped rules and the dashboard in a Prometheus 3 that scrapes an Envoy with request metrics.

use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tracelift_envoy::ports::RefusingPort;

use crate::mesh::{Pod, SOON, settings};
use crate::points::newest;
use crate::prometheus::Prometheus;
use crate::traffic::{self, Truth};

const DASHBOARD: &str = include_str!("../../../examples/dashboards/grafana.json");
const RULES: &str = include_str!("../../../examples/dashboards/tracelift.rules.yaml");
const SCRAPE: &str = include_str!("../../../examples/dashboards/scrape.yaml");

/// Each panel's title and expressions, its variables replaced as Grafana does.
fn panels() -> Vec<(String, Vec<String>)> {
    let variables =
        [("$__rate_interval", "1m"), ("$instance", ".*"), ("$price_per_million", "5"), ("$spans_per_trace", "8")];
    let shown = |target: &Value| {
        let expression = target["expr"].as_str().unwrap().to_owned();
        variables.iter().fold(expression, |text, (name, value)| text.replace(name, value))
    };
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    panels
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            (panel["title"].as_str().unwrap().to_owned(), targets.iter().map(shown).collect())
        })
        .collect()
}

/// Prometheus with the shipped rules, which scrapes this Envoy and keeps scopes of what comes over OTLP.
async fn prometheus(admin: SocketAddr) -> Prometheus {
    let mut configuration: Value = yaml_serde::from_str(SCRAPE).unwrap();
    configuration["scrape_configs"][0]["static_configs"][0]["targets"] = json!([admin.to_string()]);
    configuration["global"] = json!({ "scrape_interval": "1s", "evaluation_interval": "1s" });
    configuration["rule_files"] = json!(["rules.yaml"]);
    configuration["otlp"] = json!({ "promote_scope_metadata": true });
    let rules = RULES.replace("interval: 30s", "interval: 1s");
    Prometheus::start(&configuration, &[("rules.yaml", rules)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_rule_is_evaluated_and_those_of_request_metrics_say_what_happened() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| json["metrics"] = traffic::metrics("exponential", "cumulative"));
        traffic::refuse(bootstrap, &refusing);
    })
    .await;
    let prometheus = prometheus(pod.envoy.admin().address()).await;
    // Twice: a rate begins to be seen at the first sample of a series.
    let mut truth = Truth::new();
    for seed in [31, 32] {
        truth = traffic::sum([truth, traffic::send(&pod, 400, seed).await]);
        let all = truth.values().sum::<u64>();
        pod.collector.wait_for_counts(all, SOON).await.unwrap();
        let exports = pod.collector.measured();
        prometheus.take(exports.last().unwrap().encode_to_vec()).await;
    }
    let ours = newest(&pod.collector.measured(), "");
    prometheus.wait_for("max(tracelift_metrics_series)", ours.len() as f64).await;

    let panels = panels();
    for expression in panels.iter().flat_map(|(_, expressions)| expressions) {
        prometheus.query(expression).await;
    }
    let of = |title: &str| -> Vec<String> {
        panels.iter().find(|(found, _)| found == title).unwrap_or_else(|| panic!("no panel {title}")).1.clone()
    };
    let series = of("Series of request metrics");
    assert_eq!(prometheus.value(&series[0]).await, Some(ours.len() as f64));
    let exports = of("Exports of request metrics");
    prometheus.wait_for(&format!("({}) > bool 0", exports[0]), 1.0).await;
    // A counter is not there before it counts.
    for quiet in [&series[1], &series[2], &exports[1], &exports[2]] {
        assert_eq!(prometheus.value(quiet).await.unwrap_or_default(), 0.0, "{quiet}");
    }
    let labels = |key: &str| -> BTreeSet<String> {
        let http = truth.keys().filter(|cell| cell.contains("http.request.method"));
        let part =
            |cell: &String| cell.split(',').find_map(|part| part.strip_prefix(key)).unwrap_or_default().to_owned();
        http.map(part).collect()
    };
    for (title, key, label) in [
        ("Requests a second by status", "http.response.status_code=", "http_response_status_code"),
        ("Duration by route, 99th percentile", "http.route=", "http_route"),
    ] {
        let found = prometheus.query(&of(title)[0]).await;
        assert!(found.iter().all(|(_, value)| 0.0 < *value), "{title}: {found:#?}");
        let found = found.iter().map(|(labels, _)| labels.get(label).cloned().unwrap_or_default());
        assert_eq!(found.collect::<BTreeSet<_>>(), labels(key), "{title}");
    }
    every_rule_is_quiet(&prometheus).await;
}

async fn every_rule_is_quiet(prometheus: &Prometheus) {
    prometheus.wait_for("count(tracelift:requests:rate5m)", 1.0).await;
    let groups = prometheus.api("rules").await;
    let rules = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut alerts = 0;
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&json!("ok"), &Value::Null), "{rule:#}");
        alerts += u32::from(rule["type"] == "alerting");
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
    assert!(10 < alerts, "{alerts}");
}
