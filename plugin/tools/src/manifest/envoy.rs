//! Our filter, as a Wasm filter or as a dynamic module, in what Envoy reads and writes: bootstraps, xDS files, dumps. Keys are as Protocol Buffers write them in
//! JSON, `vm_config` or `vmConfig`.

use super::find::{Around, Direction, Form, Found, Home, ours, secret_of_host};
use super::located::Entry;
use super::wrapped::WRAPPER;
use super::{Located, Node, Position};

/// The type of Envoy's Wasm filter.
pub const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// The type of Envoy's filter from a dynamic module.
const DYNAMIC_FILTER: &str = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
/// The type of what holds HTTP filters.
const CONNECTION_MANAGER: &str = "http_connection_manager.v3.HttpConnectionManager";

/// Every filter of ours in this value.
pub fn find<'t>(value: &'t Located, around: Around<'t>, found: &mut Vec<Found<'t>>) {
    let is = |key: &str, name: &str| value.proto(key).and_then(Located::text).is_some_and(|text| text.ends_with(name));
    if is("@type", WASM_FILTER) {
        found.extend(value.get("config").and_then(|plugin| filter(plugin, around)));
        return;
    }
    if is("type_url", WASM_FILTER) {
        found.extend(value.path(&["value", "config"]).and_then(|plugin| filter(plugin, around)));
        return;
    }
    if is("@type", DYNAMIC_FILTER) {
        found.extend(dynamic_filter(value, around));
        return;
    }
    if is("type_url", DYNAMIC_FILTER) {
        found.extend(value.get("value").and_then(|filter| dynamic_filter(filter, around)));
        return;
    }
    let mut around = around;
    if is("@type", CONNECTION_MANAGER) || is("type_url", CONNECTION_MANAGER) {
        around.connection_manager =
            Some(value.get("value").filter(|_| value.proto("type_url").is_some()).unwrap_or(value));
    }
    if is("@type", WRAPPER) {
        around.wrapper = Some(value);
    } else if is("type_url", WRAPPER) {
        around.wrapper = value.get("value");
    }
    if value.proto("filter_chains").or(value.proto("default_filter_chain")).is_some() {
        around.listener = Some(value);
        around.direction = direction(value);
    }
    if value.proto("typed_config").is_some() {
        around.name = value.text_at(&["name"]);
    }
    for child in value.elements().iter().chain(value.entries().iter().map(|entry| &entry.value)) {
        find(child, around, found);
    }
}

fn direction(listener: &Located) -> Direction {
    match listener.proto("traffic_direction").map(|direction| &direction.node) {
        Some(Node::Text(name)) if name == "INBOUND" => Direction::Inbound,
        Some(Node::Text(name)) if name == "OUTBOUND" => Direction::Outbound,
        Some(Node::Number(number)) if number == "1" => Direction::Inbound,
        Some(Node::Number(number)) if number == "2" => Direction::Outbound,
        _ => Direction::Unspecified,
    }
}

fn filter<'t>(plugin: &'t Located, around: Around<'t>) -> Option<Found<'t>> {
    let text = |key: &str| plugin.proto(key).and_then(Located::text).filter(|text| !text.is_empty());
    let vm = plugin.proto("vm_config");
    let in_vm = |path: &[&str]| path.iter().try_fold(vm?, |value, key| value.proto(key)).and_then(Located::text);
    let names = [
        text("name"),
        around.name,
        text("root_id"),
        in_vm(&["vm_id"]),
        in_vm(&["code", "local", "filename"]),
        in_vm(&["code", "remote", "http_uri", "uri"]),
    ];
    if !ours(&names) {
        return None;
    }
    let (configuration, form, fault) = read(plugin.proto("configuration"));
    let variables = vm.and_then(|vm| vm.proto("environment_variables"));
    let from_host = variables.and_then(|variables| variables.proto("host_env_keys"));
    let from_host = from_host.map(Located::elements).unwrap_or_default().iter().filter_map(|key| {
        let name = key.text()?;
        Some((name.to_owned(), secret_of_host(name)?, key.at))
    });
    let variables = variables.and_then(|variables| variables.proto("key_values"));
    let variable = |entry: &Entry| Some((entry.key.clone(), entry.value.text()?.to_owned(), entry.at));
    Some(Found {
        home: Home::Envoy,
        name: names.into_iter().flatten().next().unwrap_or_default().to_owned(),
        at: plugin.at,
        configuration,
        form,
        environment: variables
            .map(Located::entries)
            .unwrap_or_default()
            .iter()
            .filter_map(variable)
            .chain(from_host)
            .collect(),
        vm_id: Some(match vm.and_then(|vm| vm.proto("vm_id")) {
            Some(id) => (id.text().unwrap_or_default().to_owned(), id.at),
            None => (String::new(), vm.unwrap_or(plugin).at),
        }),
        plugin,
        fault,
        scope: String::new(),
        around,
    })
}

/// A dynamic module has its process's environment, of which no manifest says all, and all of them share one memory.
fn dynamic_filter<'t>(filter: &'t Located, around: Around<'t>) -> Option<Found<'t>> {
    let text = |path: &[&str]| path.iter().try_fold(filter, |value, key| value.proto(key)).and_then(Located::text);
    let names = [
        around.name,
        text(&["filter_name"]),
        text(&["dynamic_module_config", "name"]),
        text(&["dynamic_module_config", "module", "local", "filename"]),
        text(&["dynamic_module_config", "module", "remote", "http_uri", "uri"]),
    ];
    if !ours(&names) {
        return None;
    }
    let (configuration, form, fault) = read(filter.proto("filter_config"));
    Some(Found {
        home: Home::Envoy,
        name: names.into_iter().flatten().next().unwrap_or_default().to_owned(),
        at: filter.at,
        configuration,
        form,
        environment: Vec::new(),
        vm_id: None,
        plugin: filter,
        fault,
        scope: String::new(),
        around,
    })
}

/// What the filter reads of its `Any`, in which form, and what is wrong with that.
fn read(any: Option<&Located>) -> (Option<&Located>, Form, Option<(Position, String)>) {
    match any.map(configuration) {
        None => (None, Form::Json, None),
        Some(Ok((value, form))) => (value, form, None),
        Some(Err(fault)) => (None, Form::Json, Some(fault)),
    }
}

/// The value in the `Any` that Envoy wants here, or why it refuses what is there.
fn configuration(any: &Located) -> Result<(Option<&Located>, Form), (Position, String)> {
    let written = "Write `\"@type\": type.googleapis.com/google.protobuf.StringValue` and the JSON as a text in `value`, or a `Struct`.";
    let Some(name) = any.get("@type").and_then(Located::text) else {
        return Err((any.at, format!("has no `@type`, so that Envoy refuses it. {written}")));
    };
    let value = any.get("value");
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let fits = |node: &Node| match name {
        "google.protobuf.StringValue" => matches!(node, Node::Text(_)),
        _ => matches!(node, Node::Object(_)),
    };
    match (name, value) {
        ("google.protobuf.StringValue" | "google.protobuf.Struct", Some(value)) if !fits(&value.node) => {
            let wanted = if name == "google.protobuf.StringValue" { "a text" } else { "an object" };
            Err((value.at, format!("is a {name} with a value that is not {wanted}: Envoy refuses it. {written}")))
        }
        ("google.protobuf.StringValue", value) => Ok((value, Form::Json)),
        ("google.protobuf.Struct", value) => Ok((value, Form::Struct)),
        _ => Err((any.at, format!("is a {name}, which the filter cannot read. {written}"))),
    }
}
