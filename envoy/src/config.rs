//! The shipped configurations, and how a run adapts one: ports, addresses, the module's path, the filter's settings.

use crate::filter::Filter;
use serde_json::{Map, Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

/// A configuration that users copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// Listeners `inbound` and `outbound`; clusters `application`, `payments`, `otel_collector`.
    Sidecar,
    /// The sidecar with OTLP over gRPC.
    SidecarGrpcExport,
    /// Listener `edge`; clusters `frontend`, `otel_collector`.
    Gateway,
}

impl Shipped {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sidecar, Self::SidecarGrpcExport, Self::Gateway];

    /// The file's name in `envoy/`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar.yaml",
            Self::SidecarGrpcExport => "sidecar-grpc-export.yaml",
            Self::Gateway => "gateway.yaml",
        }
    }

    /// The file as it is shipped.
    pub fn text(self) -> &'static str {
        match self {
            Self::Sidecar => include_str!("../sidecar.yaml"),
            Self::SidecarGrpcExport => include_str!("../sidecar-grpc-export.yaml"),
            Self::Gateway => include_str!("../gateway.yaml"),
        }
    }
}

/// The cluster that recall asks through, as users copy it.
const RECALL_CLUSTER: &str = include_str!("../recall-cluster.yaml");

/// What the configuration does not have, so that it cannot be patched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// The text is no YAML; what the parser says.
    NotYaml(String),
    /// No value at that JSON pointer (RFC 6901).
    NoPointer(String),
    /// No listener or cluster of that name.
    NoName {
        /// Which list.
        list: &'static str,
        /// The name looked for.
        name: String,
    },
    /// The filter's configuration is no JSON text.
    NoPluginJson,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYaml(error) => write!(f, "not YAML: {error}"),
            Self::NoPointer(pointer) => write!(f, "nothing at {pointer}"),
            Self::NoName { list, name } => write!(f, "no {name:?} among the {list}"),
            Self::NoPluginJson => write!(f, "the filter's configuration is not a StringValue with JSON in it"),
        }
    }
}

impl std::error::Error for PatchError {}

type Patched = Result<(), PatchError>;

/// An Envoy bootstrap as a value. Written as JSON, which Envoy reads as well as YAML.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap(Value);

impl Bootstrap {
    /// Reads YAML; anchors are resolved.
    pub fn from_yaml(text: &str) -> Result<Self, PatchError> {
        yaml_serde::from_str(text).map(Self).map_err(|error| PatchError::NotYaml(error.to_string()))
    }

    /// A shipped configuration with the two changes that every run needs: the module's path, and 127.0.0.1:0 for the
    /// admin port and all listeners. [`crate::Envoy::address`] knows what they became.
    pub fn shipped(which: Shipped, module: &Path) -> Result<Self, PatchError> {
        let mut bootstrap = Self::from_yaml(which.text())?;
        bootstrap.set_module(module);
        bootstrap.listen_anywhere();
        Ok(bootstrap)
    }

