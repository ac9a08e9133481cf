//! What Envoy's bootstrap says of this node.

use super::host;
use crate::span::NodeMetadata;

/// Reads Istio's keys; all of them are optional.
pub fn metadata() -> NodeMetadata {
    NodeMetadata::read(|path| host::property(&path.join("\0")).ok().flatten())
}

/// The name of this filter in Envoy's configuration.
pub fn plugin_name() -> String {
    let name = host::property("plugin_name").ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}
