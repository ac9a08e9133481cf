//! The Helm chart: what the real `helm` makes of it is what kustomize makes of the overlays, with the values of the user in it.

use crate::kit::helm;
use crate::manifests::{OVERLAYS, documents, gateway_api, of_kind, overlay};
use crate::schemas;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const DIGEST: &str = "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("chart")
}

/// Kept values, by which the chart renders an overlay or, as `envoy-gateway`, the manifests of `gateway-api/`.
fn values(name: &str) -> PathBuf {
    chart().join("ci").join(format!("{name}-values.yaml"))
}

/// `helm template` of the chart in a namespace.
fn template(namespace: &str, arguments: &[&str]) -> Output {
    let chart = chart();
    let command = ["template", "tracelift", chart.to_str().unwrap(), "--namespace", namespace];
    helm(&[&command, arguments].concat())
}

/// The documents that helm renders with kept values.
fn rendered(namespace: &str, name: &str, arguments: &[&str]) -> Vec<Value> {
    let values = values(name);
    let output = template(namespace, &[&["--values", values.to_str().unwrap()], arguments].concat());
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).unwrap()).into_iter().filter(|document| !document.is_null()).collect()
}

/// In an order that neither program chose.
fn sorted(mut documents: Vec<Value>) -> Vec<Value> {
    documents.sort_by_key(|document| format!("{} {}", document["kind"], document["metadata"]["name"]));
    documents
}

/// The settings of the filter in the first plugin that is rendered with the values of an overlay and these arguments.
fn settings(name: &str, arguments: &[&str]) -> Value {
    let documents = rendered("shop", name, arguments);
    of_kind(&documents, "WasmPlugin")[0]["spec"]["pluginConfig"].clone()
}

#[test]
fn the_chart_renders_what_kustomize_renders_of_each_overlay() {
    for name in OVERLAYS {
        let expected = sorted(overlay(name));
        let namespace = expected[0]["metadata"]["namespace"].as_str().unwrap();
        assert_eq!(sorted(rendered(namespace, name, &[])), expected, "{name}");
    }
}

