//! A token at the edge of the mesh.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::mesh::{Pod, settings, traceparent};
use serde_json::json;
use tracelift::force::{Claims, Scope};
use tracelift_envoy::{Request, Shipped};

const SECRET: &str = "a-secret-of-the-developers";

/// Good for `/checkout`, and for so many seconds.
fn token(audience: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let scope = Scope { host: String::new(), path: "/checkout".to_owned() };
    Claims { key: "dev".to_owned(), expiry: now.saturating_add_signed(seconds), scope }
        .sign(SECRET.as_bytes(), audience)
}

#[tokio::test]
async fn at_the_edge_a_good_token_is_recorded_and_found_and_every_other_is_as_none() {
    let pod = Pod::start(Shipped::Gateway, |bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 0 });
            json["resource"]["service.namespace"] = "shop".into();
            json["force"] = json!({ "keys": [{ "id": "dev", "secret": SECRET }] });
        });
    })
    .await;
    let ask = |number, path: &str, token: &str| {
        Request::get(pod.entry(), path)
            .header("traceparent", traceparent(number, true))
            .header("x-tracelift-force", token)
    };
    let rows = [
        ("/checkout", token("bank", 60)),
        ("/cart", token("shop", 60)),
        ("/checkout", token("shop", -60)),
        ("/checkout", token("shop", 60).replace("dev", "ops")),
    ];
    for (number, (path, token)) in (1..).zip(&rows) {
        let reply = pod.send(ask(number, path, token)).await;
        assert_eq!((reply.status, reply.header("traceresponse")), (200, None), "{path}");
        let seen = pod.upstream.last().unwrap();
        assert!(seen.text("traceparent").ends_with("-02"), "not sampled");
        assert!(seen.header("x-tracelift-force").is_none(), "the token goes no further");
    }
    let reply = pod.send(ask(9, "/checkout/1?id=2", &token("shop", 60))).await;
    let seen = pod.upstream.last().unwrap();
    assert!(seen.text("traceparent").ends_with("-03"), "sampled");
    assert!(seen.header("x-tracelift-force").is_none());
    let found = reply.header("traceresponse").unwrap().to_owned();
    let spans = pod.collector.wait_for_spans(2, crate::mesh::SOON).await.unwrap();
    assert!(spans.iter().any(|span| found[3..52] == format!("{}-{}", span.trace_id(), span.span_id())), "{found}");
    for span in &spans {
        assert_eq!(span.text("tracelift.sampling.reason"), Some("forced"));
        assert_eq!(span.text("tracelift.force.key"), Some("dev"));
    }
    pod.settle(2).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    let counted = ["force.accepted", "force.invalid", "force.expired"].map(|name| stats.tracelift(name));
    assert_eq!(counted, [1, 3, 1]);
}
