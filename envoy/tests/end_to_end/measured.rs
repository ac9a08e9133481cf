//! Request metrics in real Envoys: equal to the request, whatever is sampled, and their failures those of the spans.

use crate::mesh::{Pod, SOON, settings, traceparent};
use serde_json::json;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use tracelift_envoy::collector::measured::{Counts, Export, counts};
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Client, ReceivedSpan, Request, Shipped, Stats};

/// Connections, enough for both workers to have some.
const LANES: u64 = 8;
/// Requests on each of them: three of each kind.
const REQUESTS: u64 = 27;

/// Nothing is sampled and every failure is kept, so that there is a span for each to compare with.
fn with_metrics(bootstrap: &mut Bootstrap, refusing: &RefusingPort, histogram: &str) {
    settings(bootstrap, |json| {
        json["sampling"]["ratio"] = 0.into();
        json["upgrade"] = json!({ "traces_per_second": 1_000_000 });
        json["metrics"] =
            json!({ "enabled": true, "interval_ms": 1000, "histogram": histogram, "routes": ["/users/{id}"] });
    });
    bootstrap.copy_cluster("application", "refusing", &[refusing.address()]).unwrap();
    bootstrap.add_route("inbound", "/refused", json!({ "route": { "cluster": "refusing" } })).unwrap();
}

/// One request of a kind, and its series if it did not fail.
fn request(pod: &Pod, kind: u64, number: u64) -> (Request, Option<&'static str>) {
    let (entry, id) = (pod.entry(), traceparent(number, false));
    let (request, series) = match kind {
        0 => (Request::get(entry, &format!("/users/{number}?page=2")), Some("GET 200 /users/{id}")),
        1 => (Request::post(entry, "/cart", "one"), Some("POST 200 ")),
        2 => (Request::get(entry, "/status/404"), Some("GET 404 ")),
        3 => (Request::get(entry, "/status/503"), None),
        4 => (Request::get(entry, "/refused"), None),
        5 => (Request::get(entry, "/close"), None),
        6 => (Request::get(entry, "/break"), None),
        7 => (Request::grpc(entry, "/answer.Trailers/Status0", b""), Some("OK")),
        _ => (Request::grpc(entry, "/answer.Trailers/Status14", b""), None),
    };
    (request.header("traceparent", id), series)
}

