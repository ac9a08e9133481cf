//! A second policy beside the live one, in a real Envoy.

use crate::mesh::{Pod, settings, traceparent};
use serde_json::json;
use tracelift_envoy::Request;

#[tokio::test]
async fn a_shadow_policy_tells_what_it_would_do_and_exports_nothing() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"]["ratio"] = 0.into();
            json["shadow"] = json!({
                "sampling": { "mode": "independent", "ratio": 1 },
                "upgrade": { "http_status": [404] },
            });
        });
    })
    .await;
    for (number, path) in (1..).zip(["/cart", "/cart", "/status/404", "/status/503"]) {
        let sent = traceparent(number, false);
        pod.send(Request::get(pod.entry(), path).header("traceparent", &sent)).await;
        let forwarded = pod.upstream.last().unwrap().text("traceparent");
        assert!(forwarded.ends_with("-02"), "the shadow changes nothing that leaves: {forwarded}");
    }
    pod.settle(1).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    let counted = |name: &str| stats.tracelift(&format!("shadow.{name}"));
    assert_eq!((counted("decisions.sampled"), counted("decisions.dropped")), (4, 0));
    assert_eq!((counted("disagreements.kept"), counted("disagreements.dropped")), (3, 0));
    assert_eq!((counted("upgrades"), counted("upgrades_shed"), counted("spans")), (0, 0, 4));
    assert!((400..8000).contains(&counted("bytes")), "{}", counted("bytes"));
}
