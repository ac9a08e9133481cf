//! The schemas of custom resources, from the projects' own CRDs (`crds/`, where each file names its source), read as
//! strictly as `kubectl --validate=strict` does: a field that the schema does not know is an error.

use serde_json::{Value, json};

const CRDS: [&str; 7] = [
    include_str!("crds/wasmplugins.json"),
    include_str!("crds/envoyfilters.json"),
    include_str!("crds/telemetries.json"),
    include_str!("crds/envoyextensionpolicies.json"),
    include_str!("crds/envoyproxies.json"),
    include_str!("crds/trafficextensions.json"),
    include_str!("crds/podmonitors.json"),
];

/// Checks a manifest against the schema of its kind and version.
pub fn check(document: &Value) -> Result<(), String> {
    let (kind, version) = (&document["kind"], document["apiVersion"].as_str().unwrap_or_default());
    let schema = CRDS
        .iter()
        .map(|crd| serde_json::from_str::<Value>(crd).expect("a CRD is JSON"))
        .find(|crd| crd["kind"] == *kind)
        .and_then(|crd| crd["versions"].get(version).cloned())
        .ok_or_else(|| format!("no schema of {kind} in {version}"))?;
    let validator = jsonschema::validator_for(&resource(schema)).expect("a CRD's schema");
    let errors: Vec<_> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if errors.is_empty() { Ok(()) } else { Err(format!("{kind}: {}", errors.join("; "))) }
}

/// The schema with what the API server adds to each resource.
fn resource(mut schema: Value) -> Value {
    strict(&mut schema);
    for field in ["apiVersion", "kind"] {
        schema["properties"][field] = json!({ "type": "string" });
    }
    schema["properties"]["metadata"] = json!({ "type": "object", "required": ["name", "namespace"] });
    schema
}

/// Closes every object that lists its fields. Alternatives (`oneOf` and so on) list some of them only, and stay open.
fn strict(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let lists_its_fields = object.contains_key("properties") && !object.contains_key("additionalProperties");
    if lists_its_fields && object.get("x-kubernetes-preserve-unknown-fields") != Some(&json!(true)) {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => fields.values_mut().for_each(strict),
            ("items" | "additionalProperties", value) => strict(value),
            _ => {}
        }
    }
}
