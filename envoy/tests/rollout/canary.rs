//! Canaries by namespace and by label: which pods of a mesh get the filter from what kustomize renders, and what each of them
//! then does. There is no Istio here, so that its rule for selecting pods is written down below; the manifests, kustomize and
//! the Envoys are real.

use crate::kit::{settle, traceparent, wait_until};
use crate::manifests::{Rendered, as_istio_renders, of_kind, overlay};
use serde_json::Value;
use tracelift_envoy::process::module;
use tracelift_envoy::{Request, Shipped};

/// Istio's root namespace: a resource there holds for all namespaces.
const ROOT: &str = "istio-system";
/// What the injector gives to every pod with a sidecar.
const SIDECAR: (&str, &str) = ("security.istio.io/tlsMode", "istio");
const CANARY: (&str, &str) = ("tracelift.io/canary", "true");

/// A pod, and the overlays that are to reach it.
struct Pod {
    namespace: &'static str,
    labels: &'static [(&'static str, &'static str)],
    reached_by: &'static [&'static str],
}

/// Four replicas of one service, one of them the canary, a service elsewhere, and a pod of Istio's own.
const PODS: [Pod; 6] = [
    Pod { namespace: "shop", labels: &[SIDECAR, CANARY], reached_by: &["namespace", "workload", "mesh"] },
    Pod { namespace: "shop", labels: &[SIDECAR], reached_by: &["namespace", "mesh"] },
    Pod { namespace: "shop", labels: &[SIDECAR], reached_by: &["namespace", "mesh"] },
    Pod { namespace: "shop", labels: &[SIDECAR], reached_by: &["namespace", "mesh"] },
    Pod { namespace: "bank", labels: &[SIDECAR, CANARY], reached_by: &["mesh"] },
    Pod { namespace: ROOT, labels: &[("istio", "ingressgateway")], reached_by: &[] },
];

/// Whether a resource holds for a pod. istio.io, "WasmPlugin" and "Telemetry": those of the pod's namespace and of the root
/// namespace, whose selector, if any, has no label that the pod has not.
fn holds_for(resource: &Value, selector: &Value, pod: &Pod) -> bool {
    let namespace = resource["metadata"]["namespace"].as_str().unwrap();
    let has = |(name, value): (&String, &Value)| {
        pod.labels.iter().any(|label| (label.0, Some(label.1)) == (name, value.as_str()))
    };
    let labels = selector.as_object().cloned().unwrap_or_default();
    (namespace == pod.namespace || namespace == ROOT) && labels.iter().all(has)
}

#[tokio::test]
async fn a_canary_reaches_the_pods_of_its_namespace_or_label_and_leaves_all_others_alone() {
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    for name in ["namespace", "workload", "mesh"] {
        let documents = overlay(name);
        for (number, pod) in (1..).zip(&PODS) {
            let reached = pod.reached_by.contains(&name);
            let plugins = of_kind(&documents, "WasmPlugin");
            let filters: Vec<_> = plugins
                .into_iter()
                .filter(|plugin| holds_for(plugin, &plugin["spec"]["selector"]["matchLabels"], pod))
                .map(|plugin| {
                    let mut plugin = plugin.clone();
                    plugin["spec"]["pluginConfig"]["sampling"]["ratio"] = 1.into();
                    plugin["spec"]["pluginConfig"]["export"]["scheduled_delay_ms"] = 100.into();
                    let listener = if plugin["spec"]["match"][0]["mode"] == "SERVER" { "inbound" } else { "outbound" };
                    (listener, as_istio_renders(&plugin, &module))
                })
                .collect();
            assert_eq!(filters.len(), if reached { 2 } else { 0 }, "{name}: pod {number}");
            // Where the filter goes on, Envoy's own tracing goes off and its clusters are there, and nowhere else.
            let others =
                [("Telemetry", "/spec/selector/matchLabels"), ("EnvoyFilter", "/spec/workloadSelector/labels")];
            for (kind, selector) in others {
                let resource = of_kind(&documents, kind)[0];
                let selector = resource.pointer(selector).unwrap_or(&Value::Null);
                // In the root namespace these two hold for the gateways as well, which have `overlays/gateway` by then.
                let is_gateway_of_mesh = pod.namespace == ROOT && name == "mesh";
                let holds = holds_for(resource, selector, pod);
                assert!(holds == reached || is_gateway_of_mesh, "{name}: {kind}, pod {number}");
            }
            serves(number, &Rendered::start(Shipped::Sidecar, &filters, |_| {}).await, reached).await;
        }
    }
}

/// Every request is answered; with the filter each has a span, without it its context goes through untouched.
async fn serves(number: u64, pod: &Rendered, reached: bool) {
    let sent = traceparent(number, true);
    for _ in 0..10 {
        let with_context = |request: Request| request.header("traceparent", &sent);
        assert_eq!(pod.call("inbound", with_context, "/cart").await, 200);
    }
    let untouched = pod.upstream.arrivals().iter().filter(|arrival| arrival.text("traceparent") == sent).count();
    assert_eq!(untouched, if reached { 0 } else { 10 });
    if reached {
        settle(&[&pod.envoy], &pod.collector, 10).await;
    } else {
        wait_until("Envoy tells its counters", async || {
            let stats = pod.envoy.admin().stats().await.unwrap();
            10 <= stats.get("http.inbound.downstream_rq_2xx") && stats.sum("") == 0
        })
        .await;
        assert!(pod.collector.spans().is_empty());
    }
}
