//! `tracelift check`: what is wrong, and where.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kit::{tracelift, tracelift_with};

/// Every YAML that is shipped for people to copy: all but what tests keep, and the chart's templates, which are no YAML before they are
/// rendered (that they render to these files is for `envoy/tests/rollout/chart.rs`).
fn shipped() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut files, mut folders) = (Vec::new(), vec![top.join("envoy"), top.join("examples")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if entry.is_dir() && !["tests", "target", "node_modules", "chart"].contains(&name) {
                folders.push(entry);
            } else if [".yaml", ".yml"].iter().any(|end| name.ends_with(end)) {
                files.push(entry);
            }
        }
    }
    files.sort();
    files
}

/// Files that configure something else, where `check` has nothing to look at.
const OTHERS: [&str; 12] = [
    "envoy/ecds/filter.yaml",
    "envoy/ecds/off.yaml",
    "envoy/gateway-api/envoyproxy.yaml",
    "envoy/istio/base/clusters.yaml",
    "envoy/istio/base/telemetry.yaml",
    "/kustomization.yaml",
    "envoy/recall-cluster.yaml",
    "envoy/recall-cluster-dynamic-module.yaml",
    "examples/dashboards/",
    "examples/xray/collector/",
    "examples/xray/compose/",
    "examples/xray/kubernetes/",
];

#[test]
fn every_shipped_file_is_accepted_without_a_warning_or_has_no_configuration_in_it() {
    let mut accepted = 0;
    for path in shipped() {
        let name = path.display().to_string();
        let ran = tracelift(&["check", "--deny-warnings", "--json", &name]);
        let report: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        let configurations = report[0]["configurations"].as_array().expect("a list").len();
        if OTHERS.iter().any(|other| name.contains(other)) {
            assert_eq!((ran.code, configurations), (Some(1), 0), "{name}: {}", ran.out);
            let message = report[0]["findings"][0]["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("no configuration of Tracelift in here."), "{name}: {}", ran.out);
        } else {
            assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.out, ran.err);
            assert!(0 < configurations, "{name}");
            accepted += configurations;
        }
    }
    // Three Envoys, one more with the dynamic module and one with the filter wrapped, three files of ECDS, Istio's two sides in both forms, Envoy Gateway with either
    // module.
    assert_eq!(accepted, 2 + 1 + 2 + 2 + 1 + 3 + 2 * 2 + 2);
}

#[test]
fn a_configuration_alone_has_every_fault_told_where_it_stands() {
    let text = r#"{
  "sampling": {
    "ratoi": 0.05,
    "rules": [ { "name": "a", "ratio": 7 }, { "name": "a" } ]
  },
  "export": { "timeout_ms": 0 }
}"#;
    let ran = tracelift_with(&["check", "-"], text, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let places: Vec<_> = ran.out.lines().map(|line| line.split(": found").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "-:3:5: error: sampling.ratoi",
            "-:4:40: error: sampling.rules[0].ratio",
            "-:4:55: error: sampling.rules[1].name",
            "-:6:29: error: export.timeout_ms",
            "-: 0 of 1 configurations accepted, 4 errors, 0 warnings",
        ]
    );
    assert!(ran.out.contains(
        "allowed is `mode`, `algorithm`, `hash_seed`, `ratio`, `target`, `boost`, `rules`, `session` or `xray`. Did you mean `ratio`?"
    ));
}

#[test]
fn text_that_is_neither_json_nor_yaml_is_told_with_its_place() {
    for (text, place) in [
        ("{\n  \"edge\": yes\n}", "-:2:11: error: no valid JSON: expected value"),
        ("edge: [1\nb: 2\n", "-:2:"),
        ("42", "-:1:1: error: is neither an object of settings nor a manifest"),
    ] {
        let ran = tracelift_with(&["check", "-"], text, &[]);
        assert_eq!(ran.code, Some(1), "{text}");
        assert!(ran.out.starts_with(place), "{}", ran.out);
    }
}