    /// The whole of it.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Replaces what is at a JSON pointer; the value must exist, so that a misspelt pointer is found.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> Patched {
        *self.0.pointer_mut(pointer).ok_or_else(|| PatchError::NoPointer(pointer.to_owned()))? = value.into();
        Ok(())
    }

    /// A static listener by its name.
    pub fn listener(&mut self, name: &str) -> Result<&mut Value, PatchError> {
        self.named("listeners", name)
    }

    /// A static cluster by its name.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value, PatchError> {
        self.named("clusters", name)
    }

    /// The HTTP connection manager's settings of a static listener.
    pub fn connection_manager(&mut self, listener: &str) -> Result<&mut Value, PatchError> {
        let pointer = "/filter_chains/0/filters/0/typed_config";
        self.listener(listener)?.pointer_mut(pointer).ok_or_else(|| PatchError::NoPointer(pointer.to_owned()))
    }

    /// The action (`route`) of the first route of a static listener.
    pub fn route(&mut self, listener: &str) -> Result<&mut Value, PatchError> {
        let pointer = "/route_config/virtual_hosts/0/routes/0/route";
        self.connection_manager(listener)?.pointer_mut(pointer).ok_or_else(|| PatchError::NoPointer(pointer.to_owned()))
    }

    /// Binds a listener to a fixed address.
    pub fn listen(&mut self, listener: &str, address: SocketAddr) -> Patched {
        self.listener(listener)?["address"] = socket_address(address);
        Ok(())
    }

    /// Binds the admin port to a fixed address.
    pub fn admin(&mut self, address: SocketAddr) {
        self.0["admin"]["address"] = socket_address(address);
    }

    fn listen_anywhere(&mut self) {
        let anywhere = crate::ports::any_loopback();
        self.admin(anywhere);
        for listener in self.list("listeners") {
            listener["address"] = socket_address(anywhere);
        }
    }

    /// Gives a cluster exactly these hosts.
    pub fn endpoints(&mut self, cluster: &str, addresses: &[SocketAddr]) -> Patched {
        let hosts: Vec<_> =
            addresses.iter().map(|a| json!({ "endpoint": { "address": socket_address(*a) } })).collect();
        let cluster_value = self.cluster(cluster)?;
        cluster_value["type"] = "STATIC".into();
        cluster_value["load_assignment"] = json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": hosts }] });
        Ok(())
    }

    /// Adds a cluster like another one, with these hosts.
    pub fn copy_cluster(&mut self, like: &str, name: &str, addresses: &[SocketAddr]) -> Patched {
        let mut cluster = self.cluster(like)?.clone();
        cluster["name"] = name.into();
        self.list_mut("clusters").push(cluster);
        self.endpoints(name, addresses)
    }

    /// Adds a route before the others of a listener's first virtual host: paths below `prefix` get that route action.
    pub fn add_route(&mut self, listener: &str, prefix: &str, action: Value) -> Patched {
        let pointer = "/route_config/virtual_hosts/0/routes";
        let routes = self.connection_manager(listener)?.pointer_mut(pointer).and_then(Value::as_array_mut);
        let mut route = json!({ "match": { "prefix": prefix } });
        if let (Some(route), Value::Object(action)) = (route.as_object_mut(), action) {
            route.extend(action);
        }
        routes.ok_or_else(|| PatchError::NoPointer(pointer.to_owned()))?.insert(0, route);
        Ok(())
    }

    /// Lets the `outbound` listener of a sidecar reach one more service, called by `host`: a cluster of that name, and a
    /// virtual host like the one for `payments`.
    pub fn add_outbound(&mut self, host: &str, address: SocketAddr) -> Patched {
        self.copy_cluster("payments", host, &[address])?;
        let hosts = &mut self.connection_manager("outbound")?["route_config"]["virtual_hosts"];
        let mut route = hosts[0]["routes"][0].clone();
        route["route"]["cluster"] = host.into();
        if let Some(hosts) = hosts.as_array_mut() {
            hosts.push(json!({ "name": host, "domains": [host, format!("{host}:*")], "routes": [route] }));
        }
        Ok(())
    }

    /// Switches recall on: the shipped cluster, and the filter's settings on every listener.
    pub fn recall(&mut self, token: &str) -> Patched {
        let cluster = Self::from_yaml(RECALL_CLUSTER)?.0;
        self.list_mut("clusters").push(cluster);
        self.plugin(|json| json["upgrade"]["recall"] = json!({ "enabled": true, "token": token }))
    }

    /// Adds the cluster for instances that were called over TLS, with this transport socket.
    pub fn recall_over(&mut self, name: &str, transport_socket: Value) -> Patched {
        let mut cluster = Self::from_yaml(RECALL_CLUSTER)?.0;
        cluster["name"] = name.into();
        cluster["transport_socket"] = transport_socket;
        self.list_mut("clusters").push(cluster);
        self.plugin(|json| json["upgrade"]["recall"]["tls_cluster"] = name.into())
    }

    /// Gives headers that tracing reads slots of their own, as `wrapped.yaml` has it.
    pub fn add_inline_headers(&mut self) {
        self.0["inline_headers"] = crate::wrapped::shipped()["inline_headers"].clone();
    }

    /// Has every listener load another module.
    pub fn set_module(&mut self, module: &Path) {
        for filter in self.plugins() {
            filter["typed_config"]["config"]["vm_config"]["code"] = json!({ "local": { "filename": module } });
        }
    }

    /// Takes the filter out of every listener: the same Envoy without Tracelift, to compare with.
    pub fn without_plugin(&mut self) {
        for filters in self.list("listeners").filter_map(http_filters) {
            filters.retain(|filter| filter["name"] != PLUGIN);
        }
    }

    /// Sets a VM environment variable for the filter on every listener.
    pub fn environment(&mut self, name: &str, value: &str) {
        for filter in self.plugins() {
            filter["typed_config"]["config"]["vm_config"]["environment_variables"]["key_values"][name] = value.into();
        }
    }

    /// Hands the filter a variable of Envoy's own environment, on every listener.
    pub fn host_environment(&mut self, name: &str) {
        for filter in self.plugins() {
            let variables = &mut filter["typed_config"]["config"]["vm_config"]["environment_variables"];
            variables["host_env_keys"] = json!([name]);
        }
    }

    /// Lets the filter call and export nothing of proxy-wasm and WASI but this, on every listener.
    pub fn allow_only(&mut self, capabilities: &[&str]) {
        let allowed: serde_json::Map<_, _> = capabilities.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        for filter in self.plugins() {
            filter["typed_config"]["config"]["capability_restriction_config"] =
                json!({ "allowed_capabilities": allowed });
        }
    }

    /// Changes the filter's JSON on every listener.
    pub fn plugin(&mut self, mut change: impl FnMut(&mut Value)) -> Patched {
        for filter in self.plugins() {
            let text = &mut filter["typed_config"]["config"]["configuration"]["value"];
            let mut json = text.as_str().and_then(|t| serde_json::from_str(t).ok()).ok_or(PatchError::NoPluginJson)?;
            change(&mut json);
            *text = json.to_string().into();
        }
        Ok(())
    }

    /// Hands the filter's settings over as a `google.protobuf.Struct` in place of JSON text.
    pub fn plugin_as_struct(&mut self) -> Patched {
        for filter in self.plugins() {
            let configuration = &mut filter["typed_config"]["config"]["configuration"];
            let json: Value = configuration["value"]
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
                .ok_or(PatchError::NoPluginJson)?;
            *configuration = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": json });
        }
        Ok(())
    }

    /// Gives the filter a configuration that may be no JSON at all.
    pub fn plugin_text(&mut self, text: &str) {
        for filter in self.plugins() {
            filter["typed_config"]["config"]["configuration"]["value"] = text.into();
        }
    }

    /// Takes the static listeners out and has Envoy read them from `file`, which it watches for replacements. Returns
    /// the file's content: write it, and its successors by rename, with [`crate::process::replace_file`].
    pub fn listeners_from_file(&mut self, file: &Path) -> String {
        let listeners = std::mem::take(self.list_mut("listeners"));
        if let Some(resources) = self.0["static_resources"].as_object_mut() {
            resources.remove("listeners");
        }
        self.0["dynamic_resources"] = json!({ "lds_config": {
            "resource_api_version": "V3",
            "path_config_source": { "path": file },
        }});
        discovery_response(listeners)
    }

    /// The listeners in the form of [`Self::listeners_from_file`].
    pub fn listeners_as_discovery_response(&mut self) -> String {
        discovery_response(self.list_mut("listeners").clone())
    }

    fn named(&mut self, list: &'static str, name: &str) -> Result<&mut Value, PatchError> {
        let found = self.list(list).find(|item| item["name"] == name);
        found.ok_or_else(|| PatchError::NoName { list, name: name.to_owned() })
    }

    fn list(&mut self, list: &str) -> impl Iterator<Item = &mut Value> {
        self.list_mut(list).iter_mut()
    }

    fn list_mut(&mut self, list: &str) -> &mut Vec<Value> {
        let value = &mut self.0["static_resources"][list];
        if !value.is_array() {
            *value = Value::Array(Vec::new());
        }
        match value {
            Value::Array(items) => items,
            _ => unreachable!("made an array above"),
        }
    }

    fn plugins(&mut self) -> impl Iterator<Item = &mut Value> {
        self.list("listeners").filter_map(http_filters).flatten().filter(|filter| filter["name"] == PLUGIN)
    }
}

