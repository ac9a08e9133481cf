//! Nothing that a client sends makes a segment that X-Ray would refuse.

use crate::kit::{Pod, only};
use serde_json::{Value, json};
use tracelift_envoy::{Request, Shipped};
use tracelift_xray::limits::{ANNOTATIONS, DOCUMENT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_request_that_envoy_takes_makes_a_segment_below_64_kb() {
    let names: Vec<String> = (0..32).map(|number| format!("x-large-{number}")).collect();
    let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
        let recorded = json!({ "request_headers": names, "response_headers": names, "query": true });
        bootstrap.plugin(|json| json["attributes"] = recorded.clone()).unwrap();
    })
    .await;
    let large = |request: Request| {
        let request =
            request.header("user-agent", "<".repeat(4000)).header("tracestate", format!("a={}", "t".repeat(250)));
        // 32 headers of 1.2 KB, each byte of which takes six in the exporter's JSON; Envoy's limit for all headers is 60 KB.
        names.iter().fold(request, |request, name| request.header(name, "<".repeat(1200)))
    };
    let path = format!("/status/500/{}?q={}", "&".repeat(6000), "&".repeat(2000));
    let (reply, trace) = pod.trace_of("inbound", 1, large, &path).await;
    assert_eq!(reply.status, 500);
    let segment = only(&trace);
    assert!(trace.sizes[0] < DOCUMENT, "{} bytes", trace.sizes[0]);
    assert!(segment["annotations"].as_object().unwrap().len() < ANNOTATIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_xray_does_not_know_are_never_made_of_what_a_client_sends() {
    let pod = Pod::start(Shipped::Sidecar, |_| {}).await;
    for (header, value) in [("host", "ev!l~.example"), ("user-agent", "|{}\u{e9}"), ("x-forwarded-for", "not an ip")] {
        let (_, trace) = pod.trace_of("inbound", 1, |request| request.header(header, value), "/a%7Cb%7Bc%7D%7F").await;
        let segment = only(&trace);
        assert_eq!(segment["name"], "cart");
        let client = segment["http"]["request"]["client_ip"].as_str().map(str::parse::<std::net::IpAddr>);
        assert!(client.is_none_or(|client| client.is_ok()), "{segment}");
        assert_ne!(segment["id"], Value::Null);
    }
}