#[test]
fn what_is_around_a_configuration_in_an_envoy_file_is_looked_at_too() {
    let ran = tracelift(&["check", "oddities.yaml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let lines: Vec<_> = ran.out.lines().collect();
    let begin = [
        "oddities.yaml:1:1: warning: stats_config.stats_tags: no tag is for `wasmcustom.tracelift`",
        "oddities.yaml:10:19: warning: tracing: Envoy's own tracer",
        "oddities.yaml:23:54: error: sampling.ratio: found 2; allowed is 0 (never)",
        "oddities.yaml:33:19: warning: tracing: Envoy's own tracer writes its context after all filters",
        "oddities.yaml:43:25: warning: failure_policy: FAIL_CLOSED (the default) answers 503",
        "oddities.yaml:45:34: warning: vm_id: \"two\" here and \"one\" on another listener",
        "oddities.yaml:47:66: warning: OTEL_TRACES_SAMPLER: found \"sometimes\"; allowed is `always_on`",
        "oddities.yaml:50:34: warning: export.cluster: no cluster of this file is named \"colector\"",
        "oddities.yaml: 1 of 2 configurations accepted, 1 errors, 7 warnings",
        "oddities.yaml: a request would cost less with slots for two headers (envoy/wrapped.yaml)",
    ];
    assert_eq!(lines.len(), begin.len(), "{}", ran.out);
    for (line, begin) in lines.iter().zip(begin) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
}

#[test]
fn manifests_of_istio_and_envoy_gateway_are_read_in_one_file() {
    let ran = tracelift(&["check", "kubernetes.yaml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let lines: Vec<_> = ran.out.lines().collect();
    let begin = [
        "kubernetes.yaml:9:3: warning: failStrategy: FAIL_CLOSE (the default) refuses requests",
        "kubernetes.yaml:12:30: error: sampling.mod: found an unknown key",
        "kubernetes.yaml:37:70: error: upgrade.http_status[0]: found \"6xx\"",
        "kubernetes.yaml:47:23: error: edge: found \"yes\"; allowed is true or false. Write it without quotes.",
        "kubernetes.yaml: 0 of 3 configurations accepted, 3 errors, 1 warnings",
    ];
    assert_eq!(lines.len(), begin.len(), "{}", ran.out);
    for (line, begin) in lines.iter().zip(begin) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
}

#[test]
fn warnings_pass_unless_they_are_denied() {
    let text = r#"{"sampling": {"hash_seed": 3}}"#;
    let ran = tracelift_with(&["check", "-"], text, &[]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.out,
        "-:1:28: warning: sampling.hash_seed: has no effect without `algorithm` = \"hash_seed\"\n\
         -: 1 of 1 configurations accepted, 0 errors, 1 warnings\n"
    );
    assert_eq!(tracelift_with(&["check", "--deny-warnings", "-"], text, &[]).code, Some(1));
}

#[test]
fn a_file_without_a_configuration_of_ours_is_a_finding() {
    let ran = tracelift_with(&["check", "-"], "static_resources: { clusters: [] }\n", &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("-:1:1: error: no configuration of Tracelift in here."), "{}", ran.out);
}

#[test]
fn a_file_without_our_filter_is_one_of_several_and_an_empty_one_is_a_mistake() {
    let beside = tracelift(&["check", "../corpus/check/other.yaml", "../../../../../envoy/sidecar.yaml"]);
    assert_eq!(beside.code, Some(0), "{}", beside.out);
    assert!(
        beside.out.starts_with("../corpus/check/other.yaml: no configuration of Tracelift in here\n"),
        "{}",
        beside.out
    );
    let alone = tracelift(&["check", "../corpus/check/other.yaml", "../corpus/check/other.yaml"]);
    assert_eq!(alone.code, Some(1), "{}", alone.out);
    for empty in ["", "\n \n", "# nothing\n", "---\n---\n"] {
        let ran = tracelift_with(&["check", "-"], empty, &[]);
        assert_eq!(ran.code, Some(1), "{empty:?}");
        assert!(ran.out.starts_with("-:1:1: error: is empty. If a command wrote this"), "{empty:?}: {}", ran.out);
    }
}

#[test]
fn a_variable_that_means_the_opposite_is_an_error() {
    let check = |arguments: &[&str], text: &str| tracelift_with(&[&["check", "-"], arguments].concat(), text, &[]);
    let five = ["--env", "OTEL_TRACES_SAMPLER=traceidratio", "--env", "OTEL_TRACES_SAMPLER_ARG=5"];
    let ran = check(&five, "{}");
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    let said = "error: OTEL_TRACES_SAMPLER_ARG: found \"5\"; allowed is 0 (never) or a number from 2^-56 to 1 (5 % is 0.05); one \
                that cannot be read means 1 by the specification: 100 % is recorded now.";
    assert!(ran.out.contains(said), "{}", ran.out);
    let ran = check(&five, r#"{"sampling": {"ratio": 0.05}}"#);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let ran = check(&["--env", "OTEL_TRACES_SAMPLER=traceidratio"], "{}");
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("warning: OTEL_TRACES_SAMPLER: has no OTEL_TRACES_SAMPLER_ARG beside it"), "{}", ran.out);
    let ran = check(&["--env", "OTEL_SERVICE_NAEM=cart"], "{}");
    assert!(
        ran.out.contains("warning: OTEL_SERVICE_NAEM: the filter does not read it. Did you mean OTEL_SERVICE_NAME?"),
        "{}",
        ran.out
    );
}

#[test]
fn machines_get_the_same_as_json() {
    let ran = tracelift_with(&["check", "--json", "-"], r#"{"edge": 1}"#, &[]);
    assert_eq!(ran.code, Some(1));
    let found: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let wanted = serde_json::json!([{
        "file": "-",
        "findings": [{
            "severity": "error", "line": 1, "column": 10, "path": "edge",
            "message": "found 1; allowed is true or false. Write it without quotes.",
        }],
        "configurations": [{ "home": "plain", "name": "configuration", "line": 1, "column": 1, "accepted": false }],
    }]);
    assert_eq!(found, wanted);
}

#[test]
fn a_file_that_is_not_there_and_a_wrong_command_line_end_with_2() {
    let ran = tracelift(&["check", "nowhere.yaml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.starts_with("tracelift: could not open nowhere.yaml: "), "{}", ran.err);
    assert_eq!(tracelift(&["check"]).code, Some(2));
    assert_eq!(tracelift(&["chek"]).code, Some(2));
}

#[test]
fn with_a_release_of_envoy_what_it_does_not_know_is_a_warning() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy/dynamic-module.yaml").display().to_string();
    let fine = tracelift(&["check", "--envoy", "1.39", "--deny-warnings", &file]);
    assert_eq!(fine.code, Some(0), "{}", fine.out);
    let old = tracelift(&["check", "--envoy", "1.36.4", "--deny-warnings", &file]);
    assert_eq!(old.code, Some(1));
    assert!(old.out.contains("warning: envoy: Envoy 1.36 refuses this"), "{}", old.out);
    let none = tracelift(&["check", "--envoy", "newest", &file]);
    assert!(none.code == Some(2) && none.err.contains("write a release of Envoy"), "{}", none.err);
}
