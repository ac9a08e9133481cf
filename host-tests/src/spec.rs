//! A request before it is sent.

use crate::Headers;
use crate::property::{Properties, Property, PropertyPath};

/// A request as a test describes it.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    pub(crate) listener: String,
    pub(crate) worker: usize,
    pub(crate) headers: Headers,
    pub(crate) end_of_stream: bool,
    pub(crate) properties: Properties,
}

impl RequestSpec {
    /// A request without a body, on worker 0, to the cluster `backend` over the route `default`.
    pub fn new(listener: &str, headers: impl Into<Headers>) -> Self {
        let spec = Self {
            listener: listener.to_owned(),
            worker: 0,
            headers: headers.into(),
            end_of_stream: true,
            properties: Properties::default(),
        };
        spec.property("xds.cluster_name", "backend")
            .property("xds.route_name", "default")
            .property("xds.virtual_host_name", "backend")
            .property("xds.filter_chain_name", "")
            .property("source.address", "10.0.0.9:41234")
            .property("source.port", 41234)
            .property("destination.address", "10.0.0.1:8080")
            .property("destination.port", 8080)
            .property("upstream.address", "10.0.0.2:8080")
            .property("upstream.port", 8080)
            .property("upstream.local_address", "10.0.0.1:51000")
            .property("upstream.transport_failure_reason", "")
            .property("connection.id", 1)
            .property("connection.mtls", false)
    }

    /// The worker thread that gets it.
    pub fn worker(mut self, worker: usize) -> Self {
        self.worker = worker;
        self
    }

    /// A body will follow: [`Request::body`], [`Request::trailers`].
    pub fn with_body(mut self) -> Self {
        self.end_of_stream = false;
        self
    }

    /// Overrides a property. It still exists only in the phases in which Envoy has it.
    pub fn property(mut self, path: impl Into<PropertyPath>, value: impl Into<Property>) -> Self {
        self.properties.set(path.into(), value.into());
        self
    }
}
