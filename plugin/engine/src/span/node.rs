//! What Envoy's bootstrap says of the node, in Istio's keys.

use super::bounds;
use super::semconv::resource as key;

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
    /// Reads every field; `property` answers the bytes of a string property by its path. Paths begin with `xds`; an Envoy
    /// before 1.38 or so has them without it. Empty ones count as absent.
    pub fn read(mut property: impl FnMut(&[&str]) -> Option<Vec<u8>>) -> Self {
        let mut get = |path: &[&str]| {
            let value = property(path).filter(|value| !value.is_empty())?;
            Some(bounds::text(&value, bounds::TEXT).into_owned())
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

    /// The resource attributes that follow, no key twice. Region and zone come as the node says them; which cloud they belong
    /// to is the configuration's to say (`cloud.provider`).
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = Vec::with_capacity(16);
        let mut add = |key: &'static str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                list.push((key, value.to_owned()));
            }
        };
        add(key::SERVICE_NAME, self.service());
        add(key::SERVICE_NAMESPACE, self.namespace.as_deref());
        add(key::SERVICE_VERSION, self.service_version());
        add(key::SERVICE_INSTANCE_ID, self.instance().as_deref());
        add(key::K8S_POD_NAME, self.name.as_deref());
        add(key::K8S_NAMESPACE_NAME, self.namespace.as_deref());
        add(key::K8S_NODE_NAME, self.node_name.as_deref());
        add(key::K8S_CLUSTER_NAME, self.cluster_id.as_deref());
        if let Some((kind, name)) = self.owner.as_deref().and_then(owner) {
            add(kind, Some(name));
        }
        add(key::ISTIO_WORKLOAD_NAME, self.workload.as_deref());
        add(key::ISTIO_MESH_ID, self.mesh_id.as_deref());
        add(key::CLOUD_REGION, self.region.as_deref());
        add(key::CLOUD_AVAILABILITY_ZONE, self.zone.as_deref());
        list
    }

    /// In Istio's order for a canonical service; a plain Envoy has its `--service-cluster`.
    fn service(&self) -> Option<&str> {
        [&self.canonical_name, &self.app_name, &self.app, &self.workload, &self.cluster]
            .into_iter()
            .find_map(|name| name.as_deref().filter(|name| !name.is_empty()))
    }

    fn service_version(&self) -> Option<&str> {
        let revision = self.canonical_revision.as_deref().filter(|revision| *revision != "latest");
        self.app_version.as_deref().or(self.version.as_deref()).or(revision)
    }

    /// The pod within its namespace, else the node's id.
    fn instance(&self) -> Option<String> {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => Some([namespace.as_str(), ".", name.as_str()].concat()),
            _ => self.id.clone(),
        }
    }
}

/// Key and name of what owns the pod, from the last two parts of `OWNER`.
fn owner(owner: &str) -> Option<(&'static str, &str)> {
    let mut parts = owner.rsplit('/');
    let name = parts.next()?;
    let key = match parts.next()? {
        "deployments" => "k8s.deployment.name",
        "statefulsets" => "k8s.statefulset.name",
        "daemonsets" => "k8s.daemonset.name",
        "replicasets" => "k8s.replicaset.name",
        "jobs" => "k8s.job.name",
        "cronjobs" => "k8s.cronjob.name",
        _ => return None,
    };
    Some((key, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(properties: &[(&str, &[u8])]) -> NodeMetadata {
        NodeMetadata::read(|path| {
            let path = path.join("/");
            properties.iter().find(|(known, _)| *known == path).map(|(_, value)| value.to_vec())
        })
    }

    fn attribute(node: &NodeMetadata, name: &str) -> Option<String> {
        node.attributes().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    #[test]
    fn an_istio_sidecar_tells_service_workload_namespace_and_pod() {
        let node = node(&[
            ("xds/node/id", b"sidecar~10.1.2.3~cart-7f.shop~shop.svc.cluster.local"),
            ("xds/node/cluster", b"cart.shop"),
            ("xds/node/metadata/NAME", b"cart-7f"),
            ("xds/node/metadata/NAMESPACE", b"shop"),
            ("xds/node/metadata/WORKLOAD_NAME", b"cart-v1"),
            ("xds/node/metadata/OWNER", b"kubernetes://apis/apps/v1/namespaces/shop/deployments/cart-v1"),
            ("xds/node/metadata/MESH_ID", b"cluster.local"),
            ("xds/node/metadata/CLUSTER_ID", b"Kubernetes"),
            ("xds/node/metadata/NODE_NAME", b"machine-1"),
            ("xds/node/metadata/LABELS/service.istio.io/canonical-name", b"cart"),
            ("xds/node/metadata/LABELS/service.istio.io/canonical-revision", b"latest"),
            ("xds/node/metadata/LABELS/app", b"cart-app"),
            ("xds/node/locality/region", b"eu-west-1"),
            ("xds/node/locality/zone", b"eu-west-1a"),
        ]);
        let expected = [
            ("service.name", "cart"),
            ("service.namespace", "shop"),
            ("service.instance.id", "shop.cart-7f"),
            ("k8s.pod.name", "cart-7f"),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "machine-1"),
            ("k8s.cluster.name", "Kubernetes"),
            ("k8s.deployment.name", "cart-v1"),
            ("istio.workload.name", "cart-v1"),
            ("istio.mesh_id", "cluster.local"),
            ("cloud.region", "eu-west-1"),
            ("cloud.availability_zone", "eu-west-1a"),
        ];
        assert_eq!(node.attributes(), expected.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn a_plain_envoy_tells_its_id_and_cluster() {
        let node = node(&[("xds/node/id", b"edge-1"), ("xds/node/cluster", b"edge"), ("xds/node/locality/zone", b"")]);
        assert_eq!(attribute(&node, "service.name").as_deref(), Some("edge"));
        assert_eq!(attribute(&node, "service.instance.id").as_deref(), Some("edge-1"));
        assert_eq!(node.attributes().len(), 2);
        assert!(NodeMetadata::default().attributes().is_empty());
    }

    #[test]
    fn names_and_versions_have_an_order_and_owners_a_kind() {
        let some = |text: &str| Some(text.to_owned());
        let named = NodeMetadata { workload: some("w"), cluster: some("c"), ..NodeMetadata::default() };
        assert_eq!(named.service(), Some("w"));
        let named = NodeMetadata { app: some("a"), ..named };
        assert_eq!(named.service(), Some("a"));
        let named = NodeMetadata { app_name: some("n"), version: some("v"), canonical_revision: some("r"), ..named };
        assert_eq!((named.service(), named.service_version()), (Some("n"), Some("v")));
        let named = NodeMetadata { version: None, canonical_name: some(""), ..named };
        assert_eq!((named.service(), named.service_version()), (Some("n"), Some("r")));
        for (given, expected) in [
            ("kubernetes://apis/apps/v1/namespaces/a/statefulsets/db", Some(("k8s.statefulset.name", "db"))),
            ("kubernetes://apis/batch/v1/namespaces/a/cronjobs/x", Some(("k8s.cronjob.name", "x"))),
            ("kubernetes://apis/argo/v1/namespaces/a/rollouts/x", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(owner(given), expected, "{given}");
        }
        let hostile = node(&[("xds/node/metadata/NAME", b"\xff\xfe")]);
        assert_eq!(hostile.name.as_deref(), Some("\u{fffd}\u{fffd}"));
    }
}
