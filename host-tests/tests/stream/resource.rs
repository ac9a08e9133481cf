//! Whose spans they are: configuration over environment over what Envoy says of its node.

use serde_json::{Value, json};
use tracelift_host::EnvoyBuilder;
use tracelift_host::otlp::ExportedSpan;

use crate::kit::{Story, builder, plain};

const ENVIRONMENT: [(&str, &str); 2] = [
    ("OTEL_SERVICE_NAME", "by-variable"),
    ("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-list,service.version=7,team=env%20ironment,zone=z"),
];

fn istio(builder: EnvoyBuilder) -> EnvoyBuilder {
    let metadata = [
        (&["NAME"][..], "cart-7f"),
        (&["NAMESPACE"], "shop"),
        (&["WORKLOAD_NAME"], "cart-v1"),
        (&["OWNER"], "kubernetes://apis/apps/v1/namespaces/shop/deployments/cart-v1"),
        (&["MESH_ID"], "cluster.local"),
        (&["CLUSTER_ID"], "eu-1"),
        (&["LABELS", "service.istio.io/canonical-name"], "by-label"),
        (&["LABELS", "app"], "by-app"),
    ];
    metadata.into_iter().fold(builder, |builder, (path, value)| builder.node_metadata(path, value))
}

fn exported(builder: EnvoyBuilder, more: Value) -> ExportedSpan {
    let mut config = json!({"sampling": {"ratio": 1}});
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let mut story = Story::start(builder.inbound(config.to_string()));
    story.hop("inbound", plain("GET", "/"));
    story.span()
}

fn with_environment(builder: EnvoyBuilder) -> EnvoyBuilder {
    ENVIRONMENT.into_iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

#[test]
fn the_stronger_source_names_the_service() {
    let by_json = json!({"service_name": "by-json", "resource": {"service.name": "by-resource"}});
    for (builder, config, name) in [
        (with_environment(istio(builder())), by_json, "by-json"),
        (with_environment(istio(builder())), json!({"resource": {"service.name": "by-resource"}}), "by-resource"),
        (with_environment(istio(builder())), json!({}), "by-variable"),
        (istio(builder()).env(ENVIRONMENT[1].0, ENVIRONMENT[1].1), json!({}), "by-list"),
        (istio(builder()), json!({}), "by-label"),
        (builder().node_cluster("by-cluster"), json!({}), "by-cluster"),
        (builder().node_cluster(""), json!({}), "unknown_service:envoy"),
    ] {
        assert_eq!(exported(builder, config).resource_attribute("service.name"), name);
    }
}

#[test]
fn a_sidecar_of_istio_tells_service_workload_namespace_and_pod() {
    let span = exported(istio(builder()), json!({}));
    for (key, value) in [
        ("service.namespace", "shop"),
        ("service.instance.id", "shop.cart-7f"),
        ("k8s.pod.name", "cart-7f"),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", "cart-v1"),
        ("k8s.cluster.name", "eu-1"),
        ("istio.workload.name", "cart-v1"),
        ("istio.mesh_id", "cluster.local"),
        ("telemetry.sdk.name", "tracelift"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(span.resource_attribute(key), value, "{key}");
    }
}

#[test]
fn attributes_of_all_sources_come_together_key_by_key() {
    let config = json!({"resource": {"team": "configuration", "deployment.environment.name": "prod"}});
    let span = exported(with_environment(istio(builder())), config);
    for (key, value) in [
        ("team", "configuration"),
        ("deployment.environment.name", "prod"),
        ("service.version", "7"),
        ("zone", "z"),
        ("k8s.pod.name", "cart-7f"),
    ] {
        assert_eq!(span.resource_attribute(key), value, "{key}");
    }
    let span = exported(with_environment(builder()), json!({}));
    assert_eq!(span.resource_attribute("team"), "env ironment", "percent-decoded");
}

#[test]
fn a_node_that_is_no_text_still_makes_a_resource() {
    let builder = builder().property("xds.node.cluster", &b"\xff\xfe"[..]).property("xds.node.id", &b"\xc3("[..]);
    let span = exported(builder, json!({}));
    assert_eq!(span.resource_attribute("service.name"), "\u{fffd}\u{fffd}");
}
