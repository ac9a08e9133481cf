//! Who made the spans: configuration over environment over node metadata over a fallback.

use super::semconv::resource as key;
use super::{NodeMetadata, Value, bounds};
use crate::identity;

/// The resource of every exported span: attributes, no key twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource(Vec<(String, Value<'static>)>);

/// Where a resource comes from, the strongest first.
#[derive(Clone, Copy, Debug)]
pub struct ResourceInputs<'a> {
    /// `service_name` of the configuration.
    pub service_name: Option<&'a str>,
    /// `resource` of the configuration.
    pub attributes: &'a [(String, String)],
    /// `OTEL_SERVICE_NAME`, which beats `service.name` among the next.
    pub environment_service_name: Option<&'a str>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, already percent-decoded.
    pub environment_attributes: &'a [(String, String)],
    /// What Envoy knows of its node.
    pub node: &'a NodeMetadata,
}

impl Resource {
    /// `service.name` when no source has one. The conventions want the process after the colon.
    pub const UNKNOWN_SERVICE: &'static str = "unknown_service:envoy";

    /// Merges the sources: for each key the strongest one that has it. Empty names and values count as absent.
    pub fn merge(inputs: &ResourceInputs<'_>) -> Self {
        let mut resource = Self(Vec::with_capacity(16));
        if let Some(name) = inputs.service_name {
            resource.offer(key::SERVICE_NAME, name);
        }
        for (name, value) in inputs.attributes {
            resource.offer(name, value);
        }
        if let Some(name) = inputs.environment_service_name {
            resource.offer(key::SERVICE_NAME, name);
        }
        for (name, value) in inputs.environment_attributes {
            resource.offer(name, value);
        }
        for (name, value) in inputs.node.attributes() {
            resource.offer(name, &value);
        }
        resource.offer(key::SERVICE_NAME, Self::UNKNOWN_SERVICE);
        resource.offer(key::TELEMETRY_SDK_NAME, "tracelift");
        resource.offer(key::TELEMETRY_SDK_LANGUAGE, "rust");
        resource.offer(key::TELEMETRY_SDK_VERSION, identity::VERSION);
        resource
    }

    /// The logical service.
    pub fn service_name(&self) -> &str {
        self.text(key::SERVICE_NAME).unwrap_or(Self::UNKNOWN_SERVICE)
    }

    /// The group that the service belongs to; empty where it has none.
    pub fn service_namespace(&self) -> &str {
        self.text(key::SERVICE_NAMESPACE).unwrap_or_default()
    }

    /// The service's name for X-Ray's segments, and nothing where another cloud than AWS is named: of a span with `aws.span.kind` the
    /// collector's X-Ray exporter then dereferences nothing, and takes the collector with it (seen in 0.139).
    pub fn xray_service_name(&self) -> &str {
        match self.text(key::CLOUD_PROVIDER) {
            None | Some("aws") => self.service_name(),
            Some(_) => "",
        }
    }

    /// The same resource of one process, which this names.
    #[must_use]
    pub fn with_instance(mut self, id: &str) -> Self {
        self.0.retain(|(name, _)| name != key::SERVICE_INSTANCE_ID);
        self.0.push((key::SERVICE_INSTANCE_ID.to_owned(), Value::Text(id.to_owned().into())));
        self
    }

