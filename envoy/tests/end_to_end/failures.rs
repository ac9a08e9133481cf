//! At ratio 0 nothing is recorded but failures, and of those every one.

use crate::mesh::{Pod, SOON, settings, traceparent};
use serde_json::json;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Client, Request, Stats};

/// Routes into every kind of failure that Envoy itself makes. 503 and 504 are no triggers here, so that what upgrades
/// these is what Envoy says of them.
fn with_failures(bootstrap: &mut Bootstrap, refusing: &RefusingPort) {
    settings(bootstrap, |json| {
        json["sampling"] = json!({ "ratio": 0 });
        json["upgrade"] = json!({ "http_status": ["500", "502"] });
    });
    bootstrap.copy_cluster("application", "refusing", &[refusing.address()]).unwrap();
    bootstrap.copy_cluster("application", "empty", &[]).unwrap();
    let application = bootstrap.cluster("application").unwrap()["load_assignment"].clone();
    bootstrap.copy_cluster("application", "full", &[]).unwrap();
    let full = bootstrap.cluster("full").unwrap();
    full["load_assignment"] = application;
    full["load_assignment"]["cluster_name"] = "full".into();
    full["circuit_breakers"] = json!({ "thresholds": [{ "max_pending_requests": 0, "max_requests": 0 }] });
    for (prefix, action) in [
        ("/refused", json!({ "route": { "cluster": "refusing" } })),
        (
            "/retried",
            json!({ "route": { "cluster": "refusing", "retry_policy": { "retry_on": "connect-failure", "num_retries": 1 } } }),
        ),
        ("/nobody", json!({ "route": { "cluster": "empty" } })),
        ("/full", json!({ "route": { "cluster": "full" } })),
        ("/slow", json!({ "route": { "cluster": "application", "timeout": "0.1s", "prefix_rewrite": "/silence" } })),
        ("/teapot", json!({ "direct_response": { "status": 418 } })),
        ("/broken", json!({ "direct_response": { "status": 500 } })),
    ] {
        bootstrap.add_route("inbound", prefix, action).unwrap();
    }
}

