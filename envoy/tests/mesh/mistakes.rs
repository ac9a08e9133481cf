//! Exploration.

use crate::manifests::settings;
use crate::scene::{Scene, decisions};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;
use tracelift_envoy::Load;

type Change = fn(&mut Value);

const MISTAKES: [(&str, Change); 6] = [
    ("wrong digest", |policy| policy["spec"]["wasm"][0]["code"]["image"]["sha256"] = "0".repeat(64).into()),
    ("unknown key", |policy| settings(policy)["sampling"]["ratoi"] = 1.into()),
    ("ratio 5", |policy| settings(policy)["sampling"]["ratio"] = 5.into()),
    ("missing cluster", |policy| settings(policy)["export"]["cluster"] = "otel".into()),
    ("unknown image", |policy| {
        policy["spec"]["wasm"][0]["code"]["image"]["url"] = "127.0.0.1:1/mesh/tracelift:1".into()
    }),
    ("wrong field", |policy| policy["spec"]["wasm"][0]["failOpne"] = json!(true)),
];

#[tokio::test]
async fn explore() {
    let scene = Scene::start(|settings| settings["sampling"]["ratio"] = 1.into()).await;
    println!("=== STARTED {}", scene.gateway.log());
    for (name, change) in MISTAKES {
        let load = Load::start(2, scene.requests());
        let from = scene.gateway.log().len();
        let mut policy = scene.policy();
        settings(&mut policy)["sampling"]["ratio"] = 1.into();
        change(&mut policy);
        scene.apply(&[policy]);
        sleep(Duration::from_secs(6)).await;
        let before = decisions(&scene.stats().await);
        let ended = load.ended();
        sleep(Duration::from_secs(1)).await;
        let stats = scene.stats().await;
        println!(
            "=== {name}: decisions {} of {} requests; updates {} rejected {}",
            decisions(&stats) - before,
            load.ended() - ended,
            stats.get("listener_manager.lds.update_success"),
            stats.get("listener_manager.lds.update_rejected")
        );
        println!("=== {name}: load {}", load.stop().await);
        println!("=== {name}: log {}", &scene.gateway.log()[from..]);
        let mut policy = scene.policy();
        settings(&mut policy)["sampling"]["ratio"] = 1.into();
        scene.apply(&[policy]);
        sleep(Duration::from_secs(3)).await;
        let before = decisions(&scene.stats().await);
        scene.get("/cart").await;
        sleep(Duration::from_secs(1)).await;
        println!("=== {name}: back: {}", decisions(&scene.stats().await) - before);
    }
}
