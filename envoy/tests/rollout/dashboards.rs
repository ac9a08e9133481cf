//! The dashboard, the recording rules and the alerts, against what a real Prometheus scrapes from a real Envoy.

use crate::daemon::Daemon;
use crate::kit::{program, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Launch, Request, Shipped, Upstream};

const DASHBOARD: &str = include_str!("../../../examples/dashboards/grafana.json");
const RULES: &str = include_str!("../../../examples/dashboards/tracelift.rules.yaml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dashboards")
}

fn promtool(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(program("promtool", "prometheus")).args(arguments).current_dir(folder()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_takes_the_rules_and_every_alert_fires_for_what_it_is_named_after() {
    for arguments in
        [["check", "rules", "tracelift.rules.yaml"].as_slice(), &["test", "rules", "tracelift.rules.test.yaml"]]
    {
        let (passed, said) = promtool(arguments);
        assert!(passed, "{said}");
    }
    a_limit_that_somebody_set_is_watched();
    let tests = fs::read_to_string(folder().join("tracelift.rules.test.yaml")).unwrap();
    for (alert, runbook) in alerts() {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
        let (file, heading) = runbook.split_once('#').unwrap();
        let page = fs::read_to_string(folder().join("../..").join(file)).unwrap();
        let headings = page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase);
        assert!(headings.into_iter().any(|found| found == heading), "{alert}: {runbook} leads nowhere");
    }
}

/// The rules with the one figure changed that a person sets, against the same traffic.
fn a_limit_that_somebody_set_is_watched() {
    let directory = tempfile::tempdir().unwrap();
    let rules = RULES.replace("vector(+Inf)", "vector(1000)");
    assert_ne!(rules, RULES);
    fs::write(directory.path().join("tracelift.rules.yaml"), rules).unwrap();
    let fires = serde_json::json!({
        "rule_files": ["tracelift.rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [{
            "interval": "30s",
            "input_series": [{ "series": "tracelift_spans_exported{instance=\"a\"}", "values": "0+3000000x300" }],
            "alert_rule_test": [{ "alertname": "TraceliftBillAboveLimit", "eval_time": "140m", "exp_alerts": [{
                "exp_labels": { "severity": "ticket" },
                "exp_annotations": {
                    "summary": "a month like the last hour would cost 164250 USD",
                    "description": "More spans are exported than the limit in the rules file allows.",
                    "runbook": "envoy/docs/runbook.md#traceliftbillabovelimit",
                },
            }] }],
        }],
    });
    let file = directory.path().join("fires.yaml");
    fs::write(&file, fires.to_string()).unwrap();
    let (passed, said) = promtool(&["test", "rules", &file.display().to_string()]);
    assert!(passed, "{said}");
}

fn rules() -> Vec<Value> {
    let file: Value = yaml_serde::from_str(RULES).unwrap();
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Each alert's name and where its runbook is.
fn alerts() -> Vec<(String, String)> {
    rules()
        .iter()
        .filter_map(|rule| {
            let runbook = rule["annotations"]["runbook"].as_str().unwrap_or_default();
            Some((rule["alert"].as_str()?.to_owned(), runbook.to_owned()))
        })
        .collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// Every expression of the dashboard, its variables replaced as Grafana does.
fn dashboard_expressions() -> Vec<String> {
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets
        .map(|target| {
            let expression = target["expr"].as_str().unwrap();
            [("$__rate_interval", "1m"), ("$instance", ".*"), ("$price_per_million", "5"), ("$spans_per_trace", "8")]
                .iter()
                .fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
        })
        .collect()
}

#[test]
fn the_dashboard_is_one_that_grafana_lays_out() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].as_u64() >= Some(36));
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id twice");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for (x, y) in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(cells.insert((x, y)), "{title} lies over another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(references.insert(target["refId"].as_str().unwrap().to_owned()), "{title}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        assert!(!references.is_empty(), "{title}");
    }
}

/// A Prometheus that scrapes one Envoy every second and evaluates the shipped rules.
struct Prometheus(Daemon);

impl Prometheus {
    async fn start(envoy: &Envoy) -> Self {
        let daemon = Daemon::start("prometheus", "/-/ready", |address, directory| {
            // The rules as they are shipped, only more often.
            let rules = directory.join("rules.yaml");
            fs::write(&rules, RULES.replace("interval: 30s", "interval: 1s")).unwrap();
            let configuration = serde_json::json!({
                "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
                "rule_files": [rules],
                "scrape_configs": [{
                    "job_name": "envoy",
                    "metrics_path": "/stats/prometheus",
                    "static_configs": [{ "targets": [envoy.admin().address().to_string()] }],
                }],
            });
            let file = directory.join("prometheus.yml");
            fs::write(&file, configuration.to_string()).unwrap();
            vec![
                format!("--config.file={}", file.display()).into(),
                format!("--storage.tsdb.path={}", directory.join("data").display()).into(),
                format!("--web.listen-address={address}").into(),
            ]
        });
        Self(daemon.await)
    }

