//! YAML as Envoy reads it: what `tracelift check` makes of a file is held against Envoy, and against the filter in it.

use serde_json::Value;
use tracelift_envoy::Launch;
use tracelift_envoy::process::module;
use tracelift_tools::manifest::{Dialect, Syntax, check_file, read_yaml};

/// What Envoy and Kubernetes make of texts; the tool's own tests compare with it, too.
const TABLE: &str = include_str!("../../../plugin/tools/tests/tool/files/yaml.json");
/// A text for Envoy's cluster name that is a boolean. Envoy refuses it, and shows all that it has read.
const MISTAKE: &str = "node: { id: x, cluster: true }\n";

/// What Envoy reads; null where it refuses the text itself.
async fn read_by_envoy(launch: &Launch, text: &str) -> Value {
    let text = match text.strip_prefix("---\n") {
        Some(rest) => ["---\n", MISTAKE, rest, "\n"].concat(),
        None => [MISTAKE, text, "\n"].concat(),
    };
    let validation = launch.validate_text("bootstrap.yaml", &text).await.expect("Envoy ends");
    assert!(!validation.accepted, "{text}");
    let shown = validation.log.lines().find_map(|line| Some(line.split_once("): {")?.1));
    let read = shown.and_then(|shown| serde_json::from_str::<Value>(&["{", shown].concat()).ok());
    read.map_or(Value::Null, |mut read| {
        read.as_object_mut().map(|read| read.remove("node"));
        read
    })
}

#[tokio::test]
async fn every_scalar_and_every_structure_means_to_envoy_what_check_says() {
    let table: Vec<Value> = serde_json::from_str(TABLE).expect("the table");
    let launch = Launch::new().unwrap_or_else(|error| panic!("{error}"));
    let is_scalar = |row: &&Value| {
        let text = row["text"].as_str().expect("a text");
        !text.contains('\n')
            && text.starts_with("a: ")
            && row["envoy"]["a"] != Value::Null
            && !text.contains(['&', '*'])
            // Envoy closes an open quote at the end of a file, not of a line.
            && ['"', '\''].iter().all(|quote| text.matches(*quote).count().is_multiple_of(2))
    };
    // All scalars in one file, for the sake of time.
    let (scalars, structures): (Vec<_>, Vec<_>) = table.iter().partition(is_scalar);
    assert!(80 < scalars.len() && 30 < structures.len(), "{} and {}", scalars.len(), structures.len());
    let mut text = String::new();
    for (index, row) in scalars.iter().enumerate() {
        text.push_str(&format!("s{index}{}\n", &row["text"].as_str().expect("a text")[1..]));
    }
    let read = read_by_envoy(&launch, &text).await;
    for (index, row) in scalars.iter().enumerate() {
        assert_eq!(read[format!("s{index}")], row["envoy"]["a"], "{}", row["text"]);
    }
    let ours = read_yaml(&text, Dialect::Envoy).expect("YAML").remove(0).root.to_json();
    assert_eq!(serde_json::from_str::<Value>(&ours).expect("JSON"), read);
    for row in structures {
        let text = row["text"].as_str().expect("a text");
        assert_eq!(read_by_envoy(&launch, text).await, row["envoy"], "{text:?}");
    }
}