/// The filter's name in the shipped files.
const PLUGIN: &str = "tracelift";

fn http_filters(listener: &mut Value) -> Option<&mut Vec<Value>> {
    listener.pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters")?.as_array_mut()
}

fn discovery_response(listeners: Vec<Value>) -> String {
    let resources: Vec<Value> = listeners
        .into_iter()
        .map(|listener| {
            let mut resource = Map::new();
            resource.insert("@type".to_owned(), "type.googleapis.com/envoy.config.listener.v3.Listener".into());
            resource.extend(listener.as_object().cloned().unwrap_or_default());
            Value::Object(resource)
        })
        .collect();
    let mut response = json!({ "resources": resources });
    if let Ok(filter) = Filter::of_this_run() {
        filter.put_into(&mut response);
    }
    response.to_string()
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_can_be_patched_by_name() {
        for which in Shipped::ALL {
            let mut bootstrap = Bootstrap::shipped(which, Path::new("/lib/tracelift.wasm")).unwrap();
            bootstrap.endpoints("otel_collector", &[([127, 0, 0, 1], 4318).into()]).unwrap();
            bootstrap.plugin(|json| json["sampling"]["ratio"] = 1.into()).unwrap();
            let text = bootstrap.as_value().to_string();
            assert!(text.contains("/lib/tracelift.wasm") && !text.contains("/etc/envoy"), "{which:?}");
            bootstrap.without_plugin();
            assert!(!bootstrap.as_value().to_string().contains("tracelift.wasm"), "{which:?}");
            assert!(text.contains(r#"\"ratio\":1"#) && !text.contains("15006\"}},\"traffic"), "{which:?}");
        }
    }

    #[test]
    fn a_name_or_pointer_that_is_not_there_is_an_error() {
        let mut bootstrap = Bootstrap::shipped(Shipped::Gateway, Path::new("m.wasm")).unwrap();
        let error = bootstrap.endpoints("payments", &[]).unwrap_err();
        assert_eq!(error.to_string(), r#"no "payments" among the clusters"#);
        assert_eq!(bootstrap.set("/static/x", 1), Err(PatchError::NoPointer("/static/x".to_owned())));
    }
}
