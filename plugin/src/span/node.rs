//! What Envoy's bootstrap says of the node, in Istio's keys.

use super::bounds;

/// Facts of the Envoy node. Istio's agent writes the metadata (`pkg/model/proxy.go` of Istio); plain Envoys have `id`,
/// `cluster` and locality at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeMetadata {
    /// `node.id`.
    pub id: Option<String>,
    /// `node.cluster` (`--service-cluster`).
    pub cluster: Option<String>,
    /// `NAME`: the pod.
    pub name: Option<String>,
    /// `NAMESPACE`: the pod's.
    pub namespace: Option<String>,
    /// `WORKLOAD_NAME`.
    pub workload: Option<String>,
    /// `OWNER`: `kubernetes://apis/apps/v1/namespaces/<namespace>/<kind>s/<name>`.
    pub owner: Option<String>,
    /// Label `service.istio.io/canonical-name`.
    pub canonical_name: Option<String>,
    /// Label `app.kubernetes.io/name`.
    pub app_name: Option<String>,
    /// Label `app`.
    pub app: Option<String>,
    /// Label `app.kubernetes.io/version`.
    pub app_version: Option<String>,
    /// Label `version`.
    pub version: Option<String>,
    /// Label `service.istio.io/canonical-revision`, which is `latest` when nobody set one.
    pub canonical_revision: Option<String>,
    /// `MESH_ID`.
    pub mesh_id: Option<String>,
    /// `CLUSTER_ID`: the Kubernetes cluster.
    pub cluster_id: Option<String>,
    /// `NODE_NAME`: the machine.
    pub node_name: Option<String>,
    /// `node.locality.region`.
    pub region: Option<String>,
    /// `node.locality.zone`.
    pub zone: Option<String>,
}

impl NodeMetadata {
    /// Reads every field by its path below `xds` (and below nothing, where an older Envoy has it); `property` answers a
    /// string property's bytes. Empty ones count as absent.
    pub fn read(mut property: impl FnMut(&[&str]) -> Option<Vec<u8>>) -> Self {
        let mut get = |path: &[&str]| {
            let value = property(path).filter(|value| !value.is_empty())?;
            Some(bounds::text(&value, bounds::TEXT))
        };
        Self {
            id: get(&["xds", "node", "id"]),
            cluster: get(&["xds", "node", "cluster"]),
            name: get(&["xds", "node", "metadata", "NAME"]),
            namespace: get(&["xds", "node", "metadata", "NAMESPACE"]),
            workload: get(&["xds", "node", "metadata", "WORKLOAD_NAME"]),
            owner: get(&["xds", "node", "metadata", "OWNER"]),
            canonical_name: get(&["xds", "node", "metadata", "LABELS", "service.istio.io/canonical-name"]),
            app_name: get(&["xds", "node", "metadata", "LABELS", "app.kubernetes.io/name"]),
            app: get(&["xds", "node", "metadata", "LABELS", "app"]),
            app_version: get(&["xds", "node", "metadata", "LABELS", "app.kubernetes.io/version"]),
            version: get(&["xds", "node", "metadata", "LABELS", "version"]),
            canonical_revision: get(&["xds", "node", "metadata", "LABELS", "service.istio.io/canonical-revision"]),
            mesh_id: get(&["xds", "node", "metadata", "MESH_ID"]),
            cluster_id: get(&["xds", "node", "metadata", "CLUSTER_ID"]),
            node_name: get(&["xds", "node", "metadata", "NODE_NAME"]),
            region: get(&["xds", "node", "locality", "region"]),
            zone: get(&["xds", "node", "locality", "zone"]),
        }
    }
}
