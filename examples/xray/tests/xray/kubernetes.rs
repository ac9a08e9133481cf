//! Manifests that a cluster would take: who may send to the collector, and containers that can start as they are told to.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tracelift_xray::files;

/// Label keys of our own begin with this, everywhere.
const DOMAIN: &str = "tracelift.io/";

fn manifests(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| yaml_serde::from_str(&format!("{document}\n")).unwrap()).collect()
}

fn text_of(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a label selector fits (`matchLabels`, and `matchExpressions` with `Exists`).
fn fits(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let exist = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(key, value)| labels.get(key.as_str()).copied() == value.as_str())
        && exist.into_iter().all(|it| {
            assert_eq!(it["operator"], "Exists", "{it}");
            labels.contains_key(it["key"].as_str().unwrap())
        })
}

/// Whether the collector takes what a pod with these labels sends to a port, whatever its namespace.
fn collector_admits(labels: &BTreeMap<&str, &str>, port: u64) -> bool {
    let manifests = manifests(files::KUBERNETES);
    let policy = manifests.iter().find(|it| it["kind"] == "NetworkPolicy").unwrap();
    policy["spec"]["ingress"].as_array().unwrap().iter().any(|rule| {
        let from = rule["from"].as_array().unwrap();
        let ports = rule["ports"].as_array().unwrap();
        from.iter().any(|it| it["namespaceSelector"] == json!({}) && fits(&it["podSelector"], labels))
            && ports.iter().any(|it| it["port"] == port)
    })
}

#[test]
fn the_collector_lets_in_every_pod_that_people_are_told_to_send_from() {
    // Where a manifest says it, with the words that it says it in.
    let pods = [
        ("examples/xray/kubernetes/application.yaml", "tracelift.io/traced: \"true\"", ("tracelift.io/traced", "true")),
        (
            "envoy/istio/overlays/workload/kustomization.yaml",
            "tracelift.io/canary: \"true\"",
            ("tracelift.io/canary", "true"),
        ),
        (
            "envoy/istio/overlays/mesh/kustomization.yaml",
            "security.istio.io/tlsMode: istio",
            ("security.istio.io/tlsMode", "istio"),
        ),
        ("envoy/istio/overlays/gateway/kustomization.yaml", "istio: ingressgateway", ("istio", "ingressgateway")),
        (
            "envoy/istio/overlays/waypoint/kustomization.yaml",
            "name: waypoint",
            ("gateway.networking.k8s.io/gateway-name", "waypoint"),
        ),
        (
            "envoy/istio/overlays/gateway-api/kustomization.yaml",
            "name: public",
            ("gateway.networking.k8s.io/gateway-name", "public"),
        ),
        (
            "envoy/gateway-api/envoyextensionpolicy.yaml",
            "kind: EnvoyExtensionPolicy",
            ("app.kubernetes.io/managed-by", "envoy-gateway"),
        ),
    ];
    for (file, words, (key, value)) in pods {
        assert!(text_of(file).contains(words), "{file} no longer says {words}");
        let labels = BTreeMap::from([("app", "cart"), (key, value)]);
        for port in [4317, 4318, 2000] {
            assert!(collector_admits(&labels, port), "{file}: {labels:?} cannot reach {port}");
        }
    }
    assert!(!collector_admits(&BTreeMap::from([("app", "cart")]), 4318), "a pod that is not traced");
    assert!(
        !collector_admits(&BTreeMap::from([("tracelift.io/traced", "true")]), 13133),
        "a port that is not for them"
    );
}

#[test]
fn labels_of_our_own_have_one_domain() {
    let folders = ["envoy", "examples"];
    let mut seen = 0;
    let mut left: Vec<_> = folders.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).into();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml" || it == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices("tracelift.") {
                    let word =
                        text[at..].split(|letter: char| !letter.is_ascii_alphanumeric() && !"./-".contains(letter));
                    let word = word.into_iter().next().unwrap();
                    let is_label = ["traced", "canary"].iter().any(|name| word.ends_with(&format!("/{name}")));
                    assert!(!is_label || word.starts_with(DOMAIN), "{}: {word}", path.display());
                    seen += usize::from(is_label);
                }
            }
        }
    }
    assert!(5 < seen, "{seen}");
}

/// Why a container cannot start as it is told to: without capabilities a process that begins as root cannot become another user.
fn cannot_start(pod: &Value, container: &Value) -> Option<String> {
    let of = |field: &str| {
        let own = &container["securityContext"][field];
        if own.is_null() { pod["securityContext"][field].clone() } else { own.clone() }
    };
    let dropped = container["securityContext"]["capabilities"]["drop"].as_array().into_iter().flatten();
    let drops_all = dropped.into_iter().any(|it| it == "ALL");
    let added = container["securityContext"]["capabilities"]["add"].is_array();
    let user = of("runAsUser").as_u64();
    if drops_all && !added && user.is_none_or(|user| user == 0) {
        return Some(format!(
            "{} drops all capabilities and may begin as root: give it a runAsUser",
            container["name"]
        ));
    }
    if of("runAsNonRoot") == true && user.is_none_or(|user| user == 0) {
        return Some(format!("{} must not be root, and no runAsUser says who it is", container["name"]));
    }
    None
}

#[test]
fn every_container_can_start_as_the_user_and_with_the_rights_that_it_is_given() {
    for text in [files::APPLICATION, files::KUBERNETES] {
        for manifest in manifests(text).iter().filter(|it| it["kind"] == "Deployment") {
            let pod = &manifest["spec"]["template"]["spec"];
            for container in pod["containers"].as_array().unwrap() {
                assert_eq!(cannot_start(pod, container), None);
            }
        }
    }
    // As it was once: the entrypoint of Envoy's image failed at `chown`.
    let as_root = json!({ "name": "envoy", "image": "envoyproxy/envoy:v1.40-latest",
                          "securityContext": { "capabilities": { "drop": ["ALL"] } } });
    assert!(cannot_start(&json!({}), &as_root).unwrap().contains("drops all capabilities"));
    let nobody = json!({ "name": "app" });
    assert!(cannot_start(&json!({ "securityContext": { "runAsNonRoot": true } }), &nobody).is_some());
}
