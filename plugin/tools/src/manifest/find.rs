//! Where in a document configurations of the filter are.

use serde::Serialize;

use super::located::Entry;
use super::{Located, Position};

/// What a configuration was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// The document is the configuration.
    Plain,
    /// A Wasm filter in an Envoy bootstrap, in an xDS file or in an Istio `EnvoyFilter`.
    Envoy,
    /// Istio's `WasmPlugin`.
    WasmPlugin,
    /// Envoy Gateway's `EnvoyExtensionPolicy`.
    EnvoyExtensionPolicy,
}

/// One configuration of the filter.
#[derive(Clone, Debug)]
pub struct Found<'t> {
    /// What it was found in.
    pub home: Home,
    /// The plugin's name there, `configuration` for a plain one.
    pub name: String,
    /// Where the plugin begins.
    pub at: Position,
    /// The configuration: a string of JSON or an object; `None` where it was left out.
    pub configuration: Option<&'t Located>,
    /// The VM's variables, with their places.
    pub environment: Vec<(String, String, Position)>,
    /// `vm_id`; `None` where that is not the manifest's to say.
    pub vm_id: Option<(String, Position)>,
    /// The plugin's own object.
    pub plugin: &'t Located,
    /// The HTTP connection manager around it.
    pub connection_manager: Option<&'t Located>,
}

/// The type of Envoy's Wasm filter.
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// The type of what holds HTTP filters.
const CONNECTION_MANAGER: &str = "http_connection_manager.v3.HttpConnectionManager";
/// Keys that only Envoy's own files have.
const ENVOY_KEYS: [&str; 8] = [
    "static_resources",
    "dynamic_resources",
    "admin",
    "node",
    "resources",
    "http_filters",
    "filter_chains",
    "typed_config",
];

/// Every configuration of ours in this document. `None`: it is neither a manifest that could have one nor an object that
/// could be one.
pub fn find(document: &Located) -> Option<Vec<Found<'_>>> {
    let mut found = Vec::new();
    if document.get("apiVersion").is_some() && document.get("kind").is_some() {
        kubernetes(document, &mut found);
        return Some(found);
    }
    walk(document, None, &mut found);
    if !found.is_empty() || document.entries().iter().any(|entry| ENVOY_KEYS.contains(&entry.key.as_str())) {
        return Some(found);
    }
    if !matches!(document.node, super::Node::Object(_)) {
        return None;
    }
    Some(vec![Found {
        home: Home::Plain,
        name: "configuration".to_owned(),
        at: document.at,
        configuration: Some(document),
        environment: Vec::new(),
        vm_id: None,
        plugin: document,
        connection_manager: None,
    }])
}

fn kubernetes<'t>(document: &'t Located, found: &mut Vec<Found<'t>>) {
    match document.text_at(&["kind"]) {
        Some("List") => {
            for item in document.get("items").map(Located::elements).unwrap_or_default() {
                kubernetes(item, found);
            }
        }
        Some("WasmPlugin") => found.extend(wasm_plugin(document)),
        Some("EnvoyExtensionPolicy") => {
            for wasm in document.path(&["spec", "wasm"]).map(Located::elements).unwrap_or_default() {
                found.extend(extension(wasm));
            }
        }
        _ => walk(document, None, found),
    }
}

/// Is one of these texts the name of our plugin or of its module?
fn ours(names: &[Option<&str>]) -> bool {
    names.iter().flatten().any(|name| name.to_ascii_lowercase().contains("tracelift"))
}

fn wasm_plugin(document: &Located) -> Option<Found<'_>> {
    let name = document.text_at(&["metadata", "name"]);
    let plugin = document.get("spec")?;
    if !ours(&[name, plugin.text_at(&["pluginName"]), plugin.text_at(&["url"])]) {
        return None;
    }
    let variables = plugin.path(&["vmConfig", "env"]).map(Located::elements).unwrap_or_default();
    let inline = |variable: &Located| {
        let name = variable.text_at(&["name"])?.to_owned();
        Some((name, variable.text_at(&["value"])?.to_owned(), variable.at))
    };
    Some(Found {
        home: Home::WasmPlugin,
        name: name.unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration: plugin.get("pluginConfig"),
        environment: variables.iter().filter_map(inline).collect(),
        vm_id: None,
        plugin,
        connection_manager: None,
    })
}

fn extension(plugin: &Located) -> Option<Found<'_>> {
    let name = plugin.text_at(&["name"]);
    let urls = [plugin.text_at(&["code", "image", "url"]), plugin.text_at(&["code", "http", "url"])];
    if !ours(&[name, plugin.text_at(&["rootID"]), urls[0], urls[1]]) {
        return None;
    }
    Some(Found {
        home: Home::EnvoyExtensionPolicy,
        name: name.unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration: plugin.get("config"),
        environment: Vec::new(),
        vm_id: None,
        plugin,
        connection_manager: None,
    })
}

fn walk<'t>(value: &'t Located, manager: Option<&'t Located>, found: &mut Vec<Found<'t>>) {
    let is = |key: &str, name: &str| value.text_at(&[key]).is_some_and(|text| text.ends_with(name));
    if is("@type", WASM_FILTER) {
        found.extend(value.get("config").and_then(|plugin| filter(plugin, manager)));
        return;
    }
    if is("type_url", WASM_FILTER) {
        found.extend(value.path(&["value", "config"]).and_then(|plugin| filter(plugin, manager)));
        return;
    }
    let manager = if is("@type", CONNECTION_MANAGER) { Some(value) } else { manager };
    for child in value.elements().iter().chain(value.entries().iter().map(|entry| &entry.value)) {
        walk(child, manager, found);
    }
}

fn filter<'t>(plugin: &'t Located, manager: Option<&'t Located>) -> Option<Found<'t>> {
    let name = plugin.text_at(&["name"]);
    let vm = plugin.get("vm_config");
    let in_vm = |path: &[&str]| vm.and_then(|vm| vm.text_at(path));
    let files = [&["code", "local", "filename"][..], &["code", "remote", "http_uri", "uri"][..]].map(in_vm);
    if !ours(&[name, plugin.text_at(&["root_id"]), in_vm(&["vm_id"]), files[0], files[1]]) {
        return None;
    }
    let configuration = plugin.get("configuration");
    let is_any = configuration.is_some_and(|any| any.get("@type").is_some());
    let variables = vm.and_then(|vm| vm.path(&["environment_variables", "key_values"]));
    let variable = |entry: &Entry| Some((entry.key.clone(), entry.value.text()?.to_owned(), entry.at));
    Some(Found {
        home: Home::Envoy,
        name: name.unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration: if is_any { configuration.and_then(|any| any.get("value")) } else { configuration },
        environment: variables.map(Located::entries).unwrap_or_default().iter().filter_map(variable).collect(),
        vm_id: Some(match vm.and_then(|vm| vm.get("vm_id")) {
            Some(id) => (id.text().unwrap_or_default().to_owned(), id.at),
            None => (String::new(), vm.unwrap_or(plugin).at),
        }),
        plugin,
        connection_manager: manager,
    })
}