/// Settings in a `Struct`, and whether the filter takes them there.
const SETTINGS: [(&str, bool); 58] = [
    ("sampling: { ratio: 0.05 }", true),
    ("sampling: { ratio: 1 }", true),
    ("sampling: { ratio: 1.0 }", true),
    ("sampling: { ratio: 5e-2 }", true),
    ("sampling: { ratio: .05 }", true),
    ("sampling: { ratio: +0.05 }", true),
    ("sampling: { ratio: '0.05' }", true),
    ("sampling: { ratio: !!float 0.05 }", true),
    ("sampling: { ratio: 0 }", true),
    ("sampling: { ratio: 0.0 }", true),
    ("sampling: { ratio: 0.9999999999999999 }", true),
    ("sampling: { ratio: 1.5 }", false),
    ("sampling: { ratio: -0.05 }", false),
    ("sampling: { ratio: 5% }", false),
    ("sampling: { ratio: 0,05 }", false),
    ("sampling: { ratio: .inf }", false),
    ("sampling: { ratio: .nan }", false),
    ("sampling: { ratio: inf }", false),
    ("sampling: { ratio: 1_0.5 }", false),
    ("sampling: { ratio: yes }", false),
    ("sampling: { ratio: ~ }", false),
    ("sampling: { ratio: '' }", false),
    ("sampling: { rules: [{ ratio: 0.5 }, { ratio: ~, name: a }] }", true),
    ("sampling: { rules: [{ name: 1.10 }] }", true),
    ("sampling: { rules: [{ name: 1 }] }", false),
    ("sampling: { rules: [{ match: { path: { present: yes } } }] }", true),
    ("sampling: { rules: [{ match: { path: { exact: 1.5 } } }] }", true),
    ("sampling: { hash_seed: 017, algorithm: hash_seed }", true),
    ("sampling: { hash_seed: 4294967295, algorithm: hash_seed }", true),
    ("sampling: { hash_seed: 4294967296, algorithm: hash_seed }", false),
    ("sampling: { algorithm: 0.5 }", false),
    ("edge: yes", true),
    ("edge: on", true),
    ("edge: y", true),
    ("edge: OFF", true),
    ("edge: 'yes'", false),
    ("edge: 1", false),
    ("edge: !!bool 'yes'", true),
    ("edge: ! yes", false),
    ("service_name: no", false),
    ("service_name: 'no'", true),
    ("service_name: 1.10", true),
    ("service_name: 2026-11-28", true),
    ("service_name: 5", false),
    ("service_name: ~", true),
    ("service_name: 0o17", true),
    ("resource: { version: 1.10 }", true),
    ("resource: { version: 1 }", false),
    ("upgrade: { traces_per_second: 12.5 }", true),
    ("upgrade: { http_status: [5xx, 503, '429', 0x1F4] }", true),
    ("upgrade: { http_status: [5.03e2] }", true),
    ("upgrade: { grpc_status: [UNAVAILABLE, 14, '13'] }", true),
    ("export: { timeout_ms: 1e3 }", true),
    ("export: { timeout_ms: 0x10 }", true),
    ("export: { timeout_ms: 1_000 }", false),
    ("export: { timeout_ms: 0.5 }", false),
    ("export: { headers: { x-version: 1.10 } }", true),
    ("export: &x { timeout_ms: 5 }\n<<: *x", false),
];

/// A bootstrap whose filters, in order, have these settings. They pass traffic through where the filter refuses them, so that
/// one start shows what it thinks of each.
fn bootstrap(module: &str, settings: &[&str]) -> String {
    let filters: Vec<_> =
        settings.iter().enumerate().map(|(index, settings)| filter(module, index, settings)).collect();
    format!(
        r#"static_resources:
  clusters: [{{ name: otel_collector }}]
  listeners:
  - name: inbound
    traffic_direction: INBOUND
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
          route_config: {{ virtual_hosts: [{{ name: all, domains: ["*"], routes: [] }}] }}
          http_filters:
{}          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
"#,
        filters.concat()
    )
}

fn filter(module: &str, index: usize, settings: &str) -> String {
    let settings = settings.replace('\n', "\n                    ");
    format!(
        r#"          - name: tracelift-{index}
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: tracelift
                root_id: case-{index}-
                failure_policy: FAIL_RELOAD
                vm_config:
                  vm_id: tracelift
                  runtime: envoy.wasm.runtime.v8
                  code: {{ local: {{ filename: {module} }} }}
                  environment_variables: {{ key_values: {{ TRACELIFT_ON_INVALID_CONFIG: pass_through }} }}
                configuration:
                  "@type": type.googleapis.com/google.protobuf.Struct
                  value:
                    {settings}
"#
    )
}

#[tokio::test]
async fn check_accepts_of_a_struct_what_the_filter_accepts_of_it() {
    let launch = Launch::new().unwrap_or_else(|error| panic!("{error}"));
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    let module = module.to_str().expect("UTF-8");
    let all = bootstrap(module, &SETTINGS.map(|(settings, _)| settings));
    let validation = launch.validate_text("bootstrap.yaml", &all).await.expect("Envoy ends");
    assert!(validation.accepted, "{}", validation.log);
    for (index, (settings, accepted)) in SETTINGS.iter().enumerate() {
        let is_its = |line: &&str| line.contains(&format!("case-{index}-")) && line.contains("configuration refused");
        let refusal = validation.log.lines().find(is_its);
        assert_eq!(refusal.is_none(), *accepted, "the filter: {settings}: {refusal:?}");
        let report = check_file(&bootstrap(module, &[settings]), Syntax::Yaml, &[]);
        let [checked] = &report.configurations[..] else { panic!("{settings}: {report:?}") };
        assert_eq!(checked.accepted, *accepted, "check: {settings}: {:?}", report.findings);
    }
}
