//! Istio's agent, `pilot-agent proxy`, with a real Envoy: its bootstrap, its way to istiod, and its fetcher of modules.

use crate::istiod::{Istiod, free};
use crate::pods::Pod;
use crate::program::{PATIENCE, Program, command, folder};
use serde_json::json;
use std::net::SocketAddr;
use tracelift_envoy::{Admin, Stats, process};

/// An agent and its Envoy, gone when dropped.
pub struct Proxy {
    pub program: Program,
    pub admin: Admin,
    /// Where requests are sent to.
    pub front: SocketAddr,
}

impl Proxy {
    /// Starts them in a pod, whose requests come at that port; returns when Envoy is live.
    pub async fn start(istiod: &Istiod, pod: &Pod, port: u16) -> Self {
        let proxy = Self::begin(istiod, pod, port);
        proxy.program.until("Envoy is live", async || proxy.admin.is_ready().await).await;
        proxy
    }

    /// The same, without waiting.
    pub fn begin(istiod: &Istiod, pod: &Pod, port: u16) -> Self {
        let folder = folder();
        let identity = format!("spiffe://cluster.local/ns/{}/sa/{}", pod.namespace, pod.name);
        let mut certificates = command();
        certificates.arg("certificates").arg(istiod.program.folder()).arg(identity).arg(folder.path());
        let certificates = certificates.output().unwrap();
        assert!(certificates.status.success(), "{}", String::from_utf8_lossy(&certificates.stderr));
        let admin = free();
        let program = Program::start(folder, &["proxy", pod.kind], &environment(istiod, pod, admin.port()));
        Self { program, admin: Admin::new(admin), front: (pod.ip, port).into() }
    }

    /// Envoy's counters.
    pub async fn stats(&self) -> Stats {
        self.admin.stats().await.unwrap_or_else(|error| panic!("{error}\n{}", self.program.log()))
    }

    /// Waits until Envoy's counters are so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Stats) -> bool) -> Stats {
        let found = self.admin.wait_for_stats(PATIENCE, |stats| holds(stats).then(|| stats.clone())).await.unwrap();
        if let Some(found) = found {
            return found;
        }
        let ledger = self.stats().await.ledger();
        panic!("not within {PATIENCE:?}: {what}; {ledger}\n{}", self.program.log())
    }
}

/// What Istio's injector writes into the pod.
fn environment(istiod: &Istiod, pod: &Pod, admin: u16) -> Vec<(&'static str, String)> {
    let envoy = process::binary().unwrap_or_else(|error| panic!("{error}")).canonicalize().unwrap();
    let configuration = json!({
        "discoveryAddress": istiod.address().to_string(),
        "controlPlaneAuthPolicy": "NONE",
        "serviceCluster": format!("{}.{}", pod.name, pod.namespace),
        "binaryPath": envoy,
        "configPath": "./etc/istio/proxy",
        "proxyAdminPort": admin,
        "statusPort": free().port(),
        "concurrency": 2,
    });
    let mut environment = vec![
        ("PROXY_CONFIG", configuration.to_string()),
        ("POD_NAME", pod.instance()),
        ("POD_NAMESPACE", pod.namespace.to_owned()),
        ("SERVICE_ACCOUNT", pod.name.to_owned()),
        ("INSTANCE_IP", pod.ip.to_string()),
        ("TRUST_DOMAIN", "cluster.local".to_owned()),
        ("FILE_MOUNTED_CERTS", "true".to_owned()),
        ("CLOUD_PLATFORM", "none".to_owned()),
        ("ENVOY_STATUS_PORT", free().port().to_string()),
        ("ENVOY_PROMETHEUS_PORT", free().port().to_string()),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
        ("ISTIO_META_WORKLOAD_NAME", pod.name.to_owned()),
        ("ISTIO_METAJSON_LABELS", pod.labels.to_string()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod".to_owned()),
    ];
    if pod.kind == "sidecar" {
        // Listeners on ports of their own, for which no rule of iptables is needed.
        environment.push(("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned()));
    }
    environment
}
