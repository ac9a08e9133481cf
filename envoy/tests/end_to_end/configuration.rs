//! Wrong configurations are refused whole and by name; right ones take over without losing a request or a span.

use crate::mesh::{Pod, SOON, refusal, settings, settle, shipped, start};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Request, Shipped, Stats, Upstream};

#[tokio::test]
async fn a_wrong_configuration_stops_envoy_at_start_with_the_name_of_the_field() {
    let collector = Collector::start().await.unwrap();
    type Mistake = fn(&mut serde_json::Value);
    let cases: [(&str, Mistake); 3] = [
        ("sampling.ratio", |json| json["sampling"]["ratio"] = 1.5.into()),
        ("sampling.ratoi", |json| json["sampling"]["ratoi"] = 0.1.into()),
        ("export.protocol", |json| json["export"]["protocol"] = "thrift".into()),
    ];
    for (field, mistake) in cases {
        let mut bootstrap = shipped(Shipped::Sidecar, &collector);
        settings(&mut bootstrap, mistake);
        let error = refusal(&bootstrap).await;
        let line = error.lines().find(|line| line.contains(field)).unwrap_or_else(|| panic!("no {field} in {error}"));
        assert!(line.contains("[error]") && line.contains("configuration refused"), "{line}");
    }
    let mut bootstrap = shipped(Shipped::Sidecar, &collector);
    bootstrap.plugin_text("{ not json");
    let error = refusal(&bootstrap).await;
    assert!(error.contains("line 1, column 3"), "{error}");
}

#[tokio::test]
async fn pass_through_serves_without_tracing_and_shouts() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| json["sampling"]["ratio"] = 1.5.into());
        bootstrap.environment("TRACELIFT_ON_INVALID_CONFIG", "pass_through");
    })
    .await;
    let request = Request::get(pod.entry(), "/status/500").header("traceparent", "as it came");
    assert_eq!(pod.send(request).await.status, 500);
    assert_eq!(pod.upstream.last().unwrap().text("traceparent"), "as it came");
    let log = pod.envoy.log();
    assert!(log.lines().any(|line| line.contains("[error]") && line.contains("sampling.ratio")), "{log}");
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert!(0 < stats.tracelift("config.pass_through"));
    pod.settle(0).await;
}

#[tokio::test]
async fn a_struct_works_as_well_as_json_text() {
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| {
            json["service_name"] = "from-a-struct".into();
            json["sampling"]["ratio"] = 1.into();
        });
        bootstrap.plugin_as_struct().unwrap();
    })
    .await;
    pod.get("/cart").await;
    pod.settle(1).await;
    assert_eq!(pod.collector.spans()[0].service_name(), "from-a-struct");
}

/// A sidecar whose listeners come from a file that Envoy watches.
struct Watched {
    envoy: Envoy,
    collector: Collector,
    upstream: Upstream,
    bootstrap: Bootstrap,
    directory: TempDir,
}

impl Watched {
    async fn start(change: impl FnMut(&mut serde_json::Value)) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut bootstrap = shipped(Shipped::Sidecar, &collector);
        bootstrap.endpoints("application", &[upstream.address()]).unwrap();
        settings(&mut bootstrap, change);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("listeners.json");
        let mut dynamic = bootstrap.clone();
        replace_file(&file, &dynamic.listeners_from_file(&file)).unwrap();
        let envoy = start(&dynamic).await;
        Self { envoy, collector, upstream, bootstrap, directory }
    }

    /// Replaces the listeners' file with one whose filter settings are changed.
    fn update(&mut self, change: impl FnMut(&mut serde_json::Value)) {
        let mut next = self.bootstrap.clone();
        settings(&mut next, change);
        let file = self.directory.path().join("listeners.json");
        replace_file(&file, &next.listeners_as_discovery_response()).unwrap();
    }

    async fn stat(&self, name: &str) -> u64 {
        self.envoy.admin().stats().await.unwrap().get(name)
    }

    async fn wait_for_stat(&self, name: &str, at_least: u64) {
        let reached = |stats: &Stats| (at_least <= stats.get(name)).then_some(());
        let reached = self.envoy.admin().wait_for_stats(SOON, reached).await.unwrap();
        reached.unwrap_or_else(|| panic!("{name} stays below {at_least}:\n{}", self.envoy.log()));
    }
}

#[tokio::test]
async fn a_wrong_update_is_a_nack_and_the_old_configuration_serves_every_request() {
    let mut pod = Watched::start(|json| json["sampling"] = json!({ "ratio": 1 })).await;
    let to = pod.envoy.address("inbound").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let traffic = tokio::spawn(async move {
        let (client, mut served) = (Client::new(), 0);
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(client.send(Request::get(to, "/cart")).await.unwrap().status, 200);
            served += 1;
        }
        served
    });

    pod.update(|json| json["sampling"]["ratio"] = 1.5.into());
    pod.wait_for_stat("listener_manager.lds.update_rejected", 1).await;
    let refused_after = pod.upstream.arrivals().len();
    let line = pod.envoy.wait_for_log("configuration refused", SOON).await.unwrap();
    assert!(line.contains("sampling.ratio") && line.contains("1.5"), "{line}");
    assert!(pod.upstream.wait_for(refused_after + 50, SOON).await, "traffic went on");
    stop.store(true, Ordering::Relaxed);
    let served = traffic.await.unwrap();
    settle(&[&pod.envoy], &pod.collector, served, 0).await;
}

#[tokio::test]
async fn an_update_while_spans_wait_loses_none() {
    let mut pod = Watched::start(|json| {
        json["sampling"] = json!({ "ratio": 1 });
        json["export"]["scheduled_delay_ms"] = 60_000.into();
    })
    .await;
    let (client, to) = (Client::new(), pod.envoy.address("inbound").unwrap());
    for _ in 0..20 {
        client.send(Request::get(to, "/cart")).await.unwrap();
    }
    assert_eq!(pod.collector.spans().len(), 0, "they wait");

    let updates = pod.stat("listener_manager.listener_modified").await;
    pod.update(|json| json["sampling"] = json!({ "ratio": 0 }));
    pod.wait_for_stat("listener_manager.listener_modified", updates + 2).await;
    // The new settings rule, and the old ones' spans leave.
    let to = pod.envoy.admin().listeners().await.unwrap()["inbound"];
    for _ in 0..5 {
        assert_eq!(Client::new().send(Request::get(to, "/cart")).await.unwrap().status, 200);
    }
    settle(&[&pod.envoy], &pod.collector, 20, 0).await;
}
