//! Where in a document configurations of the filter are.

use serde::Serialize;

use super::envoy;
use super::kubernetes;
use super::{Located, Node, Position};

/// What a configuration was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// The document is the configuration.
    Plain,
    /// A Wasm filter in an Envoy bootstrap, in an xDS file, in a dump of Envoy's, or in an Istio `EnvoyFilter`.
    Envoy,
    /// Istio's `WasmPlugin`.
    WasmPlugin,
    /// Istio's `TrafficExtension`.
    TrafficExtension,
    /// Envoy Gateway's `EnvoyExtensionPolicy`.
    EnvoyExtensionPolicy,
}

/// In which form the configuration reaches the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON text: a `StringValue`, or what Istio and Envoy Gateway make of an object.
    Json,
    /// The bytes of a `Struct`.
    Struct,
}

/// Which calls a listener, or a plugin of Istio's, sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come to the application.
    Inbound,
    /// Those that it makes.
    Outbound,
    /// Nothing says so.
    Unspecified,
}

/// A secret that the proxy's own environment is to have: no file shows it, so that a check takes it for there.
pub(super) fn secret_of_host(name: &str) -> Option<String> {
    name.starts_with("TRACELIFT_RECALL_").then(|| "a-secret-of-the-host".to_owned())
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
    /// How that reaches the filter.
    pub form: Form,
    /// The VM's variables, with their places.
    pub environment: Vec<(String, String, Position)>,
    /// `vm_id`; `None` where that is not the manifest's to say.
    pub vm_id: Option<(String, Position)>,
    /// The plugin's own object.
    pub plugin: &'t Located,
    /// What Envoy does not take for a configuration at all, and why.
    pub fault: Option<(Position, String)>,
    /// Where it applies, as text: plugins of the same scope are in the same proxies.
    pub scope: String,
    /// What of the surroundings matters.
    pub around: Around<'t>,
}

/// What is around a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Around<'t> {
    /// The HTTP connection manager.
    pub connection_manager: Option<&'t Located>,
    /// The listener.
    pub listener: Option<&'t Located>,
    /// The matcher around it, which may have the filter skip answers.
    pub wrapper: Option<&'t Located>,
    /// The name beside the nearest `typed_config`.
    pub name: Option<&'t str>,
    /// Which calls come through here.
    pub direction: Direction,
}

impl Around<'_> {
    /// Nothing known.
    pub const NOTHING: Self =
        Self { connection_manager: None, listener: None, wrapper: None, name: None, direction: Direction::Unspecified };
}

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
        kubernetes::find(document, &mut found);
        return Some(found);
    }
    envoy::find(document, Around::NOTHING, &mut found);
    match &document.node {
        _ if !found.is_empty() || ENVOY_KEYS.iter().any(|key| document.proto(key).is_some()) => Some(found),
        Node::List(elements) if elements.iter().any(|element| !element.entries().is_empty()) => Some(found),
        Node::Object(_) => Some(vec![Found {
            home: Home::Plain,
            name: "configuration".to_owned(),
            at: document.at,
            configuration: Some(document),
            form: Form::Json,
            environment: Vec::new(),
            vm_id: None,
            plugin: document,
            fault: None,
            scope: String::new(),
            around: Around::NOTHING,
        }]),
        _ => None,
    }
}

/// Is one of these texts the name of our plugin or of its module?
pub fn ours(names: &[Option<&str>]) -> bool {
    names.iter().flatten().any(|name| name.to_ascii_lowercase().contains("tracelift"))
}
