//! Which filter an Envoy runs: the shipped files have the wasm module, and a run may put the dynamic module in its place. All
//! else stays the same, so that one test is for both.

use crate::config::Bootstrap;
use crate::process::{EnvoyError, variable};
use crate::wrapped;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The filter in Envoy's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As the configuration has it.
    Wasm,
    /// The same, wrapped in a matcher as `wrapped.yaml` has it.
    Wrapped {
        /// With slots for the headers that it reads.
        inline_headers: bool,
    },
    /// The dynamic module at this path.
    Dynamic(PathBuf),
}

pub(crate) const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const DYNAMIC: &str = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const EXTENSION: &str =
    "type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension";
/// What the cluster of recall has for a dynamic module alone.
const OPTIONS: &str = "typed_extension_protocol_options";
/// As users copy it.
const RECALL_CLUSTER: &str = include_str!("../recall-cluster-dynamic-module.yaml");
/// Set for a run whose Envoys are to have the wasm filter wrapped.
const WRAPPED: &str = "TRACELIFT_WRAPPED";
/// Names the dynamic module for a run whose Envoys are to have it.
const VARIABLE: &str = "TRACELIFT_DYNAMIC_MODULE";

impl Filter {
    /// Envoy's runtime flag that takes its prefix away from what a dynamic module counts, on Prometheus' page.
    pub const WITHOUT_PREFIX: &str = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";

    /// What this run is about: the module that `TRACELIFT_DYNAMIC_MODULE` names, else wasm, wrapped if `TRACELIFT_WRAPPED` is set.
    pub fn of_this_run() -> Result<Self, EnvoyError> {
        let Some(path) = variable(VARIABLE) else {
            return Ok(if variable(WRAPPED).is_some() { Self::Wrapped { inline_headers: true } } else { Self::Wasm });
        };
        let missing = |_| EnvoyError::Missing {
            what: "dynamic module",
            advice: format!("{VARIABLE} is {}; run `cargo xtask build --dynamic-module`", path.display()),
        };
        path.canonicalize().map(Self::Dynamic).map_err(missing)
    }

    /// Whether it is the dynamic module.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dynamic(_))
    }

    /// Changes every filter of ours in a bootstrap, or in a discovery response. Returns the environment that the filters had as
    /// VMs, which is the process's for a dynamic module.
    pub fn put_into(&self, configuration: &mut Value) -> Vec<(String, String)> {
        let mut environment = Vec::new();
        if let Self::Wrapped { inline_headers } = self {
            wrapped::wrap(configuration);
            if *inline_headers && configuration.get("static_resources").is_some() {
                wrapped::inline_headers(configuration);
            }
        }
        if let Self::Dynamic(path) = self {
            let module = json!({ "module": { "local": { "filename": path } } });
            replace(configuration, &module, &mut environment);
            if configuration.get("static_resources").is_some() {
                name_metrics_as_wasm(configuration);
                if let Ok(cluster) = Bootstrap::from_yaml(RECALL_CLUSTER) {
                    ask_as_wasm(configuration, &cluster);
                }
                configuration["bootstrap_extensions"] = json!([{
                    "name": "envoy.bootstrap.dynamic_modules",
                    "typed_config": { "@type": EXTENSION, "dynamic_module_config": module, "extension_name": "tracelift" },
                }]);
            }
        }
        environment
    }
}

/// Has Prometheus' page name the metrics of a dynamic module as those of a wasm module: without what Envoy puts in front.
fn name_metrics_as_wasm(bootstrap: &mut Value) {
    let layers = &mut bootstrap["layered_runtime"]["layers"];
    if layers.is_null() {
        *layers = json!([{ "name": "tracelift", "static_layer": {} }, { "name": "admin", "admin_layer": {} }]);
    }
    let layers = layers.as_array_mut().into_iter().flatten();
    if let Some(ours) = layers.into_iter().find_map(|layer| layer.get_mut("static_layer")) {
        let flag = &mut ours[Filter::WITHOUT_PREFIX];
        if flag.is_null() {
            *flag = true.into();
        }
    }
}

