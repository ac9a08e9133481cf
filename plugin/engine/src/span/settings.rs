//! The checked `attributes` part of the configuration.

/// What a span may carry beyond the default, which is private: no query string, no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeSettings {
    /// Request headers to record, in lower case. Pseudo-headers are never recorded, and of those that hold credentials only
    /// the fact that they were there.
    pub request_headers: Vec<String>,
    /// Response headers to record, in lower case; as above.
    pub response_headers: Vec<String>,
    /// Record the query string, with the values of known signature parameters redacted.
    pub query: bool,
    /// The service that the spans are of, as X-Ray may hear of it ([`super::Resource::xray_service_name`]); filled in when
    /// Envoy's node is known, and empty before.
    pub service_name: String,
}
