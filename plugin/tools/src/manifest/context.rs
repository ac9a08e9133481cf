//! What is around a configuration and would spoil it: Envoy's own tracing, missing clusters, VMs that do not meet.

use super::find::{Found, Home};
use super::{Finding, Located};
use tracelift::otlp::Protocol;
use tracelift::policy::Policy;

/// What the surrounding Envoy configuration says against this plugin's.
pub fn envoy(document: &Located, found: &Found<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    if found.home == Home::Envoy {
        clusters(document, policy, found.configuration.unwrap_or(found.plugin).at, findings);
    }
}

/// Envoy's own tracer on the same listener, whatever the plugin's configuration says.
pub fn tracing(document: &Located, found: &Found<'_>, findings: &mut Vec<Finding>) {
    let Some(tracing) = found.connection_manager.and_then(|manager| manager.get("tracing")) else { return };
    let has_tracer = tracing.get("provider").is_some() || document.path(&["tracing", "http"]).is_some();
    let writes_nothing =
        matches!(tracing.get("no_context_propagation").map(|it| &it.node), Some(super::Node::Bool(true)));
    if has_tracer && !writes_nothing {
        let message = "Envoy's own tracer writes its context after all filters and replaces ours, so that upstreams hang below \
                       a span that nobody exports when a trace is upgraded. Take `tracing` out of this listener, or set \
                       `no_context_propagation: true` in it.";
        findings.push(Finding::warning(tracing.at, "tracing", message));
    }
}

/// Clusters can be looked up only where all of them are in the file.
fn clusters(document: &Located, policy: &Policy, place: super::Position, findings: &mut Vec<Finding>) {
    let Some(resources) = document.get("static_resources") else { return };
    if document.path(&["dynamic_resources", "cds_config"]).is_some()
        || document.path(&["dynamic_resources", "ads_config"]).is_some()
    {
        return;
    }
    let all = resources.get("clusters").map(Located::elements).unwrap_or_default();
    let named = |name: &str| all.iter().find(|cluster| cluster.text_at(&["name"]) == Some(name));
    let missing = |path: &str, name: &str, loss: &str| {
        let message = format!("no cluster of this file is named \"{name}\": {loss}.");
        Finding::warning(place, path, message)
    };
    let export = &policy.export;
    match named(&export.cluster) {
        None => findings.push(missing("export.cluster", &export.cluster, "every span would be lost")),
        Some(cluster) if export.protocol == Protocol::Grpc && !speaks_http2(cluster) => {
            let message =
                format!("`protocol` = \"grpc\" needs HTTP/2, and the cluster \"{}\" speaks HTTP/1.", export.cluster);
            findings.push(Finding::warning(cluster.at, "export.protocol", message));
        }
        Some(_) => {}
    }
    let recall = &policy.upgrade.recall;
    if recall.enabled {
        match named(&recall.cluster) {
            None => findings.push(missing("upgrade.recall.cluster", &recall.cluster, "nothing could be recalled")),
            Some(cluster) if cluster.text_at(&["type"]) != Some("ORIGINAL_DST") => {
                let message =
                    format!("the cluster \"{}\" must be of type ORIGINAL_DST to reach each instance.", recall.cluster);
                findings.push(Finding::warning(cluster.at, "upgrade.recall.cluster", message));
            }
            Some(_) => {}
        }
    }
}

fn speaks_http2(cluster: &Located) -> bool {
    let options = cluster.get("typed_extension_protocol_options").map(Located::to_json).unwrap_or_default();
    options.contains("http2_protocol_options") || cluster.get("http2_protocol_options").is_some()
}

/// What the manifest says of failures of the filter itself.
pub fn manifest(found: &Found<'_>, findings: &mut Vec<Finding>) {
    match found.home {
        Home::Envoy => {
            let policy = found.plugin.get("failure_policy");
            let fails_open = found.plugin.get("fail_open").is_some();
            if !fails_open && policy.and_then(Located::text).is_none_or(|policy| policy == "FAIL_CLOSED") {
                let message = "FAIL_CLOSED (the default) answers 503 on this worker for ever should the module ever fail. \
                               FAIL_RELOAD loads it afresh.";
                findings.push(Finding::warning(policy.unwrap_or(found.plugin).at, "failure_policy", message));
            }
        }
        Home::WasmPlugin => {
            let strategy = found.plugin.get("failStrategy");
            if !matches!(strategy.and_then(Located::text), Some("FAIL_OPEN" | "FAIL_RELOAD")) {
                let message = "FAIL_CLOSE (the default) refuses requests when the module cannot be fetched or fails. \
                               FAIL_OPEN lets traffic go on.";
                findings.push(Finding::warning(strategy.unwrap_or(found.plugin).at, "failStrategy", message));
            }
        }
        Home::EnvoyExtensionPolicy | Home::Plain => {}
    }
}

/// Listeners of one pod meet through shared data, which is kept by `vm_id`.
pub fn vm_ids(found: &[Found<'_>], findings: &mut Vec<Finding>) {
    let mut ids = found.iter().filter_map(|one| one.vm_id.as_ref());
    let Some((first, _)) = ids.next() else { return };
    for (id, at) in ids.filter(|(id, _)| id != first) {
        let message = format!(
            "\"{id}\" here and \"{first}\" on another listener: upgrades would not be told from one to the other. Give all \
             of them the same."
        );
        findings.push(Finding::warning(*at, "vm_id", message));
    }
}