/// Gives clusters of recall what the shipped one for dynamic modules has and the other has not.
fn ask_as_wasm(bootstrap: &mut Value, shipped: &Bootstrap) {
    let options = &shipped.as_value()[OPTIONS];
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
    for cluster in clusters.into_iter().flatten().filter(|cluster| cluster["type"] == "ORIGINAL_DST") {
        cluster[OPTIONS] = options.clone();
    }
}

fn replace(value: &mut Value, module: &Value, environment: &mut Vec<(String, String)>) {
    if value["@type"] == WASM {
        environment.extend(variables(value));
        let config = &value["config"];
        *value = json!({
            "@type": DYNAMIC,
            "dynamic_module_config": module,
            "filter_name": config["name"],
            "filter_config": config["configuration"],
        });
        return;
    }
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| replace(item, module, environment));
            if items.iter().any(|item| *item == WASM) {
                items.push(DYNAMIC.into()); // Types that a discovered filter may have.
            }
        }
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, module, environment)),
        // Filter state and metrics of a dynamic module have their own names.
        Value::String(text) => {
            *text = text.replace("FILTER_STATE(wasm.tracelift.", "FILTER_STATE(tracelift.");
            *text = text.replace("^wasmcustom\\.", "^dynamicmodulescustom\\.");
        }
        _ => {}
    }
}

fn variables(filter: &Value) -> Vec<(String, String)> {
    let values = &filter["config"]["vm_config"]["environment_variables"]["key_values"];
    let values = values.as_object().into_iter().flatten();
    values.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shipped;
    use std::path::Path;

    /// As users copy it.
    const SHIPPED: &str = include_str!("../dynamic-module.yaml");

    #[test]
    fn the_shipped_sidecar_with_a_dynamic_module_is_the_shipped_sidecar_with_only_that_changed() {
        let mut sidecar = Bootstrap::from_yaml(Shipped::Sidecar.text()).unwrap().as_value().clone();
        Filter::Dynamic("/etc/envoy/libtracelift.so".into()).put_into(&mut sidecar);
        assert_eq!(sidecar, *Bootstrap::from_yaml(SHIPPED).unwrap().as_value());
    }

    #[test]
    fn the_shipped_clusters_of_recall_differ_in_what_a_dynamic_module_needs_alone() {
        let mut cluster = Bootstrap::from_yaml(RECALL_CLUSTER).unwrap().as_value().clone();
        let options = cluster.as_object_mut().unwrap().remove(OPTIONS).unwrap();
        assert!(options.to_string().contains(r#"{"remove":"x-forwarded-for"}"#), "{options}");
        let wasm = Bootstrap::from_yaml(include_str!("../recall-cluster.yaml")).unwrap();
        assert_eq!(cluster, *wasm.as_value());
    }

    #[test]
    fn a_dynamic_module_takes_the_place_of_every_filter_with_its_settings_and_its_environment() {
        for which in Shipped::ALL {
            let bootstrap = Bootstrap::shipped(which, Path::new("/lib/tracelift.wasm")).unwrap();
            let mut value = bootstrap.as_value().clone();
            let environment = Filter::Dynamic("/lib/libtracelift.so".into()).put_into(&mut value);
            let text = value.to_string();
            assert!(!text.contains("tracelift.wasm") && !text.contains("v8"), "{text}");
            assert_eq!(text.matches(DYNAMIC).count(), bootstrap.as_value().to_string().matches(WASM).count());
            assert!(text.contains("/lib/libtracelift.so") && text.contains("service_name"), "{text}");
            assert!(environment.contains(&("TRACELIFT_ON_INVALID_CONFIG".to_owned(), "refuse".to_owned())));
            let mut same = bootstrap.as_value().clone();
            assert_eq!(Filter::Wasm.put_into(&mut same), []);
            assert_eq!(same, *bootstrap.as_value());
        }
    }
}
