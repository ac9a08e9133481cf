//! The manifests for Envoy Gateway, as it renders them (`internal/xds/translator/dynamicmodule.go`): one filter in the chain,
//! switched off, which each route of the target switches on.

use crate::libraries::library;
use crate::stage::{until, with_workers};
use serde_json::{Value, json};
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Client, Collector, Request, Shipped, Stats, Upstream};

const MANIFESTS: &str = include_str!("../../gateway-api/dynamic-module.yaml");
const CLUSTER: &str = "tracelift_otel_collector";
const NAME: &str = "envoy.filters.http.dynamic_modules/envoyextensionpolicy/ingress/tracelift/dynamicmodule/0";

/// The manifest of that kind.
fn manifest(kind: &str) -> Value {
    let documents = yaml_serde::Deserializer::from_str(MANIFESTS);
    let mut documents = documents.map(|it| <Value as serde::Deserialize>::deserialize(it).unwrap());
    documents.find(|document| document["kind"] == kind).unwrap()
}

fn filter() -> Value {
    let (policy, proxy) = (manifest("EnvoyExtensionPolicy"), manifest("EnvoyProxy"));
    let (used, registered) = (&policy["spec"]["dynamicModule"][0], &proxy["spec"]["dynamicModules"][0]);
    assert_eq!(used["name"], registered["name"]);
    let path = registered["source"]["local"]["path"].as_str().unwrap();
    let mount = &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"]["volumeMounts"][0];
    assert!(path.starts_with(mount["mountPath"].as_str().unwrap()), "{path} is in the mounted image");
    let mut settings = used["config"].clone();
    settings["export"]["scheduled_delay_ms"] = 100.into();
    json!({
        "name": NAME,
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": { "module": { "local": { "filename": library() } } },
            "filter_name": used["filterName"],
            "filter_config": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings.to_string() },
        },
    })
}

#[tokio::test]
async fn as_envoy_gateway_renders_it_the_dynamic_module_keeps_a_failure_and_believes_no_stranger() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = Bootstrap::shipped(Shipped::Gateway, &module().unwrap()).unwrap();
    bootstrap.endpoints("frontend", &[upstream.address()]).unwrap();
    let edge = bootstrap.connection_manager("edge").unwrap();
    edge["http_filters"][0] = filter();
    edge["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] = json!({ NAME: {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
        "config": {},
    } });
    bootstrap.copy_cluster("otel_collector", CLUSTER, &[collector.address()]).unwrap();
    let envoy = with_workers().start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));

    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
    let request = Request::get(envoy.address("edge").unwrap(), "/status/503").header("traceparent", context);
    let reply = Client::new().send(request).await.unwrap();
    assert_eq!((reply.status, reply.header("traceresponse"), reply.header("server-timing")), (503, None, None));
    let exported = |stats: &Stats| stats.ledger().exported == 2 && stats.ledger().is_settled();
    until(&envoy, "both sides are kept", exported).await;
    assert!(collector.spans().iter().all(|span| span.trigger() == Some("http_status")), "not for the caller's flag");
}

/// Its bootstrap is merged into Envoy's own, so that it must be one in itself.
#[tokio::test]
async fn what_the_manifest_adds_to_the_bootstrap_is_taken_by_envoy() {
    let text = manifest("EnvoyProxy")["spec"]["bootstrap"]["value"].as_str().unwrap().to_owned();
    let bootstrap = Bootstrap::from_yaml(&text).unwrap();
    with_workers().validate(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bootstrap.as_value()["static_resources"]["clusters"][0]["name"], CLUSTER);
}
