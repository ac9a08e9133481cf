//! Which filter an Envoy runs: the shipped files have the wasm module, and a run may put the dynamic module in its place. All
//! else stays the same, so that one test is for both.

use crate::process::{EnvoyError, variable};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The filter in Envoy's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As the configuration has it.
    Wasm,
    /// The dynamic module at this path.
    Dynamic(PathBuf),
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const DYNAMIC: &str = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const EXTENSION: &str =
    "type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Of Envoy's runtime.
const WITHOUT_PREFIX: &str = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
/// Names the dynamic module for a run whose Envoys are to have it.
const VARIABLE: &str = "TRACELIFT_DYNAMIC_MODULE";

impl Filter {
    /// What this run is about: the module that `TRACELIFT_DYNAMIC_MODULE` names, else wasm.
    pub fn of_this_run() -> Result<Self, EnvoyError> {
        let Some(path) = variable(VARIABLE) else { return Ok(Self::Wasm) };
        let missing = |_| EnvoyError::Missing {
            what: "dynamic module",
            advice: format!("{VARIABLE} is {}; run `cargo xtask build --dynamic-module`", path.display()),
        };
        path.canonicalize().map(Self::Dynamic).map_err(missing)
    }

    /// Changes every filter of ours in a bootstrap, or in a discovery response. Returns the environment that the filters had as
    /// VMs, which is the process's for a dynamic module.
    pub fn put_into(&self, configuration: &mut Value) -> Vec<(String, String)> {
        let mut environment = Vec::new();
        if let Self::Dynamic(path) = self {
            let module = json!({ "module": { "local": { "filename": path } } });
            replace(configuration, &module, &mut environment);
            if configuration.get("static_resources").is_some() {
                name_metrics_as_wasm(configuration);
                ask_as_wasm(configuration);
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
        ours[WITHOUT_PREFIX] = true.into();
    }
}

/// Has clusters of recall take away what Envoy adds to every call of a dynamic module, and by which an instance knows requests from
/// outside the mesh.
fn ask_as_wasm(bootstrap: &mut Value) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
    for cluster in clusters.into_iter().flatten().filter(|cluster| cluster["type"] == "ORIGINAL_DST") {
        cluster["typed_extension_protocol_options"] = json!({ HTTP_OPTIONS: {
            "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
            "explicit_http_config": { "http_protocol_options": {} },
            "http_filters": [
                {
                    "name": "envoy.filters.http.header_mutation",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                        "mutations": { "request_mutations": [{ "remove": "x-forwarded-for" }] },
                    },
                },
                {
                    "name": "envoy.filters.http.upstream_codec",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                    },
                },
            ],
        } });
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
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, module, environment)),
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
    use crate::{Bootstrap, Shipped};
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