#[tokio::test]
async fn every_kind_of_failure_brings_its_trace_back() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::sidecar(|bootstrap| with_failures(bootstrap, &refusing)).await;
    // Path, status at the client, trigger, response flags on the span.
    let cases = [
        ("/status/500", 500, "http_status", None),
        ("/broken", 500, "http_status", None),
        ("/refused", 503, "response_flags", Some("UF")),
        ("/retried", 503, "response_flags", Some("UF,URX")),
        ("/nobody", 503, "response_flags", Some("UH")),
        ("/full", 503, "response_flags", Some("UO")),
        ("/slow", 504, "response_flags", Some("UT")),
        ("/close", 503, "response_flags", Some("UC")),
    ];
    for (number, (path, status, trigger, flags)) in (1..).zip(cases) {
        let sent = traceparent(number, false);
        let reply = pod.send(Request::get(pod.entry(), path).header("traceparent", &sent)).await;
        assert_eq!(reply.status, status, "{path}");
        let span = pod.span_of(&sent).await;
        assert_eq!(span.trigger(), Some(trigger), "{path}");
        assert_eq!(span.text("tracelift.response_flags"), flags, "{path}");
        assert_eq!(span.int("http.response.status_code"), Some(status.into()), "{path}");
        assert_eq!(span.int("sampling.priority"), Some(1), "{path}");
        assert!(span.is_error(), "{path}");
        assert_eq!(span.parent_span_id(), "00f067aa0ba902b7", "{path}");
        assert_eq!(span.span.trace_state, "ot=th:0", "{path}: a class that is kept whole stands for itself only");
    }

    for (number, (path, status)) in
        (50..).zip([("/cart", 200), ("/teapot", 418), ("/status/404", 404), ("/status/503", 503)])
    {
        let request = Request::get(pod.entry(), path).header("traceparent", traceparent(number, false));
        assert_eq!(pod.send(request).await.status, status, "{path}");
    }
    pod.settle(cases.len()).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!((stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.response_flags")), (2, 6));
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_200_is_a_failure() {
    let pod = Pod::sampling(0.0).await;
    let sent = traceparent(1, false);
    let reply = pod.send(Request::get(pod.entry(), "/break").header("traceparent", &sent)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.broken_off.is_some());
    let span = pod.span_of(&sent).await;
    assert_eq!(span.trigger(), Some("response_flags"));
    assert_eq!(span.int("http.response.status_code"), Some(200));
    assert!(span.is_error() && span.text("error.type").is_some(), "{:?}", span.span);
    pod.settle(1).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_a_failure() {
    let pod = Pod::sampling(0.0).await;
    let sent = traceparent(1, false);
    let request = Request::get(pod.entry(), "/silence").header("traceparent", &sent);
    let connection = pod.client.send_and_hold(request).await.unwrap();
    assert!(pod.upstream.wait_for(1, SOON).await);
    drop(connection);
    let span = pod.span_of(&sent).await;
    assert_eq!((span.trigger(), span.text("tracelift.response_flags")), (Some("response_flags"), Some("DC")));
    assert_eq!(span.int("http.response.status_code"), None);
    pod.settle(1).await;
}

#[tokio::test]
async fn a_request_that_is_no_http_is_a_failure_too() {
    let pod = Pod::sampling(0.0).await;
    let _connection =
        Client::send_bytes(pod.entry(), b"GET /cart HTTP/1.1\r\nhost: cart\r\nno header\r\n\r\n").await.unwrap();
    let spans = pod.collector.wait_for_spans(1, SOON).await.unwrap();
    assert_eq!((spans[0].trigger(), spans[0].text("tracelift.response_flags")), (Some("response_flags"), Some("DPE")));
    pod.settle(1).await;
}

#[tokio::test]
async fn a_host_that_nobody_routes_is_the_callers_failure() {
    let pod = Pod::sampling(0.0).await;
    let sent = traceparent(1, false);
    let to = pod.envoy.address("outbound").unwrap();
    let reply = pod.send(Request::get(to, "/pay").host("nowhere").header("traceparent", &sent)).await;
    assert_eq!(reply.status, 404);
    let span = pod.span_of(&sent).await;
    assert_eq!((span.trigger(), span.text("tracelift.response_flags")), (Some("response_flags"), Some("NR")));
    pod.settle(1).await;
}

#[tokio::test]
async fn a_slow_answer_is_kept_where_a_limit_is_set() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"]["ratio"] = 0.into();
            json["upgrade"] = json!({ "latency_ms": 150 });
        });
    })
    .await;
    let [slow, fast] = [traceparent(1, false), traceparent(2, false)];
    pod.send(Request::get(pod.entry(), "/delay/200").header("traceparent", &slow)).await;
    pod.send(Request::get(pod.entry(), "/cart").header("traceparent", &fast)).await;
    let span = pod.span_of(&slow).await;
    assert_eq!(span.trigger(), Some("latency"));
    assert!(200 <= span.duration().as_millis() && !span.is_error(), "{:?}", span.span);
    pod.settle(1).await;
}

#[tokio::test]
async fn probes_are_never_recorded_not_even_when_they_fail() {
    let pod = Pod::sidecar(|bootstrap| {
        bootstrap.add_route("inbound", "/healthz", json!({ "direct_response": { "status": 503 } })).unwrap();
    })
    .await;
    assert_eq!(pod.get("/healthz").await.status, 503);
    // The failure after it shows that the probe's span is not merely late.
    assert_eq!(pod.get("/status/503").await.status, 503);
    pod.settle(1).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!(stats.tracelift("decisions.dropped.rule"), 1);
}

#[tokio::test]
async fn an_error_storm_is_kept_within_the_budget_and_what_is_shed_is_counted() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["sampling"]["ratio"] = 0.into();
            json["upgrade"] = json!({ "traces_per_second": 5 });
        });
    })
    .await;
    for _ in 0..200 {
        assert_eq!(pod.get("/status/500").await.status, 500);
    }
    let counted = |stats: &Stats| {
        let (upgraded, shed) = (stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.shed"));
        (upgraded + shed == 200).then_some((upgraded, shed))
    };
    let (upgraded, shed) = pod.envoy.admin().wait_for_stats(SOON, counted).await.unwrap().expect("all are counted");
    assert!(0 < upgraded && upgraded < shed, "{upgraded} upgraded, {shed} shed");
    pod.settle(upgraded as usize).await;
}