/// Sends everything over both workers; what should be counted of the requests that did not fail.
async fn traffic(pod: &Pod) -> Counts {
    let (mut expected, mut lanes) = (Counts::new(), JoinSet::new());
    for lane in 0..LANES {
        let mut requests = Vec::new();
        for at in 0..REQUESTS {
            let (request, series) = request(pod, at % 9, lane * REQUESTS + at + 1);
            requests.push(request);
            if let Some(series) = series {
                *expected.entry(full_name(series)).or_default() += 1;
            }
        }
        lanes.spawn(async move {
            let client = Client::new();
            for request in requests {
                client.send(request).await.expect("an answer, of Envoy's own if need be");
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
    expected
}

fn full_name(series: &str) -> String {
    let parts: Vec<_> = series.split(' ').collect();
    let [method, status, route] = parts[..] else {
        return format!(
            "rpc.server.call.duration{{rpc.method=answer.Trailers/Status0,rpc.status_code={series},rpc.system.name=grpc}}"
        );
    };
    let route = if route.is_empty() { String::new() } else { format!("http.route={route},") };
    format!(
        "http.server.request.duration{{http.request.method={method},http.response.status_code={status},{route}url.scheme=http}}"
    )
}

/// The series in which the request of a span should be.
fn series_of(span: &ReceivedSpan) -> String {
    let keys: &[&str] = match span.text("rpc.system.name") {
        Some(_) => &["error.type", "rpc.method", "rpc.status_code", "rpc.system.name"],
        None => &["error.type", "http.request.method", "http.response.status_code", "url.scheme"],
    };
    let name = if keys.contains(&"rpc.method") { "rpc.server.call.duration" } else { "http.server.request.duration" };
    let attributes = span.attributes().into_iter().filter(|(key, _)| keys.contains(&key.as_str()));
    let attributes: Vec<_> = attributes.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{name}{{{}}}", attributes.join(","))
}

async fn counted_as_requested(which: Shipped, histogram: &str) {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::start(which, |bootstrap| with_metrics(bootstrap, &refusing, histogram)).await;
    let mut expected = traffic(&pod).await;
    // One client leaves before its answer: a request without a status.
    let silent = Request::get(pod.entry(), "/silence").header("traceparent", traceparent(9999, false));
    let connection = pod.client.send_and_hold(silent).await.unwrap();
    let arrived = LANES * REQUESTS * 8 / 9 + 1;
    assert!(pod.upstream.wait_for(arrived as usize, SOON).await, "all but the refused ones");
    drop(connection);

    let failed = (LANES * REQUESTS * 5 / 9 + 1) as usize;
    for span in pod.collector.wait_for_spans(failed, SOON).await.unwrap() {
        *expected.entry(series_of(&span)).or_default() += 1;
    }
    let total = LANES * REQUESTS + 1;
    let found = pod.collector.wait_for_counts(total, SOON).await;
    let newest = || pod.collector.measured().last().map(counts);
    let found = found.unwrap_or_else(|error| panic!("{error}: {:#?}\nexpected {expected:#?}", newest()));
    assert_eq!(found, expected);
    assert!(expected.keys().any(|series| series.contains("error.type=") && !series.contains("status_code")));
    compare_with_envoy(&pod, &found).await;
    pod.settle(failed).await;
}

/// Envoy's own counters by class say the same, and both workers had requests.
async fn compare_with_envoy(pod: &Pod, found: &Counts) {
    let stats = pod.envoy.admin().stats().await.unwrap();
    let class = |digit: char| -> u64 {
        let key = format!("http.response.status_code={digit}");
        found.iter().filter(|(series, _)| series.contains(&key)).map(|(_, count)| count).sum()
    };
    let rpc: u64 = found.iter().filter(|(series, _)| series.starts_with("rpc.")).map(|(_, count)| count).sum();
    let envoys = |name: &str| stats.get(&format!("http.inbound.downstream_rq_{name}"));
    assert_eq!((class('2') + rpc, class('4'), class('5')), (envoys("2xx"), envoys("4xx"), envoys("5xx")));
    assert_eq!(found.values().sum::<u64>(), envoys("total"));
    let served = |(name, value): (&str, u64)| {
        name.starts_with("listener.") && name.contains(".worker_") && name.ends_with("downstream_cx_total") && 0 < value
    };
    assert!(1 < stats.iter().filter(|stat| served(*stat)).count(), "one worker had all requests");
}

#[tokio::test]
async fn every_request_is_counted_once_over_http() {
    counted_as_requested(Shipped::Sidecar, "exponential").await;
}

#[tokio::test]
async fn every_request_is_counted_once_over_grpc() {
    counted_as_requested(Shipped::SidecarGrpcExport, "explicit").await;
}

#[tokio::test]
async fn a_process_is_one_stream_with_a_name_of_its_own() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::sidecar(|bootstrap| with_metrics(bootstrap, &refusing, "exponential")).await;
    traffic(&pod).await;
    let total = LANES * REQUESTS;
    pod.collector.wait_for_counts(total, SOON).await.unwrap();
    let instances: BTreeSet<_> = pod.collector.measured().iter().map(instance).collect();
    assert_eq!(instances.len(), 1, "{instances:?}");
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!((stats.sum("errors."), stats.tracelift("metrics.exports.failed")), (0, 0));
}

/// `service.instance.id` of an export.
fn instance(export: &Export) -> String {
    let resource = export.resource_metrics[0].resource.as_ref().expect("a resource");
    let found = resource.attributes.iter().find(|attribute| attribute.key == "service.instance.id");
    format!("{:?}", found.expect("an instance").value)
}

#[tokio::test]
async fn a_collector_without_metrics_costs_one_line_in_the_log_and_no_span() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::sidecar(|bootstrap| {
        with_metrics(bootstrap, &refusing, "exponential");
        settings(bootstrap, |json| json["metrics"]["path"] = "/v1/elsewhere".into());
    })
    .await;
    pod.get("/status/503").await;
    let line = pod.envoy.wait_for_log("no pipeline for metrics", SOON).await.unwrap();
    assert!(line.contains("/v1/elsewhere") && line.contains("404"), "{line}");
    let twice = |stats: &Stats| (1 < stats.tracelift("metrics.exports.failed")).then_some(());
    pod.envoy.admin().wait_for_stats(SOON, twice).await.unwrap().expect("it is tried again");
    assert_eq!(pod.envoy.log().matches("no pipeline for metrics").count(), 1, "{}", pod.envoy.log());
    pod.settle(1).await;
}
