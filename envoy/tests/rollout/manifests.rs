//! The manifests that people copy: what their schemas allow, what Envoy takes, and what the filter does with them when a
//! mesh has turned them into its own configuration.

use crate::kit::{SOON, kustomize, settle, traceparent};
use crate::schemas;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Launch, Request, Shipped, Upstream};

/// What can be applied of `envoy/istio`.
pub const OVERLAYS: [&str; 8] =
    ["namespace", "workload", "mesh", "mesh-recall", "gateway", "gateway-api", "waypoint", "traffic-extension"];
const CLUSTER: &str = "tracelift_otel_collector";

fn envoy_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = yaml_serde::Deserializer::from_str(text);
    documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML")).collect()
}

/// The documents that kustomize renders of an overlay.
pub fn overlay(name: &str) -> Vec<Value> {
    documents(&kustomize(&envoy_folder().join("istio/overlays").join(name)))
}

/// A manifest of `envoy/gateway-api`.
pub fn gateway_api(file: &str) -> Value {
    let path = envoy_folder().join("gateway-api").join(file);
    documents(&std::fs::read_to_string(path).unwrap()).remove(0)
}

/// Those of one kind.
pub fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|document| document["kind"] == kind).collect()
}

/// Every plugin of an overlay, and what it says of the module: TrafficExtension has that in a place of its own.
fn plugins(documents: &[Value]) -> Vec<(&Value, &Value)> {
    let old = of_kind(documents, "WasmPlugin").into_iter().map(|plugin| (plugin, &plugin["spec"]));
    let new = of_kind(documents, "TrafficExtension").into_iter().map(|plugin| (plugin, &plugin["spec"]["wasm"]));
    let plugins: Vec<_> = old.chain(new).collect();
    assert!(!plugins.is_empty());
    plugins
}

/// The filter's settings in every manifest, with where they stand.
fn all_settings() -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    for name in OVERLAYS {
        for (plugin, wasm) in plugins(&overlay(name)) {
            settings.push((format!("{name}: {}", plugin["metadata"]["name"]), wasm["pluginConfig"].clone()));
        }
    }
    let policy = gateway_api("envoyextensionpolicy.yaml");
    settings.push(("Envoy Gateway".to_owned(), policy["spec"]["wasm"][0]["config"].clone()));
    settings
}

