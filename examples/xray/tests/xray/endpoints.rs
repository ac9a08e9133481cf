//! What the collector asks of AWS, as its stand-ins see it: signed, where it belongs, and how often.

use crate::kit::{SOON, launch};
use std::time::{Duration, Instant};
use tracelift_envoy::{Client, Collector, Request, Shipped, Upstream};
use tracelift_xray::RealCollector;
use tracelift_xray::collector::{Destination, Settings};
use tracelift_xray::files;

/// Whether a header is a signature (SigV4) by the credentials of these tests for X-Ray in their region.
#[track_caller]
fn assert_signed(authorization: &str) {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=testing/").unwrap_or_default();
    assert!(scope.contains("/us-east-1/xray/aws4_request, SignedHeaders="), "{authorization:?}");
    let signature = authorization.rsplit_once("Signature=").map(|(_, digits)| digits.len());
    assert_eq!(signature, Some(64), "{authorization:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_sampling_go_through_the_collector_signed() {
    // moto knows no sampling rules: whoever is asked tells what it was asked.
    let xray = Upstream::start().await.unwrap();
    let url = format!("http://{}", xray.address());
    let collector = RealCollector::start(Destination::StandIn(&url), Settings::default()).await.unwrap();
    for path in ["/GetSamplingRules", "/SamplingTargets"] {
        let question = Request::post(collector.proxy(), path, "{}").header("content-type", "application/json");
        let reply = Client::new().send(question).await.unwrap();
        assert_eq!((reply.status, &reply.json()["path"]), (200, &path.into()));
        let asked = xray.last().unwrap();
        assert_eq!((asked.method.as_str(), asked.text("host")), ("POST", xray.address().to_string()));
        assert_signed(&asked.text("authorization"));
    }
    // A refusal comes back as it is, for the filter to try again later.
    let reply = Client::new().send(Request::post(collector.proxy(), "/status/429", "{}")).await.unwrap();
    assert_eq!(reply.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_for_the_otlp_endpoint_are_signed_and_whole() {
    let xray = Collector::start().await.unwrap();
    let url = format!("http://{}", xray.address());
    let settings = Settings { configuration: files::COLLECTOR_OTLP, ..Settings::default() };
    let collector = RealCollector::start(Destination::StandIn(&url), settings).await.unwrap();
    let (envoy, upstream) = launch(collector.otlp(), Shipped::Sidecar, |_| {}).await;
    Client::new().send(Request::get(envoy.address("inbound").unwrap(), "/status/503")).await.unwrap();
    let sent = upstream.last().unwrap().text("traceparent");

    let spans = xray.wait_for_spans(1, SOON).await.unwrap_or_else(|error| panic!("{error}\n{}", collector.log()));
    assert_eq!(spans.iter().map(|span| span.trace_id()).collect::<Vec<_>>(), [&sent[3..35]]);
    let attempts = xray.attempts();
    assert_eq!(attempts.len(), 1);
    let header = |name: &str| attempts[0].headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    assert_eq!((attempts[0].path.as_str(), header("content-encoding")), ("/v1/traces", "gzip"));
    assert_signed(header("authorization"));
    assert_eq!(collector.losses(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_xray_cannot_take_is_tried_twice_and_one_that_it_refuses_once_and_both_are_told() {
    for (status, tries) in [(503, 2), (400, 1)] {
        let xray = Upstream::start().await.unwrap();
        let url = format!("http://{}/status/{status}", xray.address());
        let collector = RealCollector::start(Destination::StandIn(&url), Settings::default()).await.unwrap();
        let (envoy, _upstream) = launch(collector.otlp(), Shipped::Sidecar, |_| {}).await;
        Client::new().send(Request::get(envoy.address("inbound").unwrap(), "/cart")).await.unwrap();
        let started = Instant::now();
        while collector.losses().is_empty() {
            assert!(started.elapsed() < SOON, "{status}: {}", collector.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(xray.arrivals().len(), tries, "{status}\n{}", collector.log());
    }
}
