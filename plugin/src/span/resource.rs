//! Who made the spans: configuration over environment over node metadata over a fallback.

use super::semconv::resource as key;
use super::{NodeMetadata, Value, bounds};

/// The resource of every exported span: attributes, no key twice, `service.name` first.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource(Vec<(String, Value)>);

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
        resource.offer(key::SERVICE_NAME, Self::UNKNOWN_SERVICE);
        resource
    }

    /// The attributes.
    pub fn attributes(&self) -> &[(String, Value)] {
        &self.0
    }

    fn offer(&mut self, name: &str, value: &str) {
        let taken = || self.0.iter().any(|(known, _)| known == name);
        if name.is_empty()
            || value.is_empty()
            || bounds::KEY < name.len()
            || bounds::RESOURCE <= self.0.len()
            || taken()
        {
            return;
        }
        self.0.push((name.to_owned(), Value::Text(bounds::text(value.as_bytes(), bounds::TEXT))));
    }
}
