//! What the filter tells of itself.

use crate::mesh::{Pod, SOON, settings, traceparent};
use tracelift_envoy::Request;

#[tokio::test]
async fn the_access_log_names_trace_span_and_decision() {
    let pod = Pod::sampling(0.0).await;
    let cases =
        [("/sampled", true, "sampled"), ("/status/500", false, "upgraded.http_status"), ("/dropped", false, "-")];
    for (number, (path, sampled, decision)) in (1..).zip(cases) {
        let sent = traceparent(number, sampled);
        let target = format!("{path}?card=4111");
        pod.send(Request::get(pod.entry(), &target).header("traceparent", &sent)).await;
        let line = pod.envoy.wait_for_access_log(&format!("GET {path} "), SOON).await.unwrap();
        assert!(line.ends_with(&format!("decision={decision}")), "{line}");
        let context = pod.upstream.last().unwrap().text("traceparent");
        assert!(line.contains(&format!("context={context} ")), "{line}");
        assert!(!line.contains("4111"), "no query: {line}");
        if decision != "-" {
            assert_eq!(pod.span_of(&sent).await.span_id(), &context[36..52]);
        }
    }
    pod.settle(2).await;
}

#[tokio::test]
async fn prometheus_sees_the_counters_with_their_reasons_as_labels() {
    let pod = Pod::sidecar(|bootstrap| settings(bootstrap, |json| json["sampling"]["ratio"] = 0.into())).await;
    pod.get("/cart").await;
    pod.get("/status/503").await;
    pod.settle(1).await;
    let page = pod.envoy.admin().prometheus().await.unwrap();
    for line in [
        "tracelift_decisions_dropped{reason=\"ratio\"} 2",
        "tracelift_upgrades{reason=\"http_status\"} 1",
        "tracelift_upgrades{reason=\"signal\"} 0",
        "tracelift_upgrades_shed{} 0",
        "tracelift_upgrades_signals_refused{} 0",
        "tracelift_spans_offered{} 1",
        "tracelift_spans_exported{} 1",
        "tracelift_queue_spans{} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "no {line} in\n{}", ours(&page));
    }
    assert!(page.contains("tracelift_exports_duration_ms_bucket"), "{}", ours(&page));
}

fn ours(page: &str) -> String {
    page.lines().filter(|line| line.contains("tracelift")).collect::<Vec<_>>().join("\n")
}
