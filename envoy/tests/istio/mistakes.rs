//! A plugin with one mistake, sent under load: what the agent and Envoy say, what becomes of tracing, and that no request fails. The
//! runbook has these texts.

use crate::manifests::settings;
use crate::registry::{REPOSITORY, summary};
use crate::scene::Scene;
use serde_json::{Value, json};
use tracelift_envoy::{Load, Stats};

/// What the filter logs where wrong settings let requests pass.
pub const PASSING: &str = "PASSING EVERYTHING THROUGH";

struct Mistake {
    name: &'static str,
    make: fn(&mut Value),
    /// Each of them is in the log of the proxy's container.
    said: &'static [&'static str],
    /// Whether requests pass without the filter meanwhile; else it decides, and its spans do not arrive.
    stops: bool,
}

const MISTAKES: [Mistake; 6] = [
    Mistake {
        name: "a digest that the registry does not have",
        make: |plugin| {
            let url = repository(plugin);
            plugin["spec"]["url"] = format!("{url}@sha256:{}", "0".repeat(64)).into();
        },
        said: &["could not fetch Wasm OCI image", "applying allow RBAC filter"],
        stops: true,
    },
    Mistake {
        name: "another digest in sha256",
        make: |plugin| {
            let url = repository(plugin);
            plugin["spec"]["url"] = format!("{url}:{}", summary()["version"].as_str().unwrap()).into();
            plugin["spec"]["sha256"] = "0".repeat(64).into();
        },
        said: &["which does not match", "applying allow RBAC filter"],
        stops: true,
    },
    Mistake {
        name: "a registry that does not answer",
        make: |plugin| plugin["spec"]["url"] = format!("oci://127.0.0.1:1/{REPOSITORY}:0").into(),
        said: &["could not fetch Wasm OCI image", "applying allow RBAC filter"],
        stops: true,
    },
    Mistake {
        name: "an unknown key",
        make: |plugin| settings(plugin)["sampling"]["ratoi"] = 1.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratoi: found an unknown key",
            "Did you mean `ratio`?",
            PASSING,
        ],
        stops: true,
    },
    Mistake {
        name: "ratio 5",
        make: |plugin| settings(plugin)["sampling"]["ratio"] = 5.into(),
        said: &[
            "tracelift: configuration refused: sampling.ratio: found 5; allowed is 0 (never) or a number from 2^-56 to 1",
            PASSING,
        ],
        stops: true,
    },
    Mistake {
        name: "a cluster that Envoy does not have",
        make: |plugin| settings(plugin)["export"]["cluster"] = "otel".into(),
        said: &["export to cluster \"otel\"", "Check that Envoy has a cluster of the name in export.cluster"],
        stops: false,
    },
];

/// The image without its digest.
fn repository(plugin: &Value) -> String {
    plugin["spec"]["url"].as_str().unwrap().split('@').next().unwrap().to_owned()
}

/// Sets what becomes of wrong settings: a variable of the plugin's.
pub fn on_invalid_settings(plugin: &mut Value, value: &str) {
    let variable = &mut plugin["spec"]["vmConfig"]["env"][0];
    assert_eq!(variable["name"], "TRACELIFT_ON_INVALID_CONFIG");
    variable["value"] = json!(value);
}

#[tokio::test]
async fn a_mistake_in_the_plugin_is_named_and_fails_no_request() {
    let scene = Scene::set("gateway").await;
    let right = |plugin: &mut Value| settings(plugin)["sampling"]["ratio"] = 1.into();
    scene.apply(right).await;
    let proxy = scene.proxy().await;
    scene.decides(&proxy).await;
    for Mistake { name, make, said, stops } in MISTAKES {
        let load = Load::start(2, scene.requests());
        let from = proxy.program.log().len();
        scene
            .apply(|plugin| {
                right(plugin);
                make(plugin);
            })
            .await;
        for text in said {
            proxy.program.logged(from, text).await;
        }
        if stops {
            scene.passes_untouched(&proxy).await;
        } else {
            let waits = |stats: &Stats| 100 < stats.ledger().queued + stats.ledger().in_flight;
            proxy.until(name, waits).await;
            assert!(!scene.is_untouched().await, "{name}");
        }
        let tally = load.stop().await;
        assert!(tally.is_all(200), "{name}: {tally}");
        scene.apply(right).await;
        proxy.program.until(name, async || !scene.is_untouched().await).await;
        let exported = proxy.stats().await.ledger().exported;
        scene.get("/cart").await;
        proxy.until(name, |stats| exported < stats.ledger().exported).await;
    }
}