    /// The series that an expression gives now; an error of Prometheus fails the test.
    async fn query(&self, expression: &str) -> Vec<Value> {
        let body = format!("query={}", percent_encoded(expression));
        let request = Request::post(self.0.address(), "/api/v1/query", body)
            .header("content-type", "application/x-www-form-urlencoded");
        let Ok(reply) = self.0.send(request).await else { return Vec::new() };
        assert!(reply.status == 200 || reply.status == 503, "{expression}: {}", reply.text());
        reply.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Names of metrics and recorded series in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = expression.split(|letter| !word(letter));
    let ours = |name: &&str| ["tracelift_", "tracelift:", "envoy_"].iter().any(|start| name.starts_with(start));
    words.filter(ours).filter(|name| *name != "envoy_http_conn_manager_prefix").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_that_dashboard_and_rules_name_is_scraped_from_a_real_envoy() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module().unwrap_or_else(|e| panic!("{e}"))).unwrap();
    bootstrap.endpoints("otel_collector", &[collector.address()]).unwrap();
    bootstrap.endpoints("application", &[upstream.address()]).unwrap();
    bootstrap
        .plugin(|json| {
            json["sampling"]["ratio"] = 0.5.into();
            json["export"]["scheduled_delay_ms"] = 100.into();
            json["shadow"] = serde_json::json!({ "sampling": { "mode": "independent", "ratio": 0.9 } });
        })
        .unwrap();
    let envoy = Launch::new().unwrap().workers(2).start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    let prometheus = Prometheus::start(&envoy).await;
    wait_until("Prometheus scrapes", async || !prometheus.query("up == 1").await.is_empty()).await;

    let (client, to) = (Client::new(), envoy.address("inbound").unwrap());
    let realised = "tracelift:ratio:realised > 0 and tracelift:ratio:configured == 0.5 and tracelift:spans:completeness5m == 1 \
                    and tracelift:shadow:disagreement15m > 0 and tracelift:shadow:bill:usd_per_month > 0";
    wait_until("the rules have figures", async || {
        for path in ["/cart", "/cart", "/status/503"] {
            client.send(Request::get(to, path)).await.unwrap();
        }
        !prometheus.query(realised).await.is_empty()
    })
    .await;

    let mut expressions = dashboard_expressions();
    expressions.extend(rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()));
    for expression in &expressions {
        let _ = prometheus.query(expression).await; // Refused ones fail there.
        for name in names(expression) {
            assert!(
                !prometheus.query(&format!("count({name})")).await.is_empty(),
                "{name} does not exist: {expression}"
            );
        }
    }
    let named: BTreeSet<_> = expressions.iter().flat_map(|expression| names(expression)).collect();
    let page = envoy.admin().prometheus().await.unwrap();
    for name in exported(&page) {
        let is_histogram = page.lines().any(|line| line == format!("# TYPE {name} histogram"));
        let shown = if is_histogram { format!("{name}_bucket") } else { name.clone() };
        assert!(named.contains(&shown), "{name} is exported, and no panel and no rule shows it");
    }
    for expression in dashboard_expressions() {
        let result = prometheus.query(&expression).await;
        assert!(!result.is_empty(), "an empty panel: {expression}");
    }
    assert!(prometheus.query("ALERTS{alertstate=\"firing\"}").await.is_empty(), "a healthy Envoy is quiet");
    promtool_reads(&page);
    every_metric_is_in_the_reference_and_the_other_way_round(&envoy).await;
}

/// Our metrics on a page of Prometheus, by the lines that tell their types.
fn exported(page: &str) -> BTreeSet<String> {
    let named = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    named.filter(|name| name.starts_with("tracelift_")).map(str::to_owned).collect()
}

/// The table of the README has what a real Envoy shows under `wasmcustom.`, no more and no less.
async fn every_metric_is_in_the_reference_and_the_other_way_round(envoy: &Envoy) {
    let readme = fs::read_to_string(folder().join("../../README.md")).unwrap();
    let table =
        readme.split("<!-- metrics -->").nth(1).and_then(|rest| rest.split("<!-- /metrics -->").next()).unwrap();
    let documented: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `tracelift.")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let stats = envoy.admin().get("/stats?filter=tracelift").await.unwrap().text();
    let shown: BTreeSet<_> = stats
        .lines()
        .filter_map(|line| line.strip_prefix("wasmcustom.tracelift.")?.split(':').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, shown);
}

/// `promtool check metrics` reads the page; of our metrics it may only miss what Envoy does not write: help texts and the
/// ending `_total`.
fn promtool_reads(page: &str) {
    let mut process = Command::new(program("promtool", "prometheus"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let page = page.to_owned();
    let mut input = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(page.as_bytes()));
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let expected = ["no help text", "counter metrics should have \"_total\" suffix", "abbreviated units"];
    for line in said.lines().filter(|line| line.starts_with("tracelift_")) {
        assert!(expected.iter().any(|known| line.contains(known)), "{line}");
    }
    assert!(!said.contains("error while linting"), "{said}");
}
