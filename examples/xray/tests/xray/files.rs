//! The files that users copy: they parse, agree with each other, and hand credentials to nobody but the collector.

use serde_json::Value;
use std::collections::BTreeSet;
use tracelift_xray::collector::validate;
use tracelift_xray::files;

fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

/// The documents of a file for kubectl.
fn manifests(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| yaml(&format!("{document}\n"))).collect()
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|manifest| manifest["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    one
}

/// The component types that a module of the builder's manifest brings, by the last word of its path.
const COMPONENTS: [(&str, &str, &str); 8] = [
    ("receivers", "otlp", "receiver/otlpreceiver"),
    ("processors", "memory_limiter", "processor/memorylimiterprocessor"),
    ("processors", "batch", "processor/batchprocessor"),
    ("exporters", "awsxray", "exporter/awsxrayexporter"),
    ("exporters", "otlphttp", "exporter/otlphttpexporter"),
    ("extensions", "health_check", "extension/healthcheckextension"),
    ("extensions", "awsproxy", "extension/awsproxy"),
    ("extensions", "sigv4auth", "extension/sigv4authextension"),
];

#[test]
fn the_builder_has_exactly_the_components_that_the_two_configurations_use() {
    let builder = yaml(files::BUILDER);
    let mut used = BTreeSet::new();
    for configuration in [files::COLLECTOR, files::COLLECTOR_OTLP] {
        let configuration = yaml(configuration);
        for section in ["receivers", "processors", "exporters", "extensions"] {
            for name in configuration[section].as_object().unwrap().keys() {
                let module = COMPONENTS.iter().find(|(of, kind, _)| *of == section && kind == name);
                let (_, _, module) = module.unwrap_or_else(|| panic!("{section}.{name} is built by no module"));
                used.insert((section, *module));
            }
        }
    }
    let mut built = BTreeSet::new();
    for section in ["receivers", "processors", "exporters", "extensions"] {
        for module in builder[section].as_array().unwrap() {
            let (path, version) = module["gomod"].as_str().unwrap().split_once(' ').unwrap();
            assert_eq!(version, format!("v{}", builder["dist"]["version"].as_str().unwrap()), "{path}");
            let known =
                COMPONENTS.iter().find(|(of, _, module)| *of == section && path.ends_with(&format!("/{module}")));
            built.insert((section, known.unwrap_or_else(|| panic!("{path} is of no use")).2));
        }
    }
    assert_eq!(built, used);
}

#[test]
fn every_pipeline_names_what_there_is_and_limits_memory_first() {
    for text in [files::COLLECTOR, files::COLLECTOR_OTLP] {
        let configuration = yaml(text);
        let names =
            |section: &str| configuration[section].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let listed = |list: &Value| {
            list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let traces = &configuration["service"]["pipelines"]["traces"];
        assert_eq!(listed(&traces["processors"]), ["memory_limiter", "batch"]);
        for section in ["receivers", "processors", "exporters"] {
            assert_eq!(listed(&traces[section]).into_iter().collect::<BTreeSet<_>>(), names(section), "{section}");
        }
        assert_eq!(
            listed(&configuration["service"]["extensions"]).into_iter().collect::<BTreeSet<_>>(),
            names("extensions")
        );
    }
}

#[tokio::test]
async fn the_collector_itself_takes_both_configurations_and_no_misspelt_one() {
    for text in [files::COLLECTOR, files::COLLECTOR_OTLP] {
        validate(text).await.unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    }
    let misspelt = files::COLLECTOR.replace("indexed_attributes", "index_attributes");
    assert!(validate(&misspelt).await.unwrap_err().to_string().contains("index_attributes"));
}

#[test]
fn annotations_leave_room_and_the_signed_exporter_keeps_the_endpoints_limits() {
    let annotations = yaml(files::COLLECTOR)["exporters"]["awsxray"]["indexed_attributes"].clone();
    assert!((1..40).contains(&annotations.as_array().unwrap().len()), "a trace may have 50: {annotations}");
    let signed = yaml(files::COLLECTOR_OTLP);
    let exporter = &signed["exporters"]["otlphttp"];
    assert_eq!(exporter["auth"]["authenticator"], "sigv4auth");
    assert!(exporter["traces_endpoint"].as_str().unwrap().starts_with("https://xray."));
    assert_eq!(signed["extensions"]["sigv4auth"]["service"], "xray");
    // 10,000 spans and 5 MB are the endpoint's limits; the largest span of the filter has some 25 KB, a usual one 2.
    assert!(signed["processors"]["batch"]["send_batch_max_size"].as_u64().unwrap() <= 2000);
}

#[test]
fn the_collector_that_is_tested_is_the_one_that_users_run() {
    let builder = yaml(files::BUILDER);
    let version = builder["dist"]["version"].as_str().unwrap();
    for section in ["receivers", "processors", "exporters", "extensions", "providers"] {
        for module in builder[section].as_array().unwrap() {
            let module = module["gomod"].as_str().unwrap();
            assert!(files::LOCK.lines().any(|line| line.trim() == module), "{module} is not in lock/go.mod");
        }
    }
    let image = format!("otel/opentelemetry-collector-contrib:{version}");
    for text in [files::KUBERNETES, files::COMPOSE] {
        assert_eq!(text.matches("opentelemetry-collector-contrib:").count(), 1);
        assert!(text.contains(&image), "{image}");
    }
}

#[test]
fn kubernetes_has_the_configuration_word_for_word_and_its_parts_fit() {
    let manifests = manifests(files::KUBERNETES);
    for manifest in &manifests {
        let (kind, version) = (manifest["kind"].as_str().unwrap(), manifest["apiVersion"].as_str().unwrap());
        let expected = match kind {
            "Namespace" | "ServiceAccount" | "ConfigMap" | "Service" => "v1",
            "Deployment" => "apps/v1",
            "NetworkPolicy" => "networking.k8s.io/v1",
            other => panic!("{other} is not expected"),
        };
        assert_eq!(version, expected, "{kind}");
        if kind != "Namespace" {
            assert_eq!(manifest["metadata"]["namespace"], "observability", "{kind}");
        }
    }
    assert_eq!(of_kind(&manifests, "ConfigMap")["data"]["config.yaml"], files::COLLECTOR);

    let deployment = of_kind(&manifests, "Deployment");
    let pod = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    assert_eq!(of_kind(&manifests, "Service")["spec"]["selector"], pod["metadata"]["labels"]);
    assert_eq!(of_kind(&manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"]);
    let account = of_kind(&manifests, "ServiceAccount");
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);
    assert!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].is_string());

    // Every port of the service is one of the container, and one that the configuration opens.
    let container = &pod["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    for port in of_kind(&manifests, "Service")["spec"]["ports"].as_array().unwrap() {
        let target = ports.iter().find(|known| known["name"] == port["targetPort"]).unwrap();
        assert_eq!(target["containerPort"], port["port"]);
    }
    for port in ports {
        let number = port["containerPort"].as_u64().unwrap();
        assert!(files::COLLECTOR.contains(&format!("0.0.0.0:{number} ")), "{number} is not listened on");
    }
    for mount in container["volumeMounts"].as_array().unwrap() {
        assert!(pod["spec"]["volumes"].as_array().unwrap().iter().any(|volume| volume["name"] == mount["name"]));
    }
}

