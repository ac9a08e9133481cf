//! A plugin with one mistake, applied under load: what Istio and Envoy say, what becomes of tracing, and that no request fails. The
//! runbook has these texts.

use crate::manifests::{self, module, settings};
use crate::pods::Place;
use crate::proxy::Proxy;
use crate::registry::REPOSITORY;
use crate::scene::{Scene, decisions};
use serde_json::{Value, json};
use tracelift_envoy::{Load, ports::RefusingPort};

/// What becomes of tracing while the mistake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracing {
    /// The plugin before decides.
    AsBefore,
    /// Requests pass without the filter.
    Stops,
    /// The filter decides, and its spans do not arrive.
    WaitsToExport,
}

struct Mistake {
    name: &'static str,
    make: fn(&mut Value),
    /// What is answered, which `kubectl` shows; nothing where it is admitted.
    refused: Option<&'static str>,
    /// Each of them is in the log of the proxy's container.
    said: &'static [&'static str],
    tracing: Tracing,
}

const PASSING: &str = "PASSING EVERYTHING THROUGH";

const ADMITTED: Mistake = Mistake { name: "", make: |_| (), refused: None, said: &[], tracing: Tracing::AsBefore };

const MISTAKES: [Mistake; 10] = [
    Mistake {
        name: "a digest that the registry does not have",
        make: |plugin| {
            let url = module(plugin)["url"].as_str().unwrap().split('@').next().unwrap().to_owned();
            module(plugin)["url"] = format!("{url}@sha256:{}", "0".repeat(64)).into();
        },
        said: &["could not fetch Wasm OCI image", "applying allow RBAC filter"],
        tracing: Tracing::Stops,
        ..ADMITTED
    },
    Mistake {
        name: "another digest in sha256",
        make: |plugin| {
            let url = module(plugin)["url"].as_str().unwrap().split('@').next().unwrap().to_owned();
            module(plugin)["url"] = format!("{url}:{}", crate::registry::summary()["version"].as_str().unwrap()).into();
            module(plugin)["sha256"] = "0".repeat(64).into();
        },
        said: &["which does not match", "applying allow RBAC filter"],
        tracing: Tracing::Stops,
        ..ADMITTED
    },
    Mistake {
        name: "a registry that does not answer",
        make: |plugin| module(plugin)["url"] = format!("oci://127.0.0.1:1/{REPOSITORY}:0").into(),
        said: &["could not fetch Wasm OCI image", "applying allow RBAC filter"],
        tracing: Tracing::Stops,
        ..ADMITTED
    },
    Mistake {
        name: "an unknown key",
        make: |plugin| settings(plugin)["sampling"]["ratoi"] = 1.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratoi: found an unknown key",
            "Did you mean `ratio`?",
            PASSING,
        ],
        tracing: Tracing::Stops,
        ..ADMITTED
    },
    Mistake {
        name: "ratio 5",
        make: |plugin| settings(plugin)["sampling"]["ratio"] = 5.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratio: found 5; allowed is 0 (never) or a number from 2^-56 to 1",
            PASSING,
        ],
        tracing: Tracing::Stops,
        ..ADMITTED
    },
    Mistake {
        name: "a cluster that Envoy does not have",
        make: |plugin| settings(plugin)["export"]["cluster"] = "otel".into(),
        said: &["export to cluster \"otel\"", "Check that Envoy has a cluster of the name in export.cluster"],
        tracing: Tracing::WaitsToExport,
        ..ADMITTED
    },
    Mistake {
        name: "a phase that Istio does not have",
        make: |plugin| plugin["spec"]["phase"] = "AUTHENTICATION".into(),
        refused: Some(
            r#"spec.phase: Unsupported value: "AUTHENTICATION": supported values: "UNSPECIFIED_PHASE", "AUTHN""#,
        ),
        ..ADMITTED
    },
    Mistake {
        name: "a field that the resource does not have",
        make: |plugin| plugin["spec"]["failOpne"] = true.into(),
        refused: Some("unknown fields [spec.failOpne]"),
        ..ADMITTED
    },
    Mistake {
        name: "a port that there is not",
        make: |plugin| plugin["spec"]["match"][0]["ports"] = json!([{ "number": 70_000 }]),
        refused: Some("spec.match[0].ports[0].number in body should be less than or equal to 65535"),
        ..ADMITTED
    },
    Mistake {
        name: "two ways of saying what it is attached to",
        make: |plugin| plugin["spec"]["targetRefs"] = json!([{ "group": "", "kind": "Service", "name": "cart" }]),
        refused: Some("only one of targetRefs or selector can be set"),
        ..ADMITTED
    },
];

const OVERLAY: &str = "gateway";

