//! What is known of the proxy's node. Envoy shows a module neither id nor metadata of it, but a module has the process's
//! environment, where Istio's injection says the same things.

use std::env;

use tracelift::span::NodeMetadata;

/// A key of the node's metadata, and the variable that Istio's sidecar and gateway injection set to the same value.
const VARIABLES: [(&str, &str); 9] = [
    ("NAME", "POD_NAME"),
    ("NAMESPACE", "POD_NAMESPACE"),
    ("WORKLOAD_NAME", "ISTIO_META_WORKLOAD_NAME"),
    ("OWNER", "ISTIO_META_OWNER"),
    ("MESH_ID", "ISTIO_META_MESH_ID"),
    ("CLUSTER_ID", "ISTIO_META_CLUSTER_ID"),
    ("NODE_NAME", "ISTIO_META_NODE_NAME"),
    ("service.istio.io/canonical-name", "CANONICAL_SERVICE"),
    ("service.istio.io/canonical-revision", "CANONICAL_REVISION"),
];

/// The node, as far as the environment says.
pub fn metadata() -> NodeMetadata {
    NodeMetadata::read(|path| {
        let key = path.last()?;
        let (_, variable) = VARIABLES.iter().find(|(known, _)| known == key)?;
        env::var(variable).ok().map(String::into_bytes)
    })
}