#[test]
fn an_application_has_no_credentials_and_says_where_it_runs() {
    let text = files::APPLICATION;
    let manifests = manifests(text);
    let pod = &of_kind(&manifests, "Deployment")["spec"]["template"];
    assert!(pod["spec"]["serviceAccountName"].is_null() && !text.contains("AWS_"));
    let envoy = pod["spec"]["containers"].as_array().unwrap().iter().find(|it| it["name"] == "envoy").unwrap();
    let variables = envoy["env"].as_array().unwrap();
    let attributes =
        variables.iter().find(|it| it["name"] == "OTEL_RESOURCE_ATTRIBUTES").unwrap()["value"].as_str().unwrap();
    for pair in ["cloud.provider=aws", "cloud.platform=aws_eks"] {
        assert!(attributes.split(',').any(|known| known == pair), "{attributes}");
    }
}

#[test]
fn compose_gives_credentials_to_the_collector_alone() {
    let compose = yaml(files::COMPOSE);
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        let has = service.to_string().contains("AWS_") || service.to_string().contains(".aws");
        assert_eq!(has, name == "otel-collector", "{name}");
        assert!(service["image"].is_string(), "{name}");
        for needed in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(needed.as_str().unwrap()), "{name} needs {needed}");
        }
    }
    let command = &services["otel-collector"]["command"][0];
    let file = command.as_str().unwrap().strip_prefix("--config=").unwrap();
    let mounts = services["otel-collector"]["volumes"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount == &format!("../collector/config.yaml:{file}:ro")), "{mounts:?}");
}

#[test]
fn the_role_may_write_traces_and_ask_for_rules_and_nothing_else() {
    let policy: Value = serde_json::from_str(files::POLICY).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions: BTreeSet<_> =
        statements.iter().flat_map(|it| it["Action"].as_array().unwrap()).filter_map(Value::as_str).collect();
    let expected = [
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutSpans",
        "xray:PutSpansForIndexing",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    assert_eq!(actions, BTreeSet::from(expected));
    assert!(statements.iter().all(|it| it["Effect"] == "Allow"));
    for trust in [files::TRUST_IRSA, files::TRUST_POD_IDENTITY] {
        let trust: Value = serde_json::from_str(trust).unwrap();
        assert_eq!((&trust["Version"], &trust["Statement"][0]["Effect"]), (&policy["Version"], &"Allow".into()));
    }
    let account = "system:serviceaccount:observability:otel-collector";
    assert!(files::TRUST_IRSA.contains(account), "the service account of kubernetes/collector.yaml");
}