#[test]
fn every_rendered_manifest_is_what_the_custom_resources_schema_allows() {
    for name in OVERLAYS {
        let documents = overlay(name);
        assert!((3..=4).contains(&documents.len()), "{name}");
        for document in &documents {
            schemas::check(document).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(document["metadata"]["namespace"].is_string(), "{name}: {}", document["metadata"]);
        }
    }
    for file in ["envoyextensionpolicy.yaml", "envoyproxy.yaml"] {
        schemas::check(&gateway_api(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn a_misspelt_field_or_a_wrong_value_would_be_found() {
    let documents = overlay("mesh");
    let mistakes: [(&str, &str, Value); 4] = [
        ("WasmPlugin", "/spec/failStrategy", json!("FAIL_OPENLY")),
        ("WasmPlugin", "/spec/match/0", json!({ "modes": "SERVER" })),
        ("EnvoyFilter", "/spec/configPatches/0/applyTo", json!("CLUSTERS")),
        ("Telemetry", "/spec/tracing/0", json!({ "disableSpanReports": true })),
    ];
    for (kind, pointer, wrong) in mistakes {
        let mut document = of_kind(&documents, kind)[0].clone();
        *document.pointer_mut(pointer).unwrap() = wrong;
        assert!(schemas::check(&document).is_err(), "{kind} {pointer}");
    }
}

#[test]
fn the_filters_settings_in_every_manifest_are_what_the_published_schema_allows() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(envoy_folder().join("config.schema.json")).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (place, settings) in all_settings() {
        schema.validate(&settings).unwrap_or_else(|error| panic!("{place}: {error} at {}", error.instance_path()));
        assert_eq!(settings["export"]["cluster"], CLUSTER, "{place}: the cluster that the manifests add");
    }
}

#[test]
fn images_are_pinned_and_a_fault_of_ours_costs_no_request() {
    let digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    for name in OVERLAYS {
        for (_, wasm) in plugins(&overlay(name)) {
            assert!(wasm["url"].as_str().unwrap().ends_with(digest), "{name}");
            assert_eq!(wasm["failStrategy"], "FAIL_OPEN", "{name}");
        }
    }
    let wasm = gateway_api("envoyextensionpolicy.yaml")["spec"]["wasm"][0].clone();
    assert!(wasm["code"]["image"]["url"].as_str().unwrap().ends_with(digest));
    assert_eq!(wasm["failOpen"], true);
}

/// What Istio's gateways present, by the ways to install one.
const GATEWAYS: [&str; 4] = [
    "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account",
    "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway-service-account",
    "spiffe://cluster.local/ns/istio-ingress/sa/istio-ingress",
    "spiffe://cluster.local/ns/istio-ingress/sa/public-istio",
];

#[test]
fn recall_in_istio_trusts_workloads_and_no_gateway_and_goes_over_mtls() {
    let documents = overlay("mesh-recall");
    let clusters: Vec<_> = of_kind(&documents, "EnvoyFilter")
        .iter()
        .flat_map(|filter| filter["spec"]["configPatches"].as_array().unwrap().iter())
        .map(|patch| patch["patch"]["value"].clone())
        .collect();
    for (plugin, wasm) in plugins(&documents) {
        let name = &plugin["metadata"]["name"];
        let recall = &wasm["pluginConfig"]["upgrade"]["recall"];
        let peers: Vec<_> = recall["peers"].as_array().unwrap().iter().map(|peer| peer.as_str().unwrap()).collect();
        assert!(!peers.is_empty(), "{name}");
        for gateway in GATEWAYS {
            assert!(!peers.iter().any(|peer| gateway.starts_with(peer)), "{name}: {gateway} is one of {peers:?}");
        }
        assert!(peers.iter().any(|peer| "spiffe://cluster.local/ns/shop/sa/cart".starts_with(peer)), "{name}");
        assert_eq!(recall["cluster"], "", "{name}: nothing is asked without TLS");
        let cluster = clusters.iter().find(|cluster| cluster["name"] == recall["tls_cluster"]).expect("its cluster");
        assert_eq!(cluster["transport_socket"]["name"], "envoy.transport_sockets.tls", "{name}");
        assert!(recall["token"].is_null(), "{name}: no secret in a manifest");
        let from_host = json!({ "name": "TRACELIFT_RECALL_TOKEN", "valueFrom": "HOST" });
        assert!(wasm["vmConfig"]["env"].as_array().unwrap().contains(&from_host), "{name}");
    }
}

#[test]
fn what_selectors_cannot_reach_is_attached_to_its_gateway_as_a_whole() {
    for (name, gateway) in [("waypoint", "waypoint"), ("gateway-api", "public")] {
        let target = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway }]);
        for document in overlay(name) {
            let spec = &document["spec"];
            assert_eq!(spec["targetRefs"], target, "{name}: {}", document["kind"]);
            assert!(spec["selector"].is_null() && spec["workloadSelector"].is_null(), "{name}: {}", document["kind"]);
        }
        let documents = overlay(name);
        let (_, wasm) = plugins(&documents)[0];
        assert_eq!(wasm["pluginConfig"]["span_kind"], "both", "{name}");
        assert_eq!(wasm["pluginConfig"]["edge"] == true, name == "gateway-api", "{name}");
    }
}

#[test]
fn a_traffic_extension_says_what_the_wasm_plugin_says() {
    let (old, new) = (overlay("namespace"), overlay("traffic-extension"));
    assert!(of_kind(&new, "WasmPlugin").is_empty(), "the filter would be in the chain twice");
    let extensions = of_kind(&new, "TrafficExtension");
    assert_eq!(extensions.len(), 2);
    for extension in extensions {
        let plugin =
            of_kind(&old, "WasmPlugin").into_iter().find(|it| it["metadata"] == extension["metadata"]).unwrap();
        // `wasm` has the module's fields, everything else stands beside it, as in a WasmPlugin.
        let mut flat = extension["spec"].clone();
        let wasm = flat.as_object_mut().unwrap().remove("wasm").unwrap();
        flat.as_object_mut().unwrap().extend(wasm.as_object().unwrap().clone());
        assert_eq!(flat, plugin["spec"], "{}", extension["metadata"]);
    }
    for kind in ["EnvoyFilter", "Telemetry"] {
        assert_eq!(of_kind(&new, kind), of_kind(&old, kind));
    }
}

/// A bootstrap with more clusters, as control planes add them.
fn with_clusters(bootstrap: &Bootstrap, clusters: Vec<Value>) -> Bootstrap {
    let mut value = bootstrap.as_value().clone();
    value["static_resources"]["clusters"].as_array_mut().unwrap().extend(clusters);
    Bootstrap::from_yaml(&value.to_string()).unwrap()
}