#[tokio::test]
async fn a_mistake_in_the_plugin_is_named_and_fails_no_request() {
    let scene = Scene::set(Place::Gateway).await;
    let right = scene.with_ratio(OVERLAY, 1.0);
    scene.apply(&right).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    for Mistake { name, make, refused, said, tracing } in MISTAKES {
        let load = Load::start(2, scene.requests(&proxy));
        let mut wrong = right.clone();
        manifests::change(&mut wrong, make);
        let from = proxy.program.log().len();
        let answer = scene.try_to_apply(&wrong).await;
        match refused {
            Some(text) => assert!(answer.len() == 1 && answer[0].contains(text), "{name}: {answer:?}"),
            None => assert!(answer.is_empty(), "{name}: {answer:?}"),
        }
        for text in said {
            proxy.program.logged(from, text).await;
        }
        match tracing {
            Tracing::Stops => scene.passes_untouched(&proxy).await,
            Tracing::AsBefore | Tracing::WaitsToExport => still_decides(&scene, &proxy, name).await,
        }
        if tracing == Tracing::WaitsToExport {
            let waits = |stats: &tracelift_envoy::Stats| 100 < stats.ledger().queued + stats.ledger().in_flight;
            proxy.until(name, waits).await;
        }
        let tally = load.stop().await;
        assert!(tally.is_all(200), "{name}: {tally}");
        scene.apply(&right).await;
        proxy.program.until(name, async || !scene.is_untouched(&proxy).await).await;
        let exported = proxy.stats().await.ledger().exported;
        scene.get(&proxy, "/cart").await;
        proxy.until(name, |stats| exported < stats.ledger().exported).await;
    }
}

async fn still_decides(scene: &Scene, proxy: &Proxy, name: &str) {
    let before = decisions(&proxy.stats().await);
    proxy.until(name, |stats| before + 100 < decisions(stats)).await;
    assert!(!scene.is_untouched(proxy).await, "{name}");
}

#[tokio::test]
async fn a_collector_at_another_port_costs_spans_and_no_request() {
    let scene = Scene::set(Place::Gateway).await;
    let refusing = RefusingPort::any().unwrap();
    let mut plugins = scene.with_ratio(OVERLAY, 1.0);
    let clusters = plugins.iter_mut().find(|it| it["kind"] == "EnvoyFilter").unwrap();
    *clusters.pointer_mut(&format!("{}/port_value", manifests::SOCKET)).unwrap() = refusing.address().port().into();
    scene.apply(&plugins).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    proxy.program.logged(0, "export to cluster \"tracelift_otel_collector\"").await;
    proxy.until("spans wait", |stats| 0 < stats.ledger().queued + stats.ledger().in_flight).await;
    assert_eq!(scene.get(&proxy, "/cart").await.unwrap().status, 200);
}

/// Replaces what becomes of wrong settings: a variable of the plugin's.
fn on_invalid_settings(manifests: &mut [Value], value: &str) {
    manifests::change(manifests, |plugin| {
        let variable = &mut module(plugin)["vmConfig"]["env"][0];
        assert_eq!(variable["name"], "TRACELIFT_ON_INVALID_CONFIG");
        variable["value"] = value.into();
    });
}

#[tokio::test]
async fn a_proxy_that_starts_with_wrong_settings_serves_without_tracing_until_they_are_corrected() {
    let scene = Scene::set(Place::Gateway).await;
    scene.apply(&scene.with_ratio(OVERLAY, 5.0)).await;
    let proxy = scene.proxy().await;
    proxy.program.logged(0, PASSING).await;
    assert!(scene.is_untouched(&proxy).await);
    scene.apply(&scene.with_ratio(OVERLAY, 1.0)).await;
    scene.decides(&proxy).await;
}

/// Why the shipped manifests say `pass_through`: Istio gives Envoy nothing to put in the place of a filter that is refused.
#[tokio::test]
async fn with_refuse_a_proxy_that_runs_keeps_the_settings_before_and_one_that_starts_answers_500() {
    let scene = Scene::set(Place::Gateway).await;
    let plugins = |ratio: f64| {
        let mut plugins = scene.with_ratio(OVERLAY, ratio);
        on_invalid_settings(&mut plugins, "refuse");
        plugins
    };
    scene.apply(&plugins(1.0)).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    let from = scene.istiod.program.log().len();
    let load = Load::start(2, scene.requests(&proxy));
    scene.apply(&plugins(5.0)).await;
    scene.istiod.program.logged(from, "ACK ERROR").await;
    still_decides(&scene, &proxy, "the settings before are in use").await;
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
    drop(proxy);
    let late = scene.live(0).await;
    late.program.logged(0, "configuration refused: sampling.ratio").await;
    scene.answers(&late, 500).await;
    scene.apply(&plugins(1.0)).await;
    scene.answers(&late, 200).await;
    scene.decides(&late).await;
}
