//! The shipped manifests, with what every installation changes: the image, the collector's address.

use crate::kit::{helm, kustomize};
use crate::program;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// As the shipped `EnvoyFilter` has it.
const COLLECTOR: (&str, u16) = ("otel-collector.observability.svc.cluster.local", 4318);

/// What kustomize renders of an overlay for the image of that name and a collector at that address; spans leave every 100 ms.
pub fn overlay(name: &str, image: &str, collector: SocketAddr) -> Vec<Value> {
    installed(&kustomize(&folder(name)), image, collector)
}

/// The folder of an overlay.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("istio/overlays").join(name)
}

/// What helm renders of the chart in a namespace with the values that are kept for an overlay, for the same image and collector.
pub fn chart(namespace: &str, values: &str, image: &str, collector: SocketAddr) -> Vec<Value> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("chart");
    let values = chart.join("ci").join(format!("{values}-values.yaml"));
    let [chart, values] = [&chart, &values].map(|path| path.to_str().unwrap());
    let output = helm(&["template", "tracelift", chart, "--namespace", namespace, "--values", values]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    installed(&String::from_utf8(output.stdout).unwrap(), image, collector)
}

/// The names of all overlays.
pub fn overlays() -> Vec<String> {
    let entries = fs::read_dir(folder("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What `istioctl analyze` says of manifests and of nothing else: a line for each finding.
pub fn analyse(manifests: &[Value]) -> String {
    let folder = program::folder();
    let file = folder.path().join("manifests.yaml");
    let texts: Vec<_> = manifests.iter().map(Value::to_string).collect();
    fs::write(&file, texts.join("\n---\n")).unwrap();
    let output = program::command().arg("analyze").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Istio's packages log at their start, each line with its time, before anything can tell them where to.
    text.lines()
        .filter(|line| !line.starts_with(|first: char| first.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

/// The documents of a rendered text, with what an installation changes.
fn installed(rendered: &str, image: &str, collector: SocketAddr) -> Vec<Value> {
    let documents = yaml_serde::Deserializer::from_str(rendered);
    let documents = documents.map(|document| Value::deserialize(document).unwrap());
    let mut documents: Vec<Value> = documents.filter(|document| !document.is_null()).collect();
    for document in &mut documents {
        if is_plugin(document) {
            module(document)["url"] = format!("oci://{image}").into();
            settings(document)["export"]["scheduled_delay_ms"] = 100.into();
        }
        if document["kind"] == "EnvoyFilter" {
            let socket = document.pointer_mut(SOCKET).unwrap();
            assert_eq!((&socket["address"], &socket["port_value"]), (&json!(COLLECTOR.0), &json!(COLLECTOR.1)));
            *socket = json!({ "address": collector.ip(), "port_value": collector.port() });
        }
    }
    documents
}

/// The collector's address in the `EnvoyFilter`.
pub const SOCKET: &str =
    "/spec/configPatches/0/patch/value/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";

/// Whether it is the filter itself, in one of its two forms.
pub fn is_plugin(manifest: &Value) -> bool {
    manifest["kind"] == "WasmPlugin" || manifest["kind"] == "TrafficExtension"
}

/// What a plugin says of the module: a `TrafficExtension` has it in a place of its own.
pub fn module(plugin: &mut Value) -> &mut Value {
    let flat = plugin["kind"] == "WasmPlugin";
    let spec = &mut plugin["spec"];
    if flat { spec } else { &mut spec["wasm"] }
}

/// The filter's settings in a plugin.
pub fn settings(plugin: &mut Value) -> &mut Value {
    &mut module(plugin)["pluginConfig"]
}

/// Changes every plugin among them.
pub fn change(manifests: &mut [Value], change: impl Fn(&mut Value)) {
    manifests.iter_mut().filter(|manifest| is_plugin(manifest)).for_each(change);
}