/// The clusters that an overlay's EnvoyFilter adds.
fn added_clusters(documents: &[Value]) -> Vec<Value> {
    let patches = of_kind(documents, "EnvoyFilter")[0]["spec"]["configPatches"].as_array().unwrap().clone();
    patches.into_iter().map(|patch| patch["patch"]["value"].clone()).collect()
}

#[tokio::test]
async fn the_clusters_that_the_manifests_add_are_valid_to_envoy() {
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    let bootstrap = Bootstrap::shipped(Shipped::Sidecar, &module).unwrap();
    let mut clusters = added_clusters(&overlay("mesh"));
    assert_eq!(clusters.len(), 2);
    // Istio's agent, which every proxy of the mesh has.
    clusters.push(json!({
        "name": "sds-grpc",
        "type": "STATIC",
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        } },
    }));
    let launch = Launch::new().unwrap();
    launch.validate(&with_clusters(&bootstrap, clusters)).await.unwrap_or_else(|error| panic!("Istio: {error}"));

    let proxy = gateway_api("envoyproxy.yaml");
    let merged = documents(proxy["spec"]["bootstrap"]["value"].as_str().unwrap()).remove(0);
    let clusters = merged["static_resources"]["clusters"].as_array().unwrap().clone();
    assert_eq!(clusters[0]["name"], CLUSTER);
    launch.validate(&with_clusters(&bootstrap, clusters)).await.unwrap_or_else(|error| panic!("gateway: {error}"));
}

/// A WasmPlugin as istiod (`pilot/pkg/model/extensions.go`) and its agent hand it to Envoy: JSON as a StringValue, the
/// module from a file, no `vm_id`.
pub fn as_istio_renders(plugin: &Value, module: &Path) -> Value {
    let (spec, metadata) = (&plugin["spec"], &plugin["metadata"]);
    let name = format!("{}.{}", metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap());
    let variables = spec["vmConfig"]["env"].as_array().cloned().unwrap_or_default();
    let (host, inline): (Vec<_>, Vec<_>) = variables.into_iter().partition(|variable| variable["valueFrom"] == "HOST");
    let inline =
        inline.iter().map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].clone()));
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "root_id": spec["pluginName"],
                "failure_policy": spec["failStrategy"],
                "configuration": string_value(&spec["pluginConfig"]),
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } },
                    "environment_variables": {
                        "key_values": inline.collect::<serde_json::Map<_, _>>(),
                        "host_env_keys": host.iter().map(|variable| variable["name"].clone()).collect::<Vec<_>>(),
                    },
                },
            },
        },
    })
}

fn string_value(settings: &Value) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings.to_string() })
}

/// An Envoy whose filter on each listener is the given one, a collector and an upstream.
pub struct Rendered {
    pub envoy: Envoy,
    pub collector: Collector,
    pub upstream: Upstream,
    client: Client,
}

impl Rendered {
    /// The shipped Envoy with these filters in place of ours; none at all where there are none.
    pub async fn start(which: Shipped, filters: &[(&str, Value)], change: impl FnOnce(&mut Bootstrap)) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut bootstrap = Bootstrap::shipped(which, &module().unwrap_or_else(|error| panic!("{error}"))).unwrap();
        if filters.is_empty() {
            bootstrap.without_plugin();
        }
        for (listener, filter) in filters {
            bootstrap.connection_manager(listener).unwrap()["http_filters"][0] = filter.clone();
        }
        bootstrap.copy_cluster("otel_collector", CLUSTER, &[collector.address()]).unwrap();
        let hosts: &[&str] = if which == Shipped::Gateway { &["frontend"] } else { &["application", "payments"] };
        for host in hosts {
            bootstrap.endpoints(host, &[upstream.address()]).unwrap();
        }
        change(&mut bootstrap);
        let launch = Launch::new().unwrap().workers(2);
        let envoy = launch.start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
        Self { envoy, collector, upstream, client: Client::new() }
    }

    /// The status that a request to a listener gets.
    pub async fn call(&self, listener: &str, request: impl FnOnce(Request) -> Request, path: &str) -> u16 {
        let address = self.envoy.address(listener).unwrap();
        self.client.send(request(Request::get(address, path))).await.unwrap().status
    }

    /// Service-side facts of each span, sorted: kind and trigger.
    async fn settled(&self, exported: usize) -> Vec<(i32, Option<String>)> {
        settle(&[&self.envoy], &self.collector, exported).await;
        let mut facts: Vec<_> =
            self.collector.spans().iter().map(|span| (span.kind() as i32, span.trigger().map(str::to_owned))).collect();
        facts.sort();
        facts
    }
}

