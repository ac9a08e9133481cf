//! Istio's ambient mode: waypoints and gateways take `targetRefs`, and there is no sidecar for a selector to select.

use super::find::find;
use super::{Document, Finding, Located};

/// Labels that put workloads into ambient mode.
const AMBIENT: [(&str, &str); 2] = [("istio.io/dataplane-mode", "ambient"), ("istio.io/use-waypoint", "")];

/// Selectors of our plugins where the same input has something ambient.
pub fn ambient(documents: &[Document], findings: &mut Vec<Finding>) {
    let mut all = Vec::new();
    for document in documents {
        resources(&document.root, &mut all);
    }
    if !all.iter().any(|resource| is_ambient(resource)) {
        return;
    }
    for resource in all {
        let Some(spec) = resource.get("spec") else { continue };
        let selector = spec.get("selector").or(spec.get("workloadSelector"));
        let Some(selector) = selector.filter(|selector| !selects_gateways(selector)) else { continue };
        let is_ours = find(resource).is_some_and(|found| !found.is_empty());
        if is_ours && spec.get("targetRefs").or(spec.get("targetRef")).is_none() {
            let message = "ambient mode has no sidecars that a selector could select, and waypoints ignore it: nothing would be \
                           traced. Write `targetRefs` with the waypoint's Gateway or with Services.";
            findings.push(Finding::warning(selector.at, "selector", message));
        }
    }
}

fn resources<'t>(document: &'t Located, all: &mut Vec<&'t Located>) {
    match document.get("items").filter(|_| document.text_at(&["kind"]).is_some_and(|kind| kind.ends_with("List"))) {
        Some(items) => items.elements().iter().for_each(|item| resources(item, all)),
        None if document.get("kind").is_some() => all.push(document),
        None => {}
    }
}

fn is_ambient(resource: &Located) -> bool {
    let label = |labels: Option<&Located>, (name, value): &(&str, &str)| {
        labels.and_then(|labels| labels.text_at(&[name])).is_some_and(|found| value.is_empty() || found == *value)
    };
    let own = resource.path(&["metadata", "labels"]);
    let pods = resource.path(&["spec", "template", "metadata", "labels"]);
    let is_waypoint = resource.text_at(&["spec", "gatewayClassName"]) == Some("istio-waypoint");
    is_waypoint || AMBIENT.iter().any(|wanted| label(own, wanted) || label(pods, wanted))
}

/// Ingress gateways have pods that a selector can still select.
fn selects_gateways(selector: &Located) -> bool {
    let labels = selector.get("matchLabels").or(selector.get("labels")).unwrap_or(selector);
    labels.entries().iter().any(|label| {
        label.key == "gateway.networking.k8s.io/gateway-name"
            || (label.key == "istio" && label.value.text().is_some_and(|value| value.contains("gateway")))
    })
}
