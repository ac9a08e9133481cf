//! What is around a configuration and would spoil it: Envoy's own tracing, missing clusters and tags, failure policies.

use super::find::{Found, Home};
use super::{Finding, Located, Node};
use tracelift::otlp::Protocol;
use tracelift::policy::Policy;

/// Envoy's own tracer on the same listener, whatever the plugin's configuration says.
pub fn tracing(document: &Located, found: &Found<'_>, findings: &mut Vec<Finding>) {
    let Some(tracing) = found.around.connection_manager.and_then(|manager| manager.get("tracing")) else { return };
    let has_tracer = tracing.get("provider").is_some() || document.path(&["tracing", "http"]).is_some();
    let writes_nothing = matches!(tracing.proto("no_context_propagation").map(|it| &it.node), Some(Node::Bool(true)));
    if has_tracer && !writes_nothing {
        let message = "Envoy's own tracer writes its context after all filters and replaces ours, so that upstreams hang below \
                       a span that is not exported when a trace is upgraded. Take `tracing` out of this listener, or set \
                       `no_context_propagation: true` in it.";
        findings.push(Finding::warning(tracing.at, "tracing", message));
    }
}

/// Envoy's `grpc_web` behind our filter: answers come to us after it has put the status into the body.
pub fn grpc_web(found: &Found<'_>, findings: &mut Vec<Finding>) {
    let filters = found.around.connection_manager.and_then(|manager| manager.proto("http_filters"));
    let is_grpc_web = |filter: &&Located| {
        let kind = filter.proto("typed_config").and_then(|config| config.text_at(&["@type"]));
        filter.text_at(&["name"]) == Some("envoy.filters.http.grpc_web")
            || kind.is_some_and(|kind| kind.ends_with("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"))
    };
    let behind = |filter: &&Located| found.plugin.at < filter.at;
    let filters = filters.map(Located::elements).unwrap_or_default();
    if let Some(filter) = filters.iter().filter(is_grpc_web).find(behind) {
        let message = "grpc_web behind the filter hides the status of gRPC-Web calls from it: it is in the body by then, so that a \
                       failure after the first message upgrades nothing. Put grpc_web in front of the filter.";
        findings.push(Finding::warning(filter.at, "http_filters", message));
    }
}

/// Clusters can be looked up only where all of them are in the file.
pub fn clusters(document: &Located, found: &Found<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    let Some(resources) = document.proto("static_resources") else { return };
    let dynamic =
        |source: &str| document.proto("dynamic_resources").and_then(|dynamic| dynamic.proto(source)).is_some();
    if found.home != Home::Envoy || dynamic("cds_config") || dynamic("ads_config") {
        return;
    }
    let place = found.configuration.unwrap_or(found.plugin).at;
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
        let through = [("upgrade.recall.cluster", false), ("upgrade.recall.tls_cluster", true)];
        for (path, name) in through.into_iter().filter_map(|(path, tls)| Some((path, recall.through.cluster(tls)?))) {
            match named(name) {
                None => findings.push(missing(path, name, "nothing could be recalled")),
                Some(cluster) if cluster.text_at(&["type"]) != Some("ORIGINAL_DST") => {
                    let message =
                        format!("the cluster \"{name}\" must be of type ORIGINAL_DST to reach each instance.");
                    findings.push(Finding::warning(cluster.at, path, message));
                }
                Some(_) => {}
            }
        }
    }
}

fn speaks_http2(cluster: &Located) -> bool {
    let options = cluster.proto("typed_extension_protocol_options").map(Located::to_json).unwrap_or_default();
    ["http2_protocol_options", "http2ProtocolOptions"].iter().any(|key| options.contains(key))
        || cluster.proto("http2_protocol_options").is_some()
}

/// Reasons are the last word of a counter's name; a tag makes a label of them.
pub fn statistics(document: &Located, found: &[Found<'_>], findings: &mut Vec<Finding>) {
    if document.proto("static_resources").is_none() || found.is_empty() {
        return;
    }
    let statistics = document.proto("stats_config");
    let tags = statistics.and_then(|statistics| statistics.proto("stats_tags"));
    let is_ours = |tag: &Located| tag.text_at(&["regex"]).is_some_and(|regex| regex.contains("tracelift"));
    if !tags.is_some_and(|tags| tags.elements().iter().any(is_ours)) {
        let (prefix, file) = match found.iter().all(is_dynamic_module) {
            true => ("dynamicmodulescustom", "envoy/dynamic-module.yaml"),
            false => ("wasmcustom", "envoy/sidecar.yaml"),
        };
        let message = format!(
            "no tag is for `{prefix}.tracelift`: each reason stays a part of a metric's name, where a sum over `reason` does \
             not find it. Copy `stats_config` from {file}, or relabel in Prometheus."
        );
        findings.push(Finding::warning(tags.or(statistics).unwrap_or(document).at, "stats_config.stats_tags", message));
    }
}

fn is_dynamic_module(found: &Found<'_>) -> bool {
    found.plugin.proto("dynamic_module_config").is_some()
}

/// What the manifest says of failures of the filter itself.
pub fn failures(found: &Found<'_>, findings: &mut Vec<Finding>) {
    match found.home {
        Home::Envoy if is_dynamic_module(found) => {} // A fault of it costs one request its tracing.
        Home::Envoy => {
            let policy = found.plugin.proto("failure_policy");
            let fails_open = found.plugin.proto("fail_open").is_some();
            if !fails_open && policy.and_then(Located::text).is_none_or(|policy| policy == "FAIL_CLOSED") {
                let message = "FAIL_CLOSED (the default) answers 503 on this worker for ever should the module ever fail. \
                               FAIL_RELOAD loads it afresh.";
                findings.push(Finding::warning(policy.unwrap_or(found.plugin).at, "failure_policy", message));
            }
        }
        Home::WasmPlugin | Home::TrafficExtension => {
            let strategy = found.plugin.get("failStrategy");
            if !matches!(strategy.and_then(Located::text), Some("FAIL_OPEN" | "FAIL_RELOAD")) {
                let message = "FAIL_CLOSE (the default) refuses requests when the module cannot be fetched or fails. \
                               FAIL_OPEN lets traffic through.";
                findings.push(Finding::warning(strategy.unwrap_or(found.plugin).at, "failStrategy", message));
            }
        }
        Home::EnvoyExtensionPolicy | Home::Plain => {}
    }
}
