//! The dashboard, the recording rules and the alerts, against what a real Prometheus scrapes from a real Envoy.

use crate::daemon::Daemon;
use crate::kit::{program, wait_until};
use crate::schemas;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tracelift_envoy::process::module;
use tracelift_envoy::{Answer, Bootstrap, Client, Collector, Envoy, Filter, Launch, Request, Shipped, Upstream};

const DASHBOARD: &str = include_str!("../../../examples/dashboards/grafana.json");
const RULES: &str = include_str!("../../../examples/dashboards/tracelift.rules.yaml");
const SCRAPE: &str = include_str!("../../../examples/dashboards/scrape.yaml");
const POD_MONITORS: &str = include_str!("../../../examples/dashboards/podmonitor.yaml");
const ENVOY_PROXY: &str = include_str!("../../gateway-api/envoyproxy.yaml");
/// Metrics of earlier modules, which a fleet may still have: panels read them beside their new names.
const RENAMED: [&str; 1] = ["tracelift_recall_given_up"];
/// What only the other module has: traps are of wasm, panics of the dynamic module.
const OF_WASM: [&str; 2] = ["envoy_wasm_tracelift_vm_reload", "envoy_wasm_tracelift_vm_reload_success"];
const OF_DYNAMIC: [&str; 1] = ["tracelift_panics"];
/// What people replace by the address at which they keep the pages.
const SITE: &str = "https://tracelift.example/";

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
        leads_to_a_section(&alert, &runbook);
    }
}

/// A link into a page of this tree, below the address that people replace.
fn leads_to_a_section(what: &str, link: &str) {
    let place = link.strip_prefix(SITE).unwrap_or_else(|| panic!("{what}: {link:?} is not below {SITE}"));
    let (file, heading) = place.split_once('#').unwrap();
    let page = fs::read_to_string(folder().join("../..").join(file)).unwrap();
    let mut headings = page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase);
    assert!(headings.any(|found| found == heading), "{what}: {link} leads nowhere");
}

#[test]
fn the_dashboard_leads_to_the_runbook() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let runbook = variables.iter().find(|it| it["name"] == "runbook").unwrap()["query"].as_str().unwrap();
    assert_eq!(dashboard["links"][0]["url"], "${runbook}");
    let panels = panels();
    let links = panels.iter().flat_map(|panel| {
        let links = panel["links"].as_array().into_iter().flatten();
        links.map(|link| (panel["title"].as_str().unwrap(), link["url"].as_str().unwrap()))
    });
    let mut linked = 0;
    for (title, link) in links {
        leads_to_a_section(title, &link.replace("${runbook}", runbook));
        linked += 1;
    }
    assert!(20 < linked, "{linked}");
    let stats: Vec<_> = panels.iter().filter(|panel| panel["type"] == "stat").collect();
    assert_eq!(stats.len(), 6);
    assert!(stats.iter().all(|panel| panel["gridPos"]["y"] == 1 && panel["links"][0]["url"].is_string()));
}

fn yaml(text: &str) -> Vec<Value> {
    yaml_serde::Deserializer::from_str(text).map(|it| serde::Deserialize::deserialize(it).unwrap()).collect()
}

#[test]
fn pod_monitors_relabel_as_the_scrape_configuration_does_and_their_schema_allows_it() {
    let scrape = &yaml(SCRAPE)[0]["scrape_configs"][0];
    let monitors = yaml(POD_MONITORS);
    assert_eq!(monitors.len(), 3);
    for monitor in &monitors {
        schemas::check(monitor).unwrap_or_else(|error| panic!("{}: {error}", monitor["metadata"]["name"]));
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        assert_eq!(endpoint["path"], scrape["metrics_path"]);
        let rules = endpoint["metricRelabelings"].to_string();
        let rules = rules.replace("sourceLabels", "source_labels").replace("targetLabel", "target_label");
        let rules: Value = serde_json::from_str(&rules).unwrap();
        assert_eq!(rules, scrape["metric_relabel_configs"], "{}", monitor["metadata"]["name"]);
    }
}

