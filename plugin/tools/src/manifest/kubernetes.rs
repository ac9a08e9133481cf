//! Plugins in the resources of Kubernetes: Istio's `WasmPlugin`, `TrafficExtension` and `EnvoyFilter`, Envoy Gateway's
//! `EnvoyExtensionPolicy`; in any other what Envoy reads, wherever it is.

use super::envoy;
use super::find::{Around, Direction, Form, Found, Home, ours, secret_of_host};
use super::{Located, Position};

/// Every plugin of ours in this resource.
pub fn find<'t>(document: &'t Located, found: &mut Vec<Found<'t>>) {
    let spec = document.get("spec");
    match document.text_at(&["kind"]) {
        Some(kind) if kind.ends_with("List") && document.get("items").is_some() => {
            for item in document.get("items").map(Located::elements).unwrap_or_default() {
                find(item, found);
            }
        }
        Some("WasmPlugin") => found.extend(spec.and_then(|spec| istio(document, spec, spec, Home::WasmPlugin))),
        Some("TrafficExtension") => {
            found.extend(spec.and_then(|spec| istio(document, spec, spec.get("wasm")?, Home::TrafficExtension)))
        }
        Some("EnvoyExtensionPolicy") => {
            for list in ["wasm", "dynamicModule"] {
                let plugins = document.path(&["spec", list]).map(Located::elements).unwrap_or_default();
                found.extend(plugins.iter().filter_map(extension));
            }
        }
        Some("EnvoyFilter") => {
            for patch in document.path(&["spec", "configPatches"]).map(Located::elements).unwrap_or_default() {
                let direction = match patch.text_at(&["match", "context"]) {
                    Some("SIDECAR_INBOUND") => Direction::Inbound,
                    Some("SIDECAR_OUTBOUND") => Direction::Outbound,
                    _ => Direction::Unspecified,
                };
                let first = found.len();
                envoy::find(patch, Around { direction, ..Around::NOTHING }, found);
                for one in found.iter_mut().skip(first) {
                    one.scope = scope(document);
                }
            }
        }
        _ => envoy::find(document, Around::NOTHING, found),
    }
}

/// A `WasmPlugin` is its own plugin; a `TrafficExtension` has it in `wasm`, with what selects traffic beside it.
fn istio<'t>(document: &'t Located, spec: &'t Located, plugin: &'t Located, home: Home) -> Option<Found<'t>> {
    let name = document.text_at(&["metadata", "name"]);
    if !ours(&[name, plugin.text_at(&["pluginName"]), plugin.text_at(&["url"])]) {
        return None;
    }
    let mut modes =
        spec.get("match").map(Located::elements).unwrap_or_default().iter().map(|one| one.text_at(&["mode"]));
    let direction = match (modes.next(), modes.next()) {
        (Some(Some("SERVER")), None) => Direction::Inbound,
        (Some(Some("CLIENT")), None) => Direction::Outbound,
        _ => Direction::Unspecified,
    };
    let variables = plugin.path(&["vmConfig", "env"]).map(Located::elements).unwrap_or_default();
    Some(Found {
        home,
        name: name.unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration: plugin.get("pluginConfig"),
        form: Form::Json,
        environment: variables.iter().filter_map(variable).collect(),
        vm_id: None,
        plugin,
        fault: None,
        scope: scope(document),
        around: Around { direction, ..Around::NOTHING },
    })
}

/// Namespace and selectors.
fn scope(document: &Located) -> String {
    let selects = ["selector", "workloadSelector", "targetRef", "targetRefs"];
    let selects = selects.iter().filter_map(|key| document.path(&["spec", key]).map(Located::to_json));
    let namespace = format!("namespace {}", document.text_at(&["metadata", "namespace"]).unwrap_or_default());
    std::iter::once(namespace).chain(selects).collect::<Vec<_>>().join(" ")
}

fn variable(variable: &Located) -> Option<(String, String, Position)> {
    let name = variable.text_at(&["name"])?.to_owned();
    if variable.text_at(&["valueFrom"]) == Some("HOST") {
        return secret_of_host(&name).map(|value| (name, value, variable.at));
    }
    Some((name, variable.text_at(&["value"])?.to_owned(), variable.at))
}

/// One of `wasm`, or of `dynamicModule`, whose library is named in an `EnvoyProxy`.
fn extension(plugin: &Located) -> Option<Found<'_>> {
    let name = plugin.text_at(&["name"]);
    let urls = [plugin.text_at(&["code", "image", "url"]), plugin.text_at(&["code", "http", "url"])];
    if !ours(&[name, plugin.text_at(&["rootID"]), plugin.text_at(&["filterName"]), urls[0], urls[1]]) {
        return None;
    }
    Some(Found {
        home: Home::EnvoyExtensionPolicy,
        name: name.unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration: plugin.get("config"),
        form: Form::Json,
        environment: Vec::new(),
        vm_id: None,
        plugin,
        fault: None,
        scope: String::new(),
        around: Around::NOTHING,
    })
}
