//! Istio's agent, `pilot-agent proxy`, with a real Envoy: its bootstrap, its way to istiod, and its fetcher of modules.

use crate::istiod::{Istiod, free};
use crate::program::{PATIENCE, Program, command, folder};
use serde_json::{Value, json};
use std::fs;
use tracelift_envoy::{Admin, Stats, process};

/// Its workload and namespace, of which Istio makes Envoy's cluster and the certificate's identity.
const WORKLOAD: (&str, &str) = ("cart", "shop");

/// An agent and its Envoy, gone when dropped.
pub struct Proxy {
    pub program: Program,
    pub admin: Admin,
}

impl Proxy {
    /// Starts them with more in the bootstrap than Istio's template has; returns when Envoy is live.
    pub async fn start(istiod: &Istiod, more: &Value) -> Self {
        let folder = folder();
        let mut certificates = command();
        let identity = format!("spiffe://cluster.local/ns/{}/sa/{}", WORKLOAD.1, WORKLOAD.0);
        certificates.arg("certificates").arg(istiod.program.folder()).arg(identity).arg(folder.path());
        let certificates = certificates.output().unwrap();
        assert!(certificates.status.success(), "{}", String::from_utf8_lossy(&certificates.stderr));
        fs::write(folder.path().join("more.yaml"), more.to_string()).unwrap();
        let admin = free();
        let program = Program::start(folder, &["proxy", "sidecar"], &environment(istiod, admin.port()));
        let proxy = Self { program, admin: Admin::new(admin) };
        proxy.program.until("Envoy is live", async || proxy.admin.is_ready().await).await;
        proxy
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
fn environment(istiod: &Istiod, admin: u16) -> Vec<(&'static str, String)> {
    let envoy = process::binary().unwrap_or_else(|error| panic!("{error}")).canonicalize().unwrap();
    let (workload, namespace) = WORKLOAD;
    let configuration = json!({
        "discoveryAddress": istiod.address().to_string(),
        "controlPlaneAuthPolicy": "NONE",
        "serviceCluster": format!("{workload}.{namespace}"),
        "binaryPath": envoy,
        "configPath": "./etc/istio/proxy",
        "proxyAdminPort": admin,
        "statusPort": free().port(),
        "concurrency": 2,
    });
    vec![
        ("PROXY_CONFIG", configuration.to_string()),
        ("POD_NAME", format!("{workload}-0")),
        ("POD_NAMESPACE", namespace.to_owned()),
        ("INSTANCE_IP", "127.0.0.1".to_owned()),
        ("TRUST_DOMAIN", "cluster.local".to_owned()),
        ("FILE_MOUNTED_CERTS", "true".to_owned()),
        ("CLOUD_PLATFORM", "none".to_owned()),
        ("ENVOY_STATUS_PORT", free().port().to_string()),
        ("ENVOY_PROMETHEUS_PORT", free().port().to_string()),
        ("ISTIO_BOOTSTRAP_OVERRIDE", "more.yaml".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod".to_owned()),
    ]
}