#[test]
fn every_bootstrap_that_is_shipped_makes_the_label_reason() {
    let of = |bootstrap: &Value| bootstrap["stats_config"]["stats_tags"].clone();
    let expected = of(&yaml(Shipped::Sidecar.text())[0]);
    assert_eq!(expected.as_array().unwrap().len(), 1);
    for shipped in Shipped::ALL {
        assert_eq!(of(&yaml(shipped.text())[0]), expected, "{shipped:?}");
    }
    let merged = yaml(yaml(ENVOY_PROXY)[0]["spec"]["bootstrap"]["value"].as_str().unwrap());
    assert_eq!(of(&merged[0]), expected, "Envoy Gateway");
}

#[test]
fn every_bootstrap_that_is_shipped_bounds_what_envoy_keeps_of_an_answer() {
    let bounded = |bootstrap: &Value| {
        let layer = &bootstrap["layered_runtime"]["layers"][0];
        assert_eq!(layer["static_layer"]["http.async_response_buffer_limit"], 1 << 20, "{layer}");
    };
    for shipped in Shipped::ALL {
        bounded(&yaml(shipped.text())[0]);
    }
    bounded(&yaml(yaml(ENVOY_PROXY)[0]["spec"]["bootstrap"]["value"].as_str().unwrap())[0]);
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
                    "runbook_url": "https://tracelift.example/docs/runbook.md#traceliftbillabovelimit",
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
            let runbook = rule["annotations"]["runbook_url"].as_str().unwrap_or_default();
            Some((rule["alert"].as_str()?.to_owned(), runbook.to_owned()))
        })
        .collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// Each panel's title and expressions, its variables replaced as Grafana does.
fn dashboard(instance: &str) -> Vec<(String, Vec<String>)> {
    let variables =
        [("$__rate_interval", "1m"), ("$instance", instance), ("$price_per_million", "5"), ("$spans_per_trace", "8")];
    let shown = |target: &Value| {
        let expression = target["expr"].as_str().unwrap().to_owned();
        variables.iter().fold(expression, |text, (name, value)| text.replace(name, value))
    };
    let panels = panels().into_iter().filter(|panel| panel["type"] != "row");
    panels
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            (panel["title"].as_str().unwrap().to_owned(), targets.iter().map(shown).collect())
        })
        .collect()
}