#[tokio::test]
async fn as_istio_renders_them_the_two_plugins_of_a_pod_find_each_other_without_a_vm_id() {
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    for name in ["namespace", "workload", "mesh"] {
        let documents = overlay(name);
        let filters: Vec<_> = of_kind(&documents, "WasmPlugin")
            .into_iter()
            .map(|plugin| {
                let mut plugin = plugin.clone();
                plugin["spec"]["pluginConfig"]["sampling"]["ratio"] = 0.into();
                plugin["spec"]["pluginConfig"]["export"]["scheduled_delay_ms"] = 100.into();
                let listener = if plugin["spec"]["match"][0]["mode"] == "SERVER" { "inbound" } else { "outbound" };
                (listener, as_istio_renders(&plugin, &module))
            })
            .collect();
        assert_eq!(filters.len(), 2);
        let pod = Rendered::start(Shipped::Sidecar, &filters, |_| {}).await;
        let context = traceparent(1, false);
        let with_context = |request: Request| request.header("traceparent", &context);
        // The pod's call fails; the application swallows it and answers 200.
        assert_eq!(pod.call("outbound", |request| with_context(request).host("payments"), "/status/503").await, 503);
        assert_eq!(pod.call("inbound", with_context, "/cart").await, 200);
        assert_eq!(pod.call("inbound", |request| request, "/healthz").await, 200);
        let (server, client) = ((2, Some("signal".to_owned())), (3, Some("http_status".to_owned())));
        assert_eq!(pod.settled(2).await, [server, client], "{name}");
    }
}

#[tokio::test]
async fn as_istio_renders_it_the_gateway_records_both_sides_and_tells_strangers_nothing() {
    let documents = overlay("gateway");
    let plugins = of_kind(&documents, "WasmPlugin");
    assert_eq!(plugins.len(), 1, "one side, one plugin");
    assert_eq!(plugins[0]["spec"]["match"][0]["mode"], "CLIENT", "Istio counts gateways among the clients");
    let filter = as_istio_renders(plugins[0], &module().unwrap_or_else(|error| panic!("{error}")));
    let gateway = Rendered::start(Shipped::Gateway, &[("edge", filter)], |_| {}).await;
    edge_holds(&gateway).await;
}

#[tokio::test]
async fn as_envoy_gateway_renders_it_the_filter_is_off_but_where_a_route_enables_it() {
    let policy = gateway_api("envoyextensionpolicy.yaml");
    let wasm = &policy["spec"]["wasm"][0];
    // `internal/xds/translator/wasm.go`: one disabled filter in the chain, its name also its `vm_id`, enabled by routes.
    let name = "envoy.filters.http.wasm/envoyextensionpolicy/ingress/tracelift/wasm/0";
    let module: PathBuf = module().unwrap_or_else(|error| panic!("{error}"));
    let filter = json!({
        "name": name,
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": wasm["name"],
                "root_id": wasm["rootID"],
                "fail_open": wasm["failOpen"],
                "configuration": string_value(&wasm["config"]),
                "vm_config": {
                    "vm_id": "envoyextensionpolicy/ingress/tracelift/wasm/0",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } },
                    "environment_variables": { "host_env_keys": wasm["env"]["hostKeys"] },
                },
            },
        },
    });
    let gateway = Rendered::start(Shipped::Gateway, &[("edge", filter)], |bootstrap| {
        let hosts = &mut bootstrap.connection_manager("edge").unwrap()["route_config"]["virtual_hosts"];
        hosts[0]["routes"][0]["typed_per_filter_config"] = json!({ name: {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "config": {},
        } });
    })
    .await;
    edge_holds(&gateway).await;
}

/// A stranger's `sampled` is not believed; a failure is kept on both sides, and its signal stays inside.
async fn edge_holds(gateway: &Rendered) {
    let address = gateway.envoy.address("edge").unwrap();
    let request = Request::get(address, "/status/503").header("traceparent", traceparent(2, true));
    let reply = gateway.client.send(request).await.unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!((reply.header("traceresponse"), reply.header("server-timing")), (None, None));
    let kept = Some("http_status".to_owned());
    assert_eq!(gateway.settled(2).await, [(2, kept.clone()), (3, kept)]);
    gateway.collector.wait_for_spans(2, SOON).await.unwrap();
}
