//! What is kept though it did not fail: the first of each kind, and what the application marks.

use crate::mesh::{Pod, settings, traceparent};
use serde_json::json;
use tracelift_envoy::Request;

#[tokio::test]
async fn the_first_of_each_kind_and_what_the_application_marks_is_kept_at_ratio_zero() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"] = json!({ "ratio": 0 });
            json["metrics"] = json!({ "routes": ["/status/{code}"] });
            json["upgrade"] = json!({
                "coverage": { "enabled": true, "where": "all" },
                "response_headers": { "x-keep": { "exact": "yes" } },
            });
        });
    })
    .await;
    let mut kept = 0;
    for (number, (path, mark, status, trigger)) in (1..).zip([
        ("/cart", "no", 200, Some("coverage")),
        ("/other", "no", 200, None),
        ("/status/404", "no", 404, Some("coverage")),
        ("/status/404", "no", 404, None),
        ("/status/418", "no", 418, Some("coverage")),
        ("/status/503", "yes", 503, Some("http_status")),
        ("/cart", "yes", 200, Some("response_header")),
        ("/status/404", "yes", 404, Some("response_header")),
    ]) {
        let sent = traceparent(number, false);
        let request = Request::get(pod.entry(), path).header("traceparent", &sent);
        let reply = pod.send(request.header("x-answer-header", format!("x-keep={mark}"))).await;
        assert_eq!(reply.status, status, "{path}");
        let signal = reply.header("x-tracelift-signal");
        assert_eq!(signal.is_some_and(|mark| mark.starts_with("2;upgraded;")), trigger.is_some(), "{path}: {signal:?}");
        if trigger.is_some() {
            let span = pod.span_of(&sent).await;
            assert_eq!(span.trigger(), trigger, "{path}");
            assert_eq!(span.span.trace_state, "ot=th:0", "{path}");
            kept += 1;
        }
    }
    pod.settle(kept).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    let counted = ["coverage.kept", "upgrades.coverage", "upgrades.response_header"].map(|name| stats.tracelift(name));
    assert_eq!(counted, [3, 3, 2]);
}