/// Every expression of the dashboard, for all Envoys.
fn dashboard_expressions() -> Vec<String> {
    dashboard(".*").into_iter().flat_map(|(_, expressions)| expressions).collect()
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

/// A Prometheus that scrapes Envoys as the shipped configuration says, only every second, and evaluates the shipped rules.
struct Prometheus(Daemon);

impl Prometheus {
    async fn start(envoys: &[&Envoy]) -> Self {
        let mut scrape = yaml(SCRAPE)[0]["scrape_configs"].clone();
        let targets: Vec<_> = envoys.iter().map(|envoy| envoy.admin().address().to_string()).collect();
        scrape[0]["static_configs"][0]["targets"] = serde_json::json!(targets);
        let daemon = Daemon::start("prometheus", "/-/ready", |address, directory| {
            // The rules as they are shipped, only more often.
            let rules = directory.join("rules.yaml");
            fs::write(&rules, RULES.replace("interval: 30s", "interval: 1s")).unwrap();
            let configuration = serde_json::json!({
                "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
                "rule_files": [rules],
                "scrape_configs": scrape,
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

/// Whether no Envoy of this run has a metric that is named all the same. One with the prefix is only named as what is missing.
fn is_absent(name: &str) -> bool {
    let others = if Filter::of_this_run().unwrap().is_dynamic() { &OF_WASM[..] } else { &OF_DYNAMIC };
    RENAMED.contains(&name) || others.contains(&name) || name.starts_with("envoy_dynamicmodulescustom")
}

/// Whether it is about what Envoys are scraped for. Request metrics come from a collector, and the stage `metrics` looks at their panels.
fn is_of_envoys(expression: &str) -> bool {
    !expression.contains("http_server_request_duration_seconds")
}

/// Names of metrics and recorded series in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = expression.split(|letter| !word(letter));
    let ours = |name: &&str| ["tracelift_", "tracelift:", "envoy_"].iter().any(|start| name.starts_with(start));
    let is_name = |name: &&str| *name != "envoy_http_conn_manager_prefix" && !name.ends_with('_'); // Or a part of a pattern.
    words.filter(ours).filter(is_name).map(str::to_owned).collect()
}

/// Envoys that one Prometheus scrapes: as shipped, the same without `stats_tags`, and without anything that need not be said.
struct Scraped {
    tagged: Envoy,
    untagged: Envoy,
    smallest: Envoy,
    collector: Collector,
    _upstream: Upstream,
}

impl Scraped {
    async fn start() -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let launch = async |settings: Option<Value>, tags: bool| {
            let module = module().unwrap_or_else(|error| panic!("{error}"));
            let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module).unwrap();
            bootstrap.endpoints("otel_collector", &[collector.address()]).unwrap();
            bootstrap.endpoints("application", &[upstream.address()]).unwrap();
            match &settings {
                Some(settings) => bootstrap.plugin_text(&settings.to_string()),
                None => bootstrap
                    .plugin(|json| {
                        json["sampling"]["ratio"] = 0.5.into();
                        json["export"]["scheduled_delay_ms"] = 100.into();
                        json["shadow"] = serde_json::json!({ "sampling": { "mode": "independent", "ratio": 0.9 } });
                    })
                    .unwrap(),
            }
            if !tags {
                bootstrap.set("/stats_config", serde_json::json!({})).unwrap();
                // Nor does Envoy take its own prefix away from a dynamic module's metrics.
                let layer = serde_json::json!({ Filter::WITHOUT_PREFIX: false });
                bootstrap.set("/layered_runtime/layers/0/static_layer", layer).unwrap();
            }
            Launch::new().unwrap().workers(2).start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"))
        };
        let tagged = launch(None, true).await;
        let untagged = launch(None, false).await;
        let smallest = launch(Some(serde_json::json!({})), false).await;
        Self { tagged, untagged, smallest, collector, _upstream: upstream }
    }

    fn envoys(&self) -> [&Envoy; 3] {
        [&self.tagged, &self.untagged, &self.smallest]
    }

    /// Requests to each of them, a third of which fail.
    async fn traffic(&self, client: &Client) {
        for envoy in self.envoys() {
            for path in ["/cart", "/cart", "/status/503"] {
                client.send(Request::get(envoy.address("inbound").unwrap(), path)).await.unwrap();
            }
        }
    }
}

/// As Prometheus names it.
fn instance(envoy: &Envoy) -> String {
    envoy.admin().address().to_string()
}

#[tokio::test]
async fn every_metric_that_dashboard_and_rules_name_is_scraped_from_real_envoys_with_tags_and_without() {
    let (scraped, client) = (Scraped::start().await, Client::new());
    let prometheus = Prometheus::start(&scraped.envoys()).await;
    wait_until("Prometheus scrapes", async || prometheus.query("up == 1").await.len() == 3).await;
    let realised = "tracelift:ratio:realised > 0 and tracelift:ratio:configured > 0 and tracelift:spans:completeness5m == 1 \
                    and tracelift:shadow:disagreement15m > 0 and tracelift:shadow:bill:usd_per_month > 0";
    wait_until("the rules have figures", async || {
        scraped.traffic(&client).await;
        !prometheus.query(realised).await.is_empty()
    })
    .await;

    let mut expressions = dashboard_expressions();
    expressions.extend(rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()));
    for expression in &expressions {
        let _ = prometheus.query(expression).await; // Refused ones fail there.
        for name in names(expression).iter().filter(|name| !is_absent(name)) {
            assert!(
                !prometheus.query(&format!("count({name})")).await.is_empty(),
                "{name} does not exist: {expression}"
            );
        }
    }
    let named: BTreeSet<_> = expressions.iter().flat_map(|expression| names(expression)).collect();
    let page = scraped.tagged.admin().prometheus().await.unwrap();
    for name in exported(&page) {
        let is_histogram = page.lines().any(|line| line == format!("# TYPE {name} histogram"));
        let shown = if is_histogram { format!("{name}_bucket") } else { name.clone() };
        assert!(named.contains(&shown), "{name} is exported, and no panel and no rule shows it");
    }
    the_same_series_come_from_each_and_no_panel_is_empty(&scraped, &prometheus).await;
    assert!(prometheus.query("ALERTS{alertstate=\"firing\"}").await.is_empty(), "healthy Envoys are quiet");
    promtool_reads(&page);
    every_metric_is_in_the_reference_and_the_other_way_round(&scraped.tagged).await;
    lost_spans_are_counted_by_reason_with_tags_and_without(&scraped, &prometheus, &client).await;
}

async fn the_same_series_come_from_each_and_no_panel_is_empty(scraped: &Scraped, prometheus: &Prometheus) {
    let series = async |envoy: &Envoy| {
        let all =
            format!("count by (__name__, reason) ({{__name__=~\"tracelift_.+\", instance=\"{}\"}})", instance(envoy));
        prometheus.query(&all).await.iter().map(|series| series["metric"].to_string()).collect::<BTreeSet<_>>()
    };
    let tagged = series(&scraped.tagged).await;
    assert!(50 < tagged.len() && tagged.iter().any(|it| it.contains("\"reason\":\"http_status\"")), "{tagged:?}");
    for envoy in [&scraped.untagged, &scraped.smallest] {
        let page = envoy.admin().prometheus().await.unwrap();
        let prefix = if Filter::of_this_run().unwrap().is_dynamic() { "envoy_dynamicmodulescustom_" } else { "" };
        assert!(page.contains(&format!("\n{prefix}tracelift_upgrades_http_status{{}}")), "it has no tags of its own");
        assert_eq!(series(envoy).await, tagged);
    }
    for envoy in [&scraped.tagged, &scraped.untagged] {
        for (title, expressions) in dashboard(&instance(envoy)) {
            for expression in expressions.into_iter().filter(|expression| is_of_envoys(expression)) {
                assert!(!prometheus.query(&expression).await.is_empty(), "{title}, an empty panel: {expression}");
            }
        }
    }
    // It has no shadow policy, which is half of one panel.
    for (title, expressions) in dashboard(&instance(&scraped.smallest)) {
        if !expressions.iter().any(|expression| is_of_envoys(expression)) {
            continue;
        }
        let mut shown = 0;
        for expression in &expressions {
            shown += prometheus.query(expression).await.len();
        }
        assert!(0 < shown, "{title} is empty with the smallest configuration");
    }
}

/// The collector refuses everything from now on.
async fn lost_spans_are_counted_by_reason_with_tags_and_without(
    scraped: &Scraped,
    prometheus: &Prometheus,
    client: &Client,
) {
    scraped.collector.always(Answer::Refuse { status: 400, headers: Vec::new() });
    let lost = "count by (instance) (tracelift_spans_discarded{reason=\"non_retryable\"} > 0)";
    wait_until("each has lost spans", async || {
        scraped.traffic(client).await;
        prometheus.query(lost).await.len() == 3
    })
    .await;
    wait_until("the alert is on its way", async || {
        scraped.traffic(client).await;
        !prometheus.query("ALERTS{alertname=\"TraceliftSpansDiscarded\"}").await.is_empty()
    })
    .await;
}

/// Our metrics on a page of Prometheus, by the lines that tell their types.
fn exported(page: &str) -> BTreeSet<String> {
    let named = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    named.filter(|name| name.starts_with("tracelift_")).map(str::to_owned).collect()
}

/// The table of `docs/telemetry.md` has what a real Envoy shows of ours, no more and no less.
async fn every_metric_is_in_the_reference_and_the_other_way_round(envoy: &Envoy) {
    let page = fs::read_to_string(folder().join("../../docs/telemetry.md")).unwrap();
    let table = page.split("<!-- metrics -->").nth(1).and_then(|rest| rest.split("<!-- /metrics -->").next()).unwrap();
    let documented: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `tracelift.")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let stats = envoy.admin().get("/stats?filter=tracelift").await.unwrap().text();
    let shown: BTreeSet<_> = stats
        .lines()
        .filter_map(|line| line.split_once("custom.tracelift.")?.1.split(':').next())
        .filter(|name| *name != "panics") // Of the dynamic module alone, and on its page.
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