    /// The attributes.
    pub fn attributes(&self) -> &[(String, Value<'static>)] {
        &self.0
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        match self.0.iter().find(|(name, _)| name == wanted) {
            Some((_, Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    fn offer(&mut self, name: &str, value: &str) {
        let taken = || self.0.iter().any(|(known, _)| known == name);
        // The service's name has a place kept, so that a crowded configuration cannot push it out.
        let full = bounds::RESOURCE <= self.0.len() && name != key::SERVICE_NAME;
        if name.is_empty() || value.is_empty() || bounds::KEY < name.len() || full || taken() {
            return;
        }
        self.0.push((name.to_owned(), Value::Text(bounds::text(value.as_bytes(), bounds::TEXT).into_owned().into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn istio() -> NodeMetadata {
        let some = |text: &str| Some(text.to_owned());
        NodeMetadata {
            id: some("sidecar~10.1.2.3~cart-7f.shop~shop.svc.cluster.local"),
            cluster: some("cart.shop"),
            name: some("cart-7f"),
            namespace: some("shop"),
            workload: some("cart-v1"),
            owner: some("kubernetes://apis/apps/v1/namespaces/shop/deployments/cart-v1"),
            canonical_name: some("cart"),
            app: some("cart-app"),
            canonical_revision: some("latest"),
            version: some("v1"),
            mesh_id: some("cluster.local"),
            cluster_id: some("eu-1"),
            region: some("eu-west-1"),
            zone: some("eu-west-1a"),
            ..NodeMetadata::default()
        }
    }

    #[test]
    fn xray_hears_of_no_service_where_another_cloud_is_named() {
        let node = NodeMetadata::default();
        let named = |provider: &str| {
            let attributes = pairs(&[("service.name", "cart"), ("cloud.provider", provider)]);
            Resource::merge(&ResourceInputs {
                service_name: None,
                attributes: &attributes,
                environment_service_name: None,
                environment_attributes: &[],
                node: &node,
            })
        };
        for (provider, expected) in [("aws", "cart"), ("", "cart"), ("gcp", ""), ("azure", "")] {
            assert_eq!(named(provider).xray_service_name(), expected, "{provider:?}");
        }
    }

    #[test]
    fn the_stronger_source_wins_key_by_key() {
        let node = istio();
        let nothing = ResourceInputs {
            service_name: None,
            attributes: &[],
            environment_service_name: None,
            environment_attributes: &[],
            node: &node,
        };
        let json = pairs(&[("service.name", "json-attribute"), ("deployment.environment.name", "prod"), ("x", "json")]);
        let environment =
            pairs(&[("service.name", "env-attribute"), ("x", "env"), ("y", "env"), ("k8s.pod.name", "env")]);
        let empty = NodeMetadata::default();
        for (inputs, service) in [
            (ResourceInputs { service_name: Some("json"), attributes: &json, ..nothing }, "json"),
            (ResourceInputs { attributes: &json, environment_service_name: Some("env"), ..nothing }, "json-attribute"),
            (
                ResourceInputs {
                    environment_service_name: Some("env"),
                    environment_attributes: &environment,
                    ..nothing
                },
                "env",
            ),
            (ResourceInputs { environment_attributes: &environment, ..nothing }, "env-attribute"),
            (nothing, "cart"),
            (ResourceInputs { service_name: Some(""), environment_service_name: Some(""), ..nothing }, "cart"),
            (ResourceInputs { node: &empty, ..nothing }, "unknown_service:envoy"),
        ] {
            assert_eq!(Resource::merge(&inputs).text("service.name"), Some(service), "{inputs:?}");
        }
        let merged = ResourceInputs { attributes: &json, environment_attributes: &environment, ..nothing };
        let merged = Resource::merge(&merged);
        for (name, value) in [
            ("x", "json"),
            ("y", "env"),
            ("k8s.pod.name", "env"),
            ("k8s.namespace.name", "shop"),
            ("telemetry.sdk.name", "tracelift"),
        ] {
            assert_eq!(merged.text(name), Some(value), "{name}");
        }
        let mut names: Vec<_> = merged.attributes().iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "no key twice");
    }

    #[test]
    fn a_resource_is_bounded_and_still_has_its_service() {
        let many: Vec<_> = (0..500).map(|number| (format!("key.{number}"), "v".repeat(5000))).collect();
        let node = istio();
        let resource = Resource::merge(&ResourceInputs {
            service_name: None,
            attributes: &many,
            environment_service_name: None,
            environment_attributes: &pairs(&[(&"k".repeat(bounds::KEY + 1), "v"), ("", "v"), ("empty", "")]),
            node: &node,
        });
        assert_eq!(resource.attributes().len(), bounds::RESOURCE + 1);
        assert_eq!(resource.text("service.name"), Some("cart"));
        assert_eq!(resource.text("key.0").map(str::len), Some(bounds::TEXT));
    }
}