#[test]
fn the_chart_renders_the_manifests_of_envoy_gateway() {
    let mut found = sorted(rendered("ingress", "envoy-gateway", &[]));
    let mut expected = ["envoyextensionpolicy.yaml", "envoyproxy.yaml"].map(gateway_api).to_vec();
    // The bootstrap is a text in the manifest; what counts is the YAML in it.
    for document in found.iter_mut().chain(&mut expected) {
        if let Some(value) = document.pointer_mut("/spec/bootstrap/value") {
            *value = documents(value.as_str().unwrap()).remove(0);
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn helm_lint_finds_no_fault_with_any_of_the_kept_values() {
    let mut names = Vec::new();
    for entry in fs::read_dir(chart().join("ci")).unwrap() {
        let path = entry.unwrap().path();
        let output = helm(&["lint", "--strict", chart().to_str().unwrap(), "--values", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
        names.push(path.file_name().unwrap().to_str().unwrap().trim_end_matches("-values.yaml").to_owned());
    }
    names.sort();
    let mut expected = [&OVERLAYS[..], &["envoy-gateway"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn what_a_user_sets_is_what_the_filter_gets() {
    let settings = settings(
        "mesh-recall",
        &[
            "--set=ratio=0.25,serviceName=cart,collector.cluster=outbound|4318||otel.observability.svc.cluster.local",
            "--set-json=rules=[{\"name\":\"pay\",\"match\":{\"path\":{\"prefix\":\"/pay\"}},\"ratio\":1}]",
            "--set-json=settings={\"upgrade\":{\"latency_ms\":2000,\"recall\":{\"max_bytes\":4194304}}}",
        ],
    );
    assert_eq!(settings["service_name"], "cart");
    assert_eq!(settings["sampling"]["ratio"], 0.25);
    assert_eq!(
        settings["sampling"]["rules"],
        json!([{ "name": "pay", "match": { "path": { "prefix": "/pay" } }, "ratio": 1 }])
    );
    assert_eq!(settings["export"]["cluster"], "outbound|4318||otel.observability.svc.cluster.local");
    assert_eq!(settings["upgrade"]["latency_ms"], 2000);
    let recall = json!({ "enabled": true, "cluster": "", "tls_cluster": "tracelift_recall", "max_bytes": 4_194_304,
        "peers": ["spiffe://cluster.local/ns/shop/"] });
    assert_eq!(
        settings["upgrade"]["recall"], recall,
        "settings are merged into what the values say, not put in its place"
    );
    let schema = fs::read_to_string(chart().join("../config.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    schema.validate(&settings).unwrap_or_else(|error| panic!("{error} at {}", error.instance_path()));
}

#[test]
fn a_cluster_that_the_proxies_have_is_not_added_and_every_manifest_keeps_to_its_schema() {
    for (name, clusters) in [("namespace", 1), ("envoy-gateway", 0)] {
        let documents = rendered("shop", name, &["--set=collector.cluster=otel,image.pullSecret=registry"]);
        for document in &documents {
            schemas::check(document).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let text = serde_json::to_string(&documents).unwrap();
        assert!(!text.contains("tracelift_otel_collector"), "{name}: {text}");
        let filters = of_kind(&documents, "EnvoyFilter");
        let patches = filters.first().map_or(0, |filter| filter["spec"]["configPatches"].as_array().unwrap().len());
        assert_eq!(patches, clusters, "{name}");
    }
}

#[test]
fn applications_are_sent_the_list_of_upgrades_where_that_is_on() {
    let documents = rendered("shop", "namespace", &["--set=applications.enabled=true"]);
    for plugin in of_kind(&documents, "WasmPlugin") {
        assert_eq!(plugin["spec"]["pluginConfig"]["upgrade"], json!({ "applications": { "enabled": true } }));
        let token = json!({ "name": "TRACELIFT_APPLICATION_TOKEN", "valueFrom": "HOST" });
        assert!(plugin["spec"]["vmConfig"]["env"].as_array().unwrap().contains(&token));
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_name_and_what_is_allowed() {
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["digest", "sha256"]),
        (&["--set=image.digest=v1"], &["digest", "sha256"]),
        (&[DIGEST, "--set=ratio=5"], &["ratio", "maximum", "1"]),
        (&[DIGEST, "--set=ratio=half"], &["ratio", "pattern"]),
        (&[DIGEST, "--set=mesh=envoy-gateway"], &["serviceName is empty"]),
        (&[DIGEST, "--set=ration=0.1"], &["ration", "additional propert"]),
        (&[DIGEST, "--set=mesh=linkerd"], &["mesh", "istio", "envoy-gateway"]),
        (&[DIGEST, "--set=reach=everywhere"], &["reach", "namespace", "waypoint"]),
        (&[DIGEST, "--set=collector.port=43180000"], &["port", "maximum"]),
        (&[DIGEST, "--set=collector.address=http://otel:4318"], &["address", "pattern"]),
        (&[DIGEST, "--set=recall.enabled=true"], &["recall.peers is empty", "spiffe://cluster.local/ns/"]),
        (
            &[DIGEST, "--set=recall.enabled=true,recall.peers={spiffe://cluster.local/}"],
            &["recall.peers has", "namespace"],
        ),
        (
            &[DIGEST, "--set=recall.enabled=true,recall.peers={spiffe://a/ns/b/},reach=gateway"],
            &["sidecars", "reach is gateway"],
        ),
    ];
    for (arguments, expected) in cases {
        let arguments: Vec<String> = arguments
            .iter()
            .map(
                |argument| {
                    if argument.starts_with("--") { (*argument).to_owned() } else { format!("--set={argument}") }
                },
            )
            .collect();
        let output = template("shop", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} is taken");
        for word in expected {
            assert!(said.contains(word), "{arguments:?} does not say {word}: {said}");
        }
    }
}

#[test]
fn the_chart_has_the_version_of_the_filter() {
    let chart = &documents(&fs::read_to_string(chart().join("Chart.yaml")).unwrap())[0];
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&json!(env!("CARGO_PKG_VERSION")), &json!(env!("CARGO_PKG_VERSION")))
    );
}
