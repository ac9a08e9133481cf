//! Request metrics under faults: what is counted once, what may be lost, and how much of it.

use crate::clock::Clock;
use crate::stage::{CONNECTIONS, SOON, WORKERS, bootstrap, inbound, launch, load, until};
use crate::trap::{trapping, with_many_headers};
use crate::watched::Watched;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::collector::measured::{Export, counts};
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Launch, Load, Request, Stats, Upstream};

/// Counts every request, shares counts six times a second, and samples nothing.
fn counting(bootstrap: &mut Bootstrap) {
    bootstrap
        .plugin(|json| {
            json["sampling"]["ratio"] = 0.into();
            json["metrics"] = serde_json::json!({ "enabled": true, "interval_ms": 1000 });
        })
        .unwrap();
}

/// Requests that the newest export of the collector counts, in all series.
fn known(exports: &[Export]) -> u64 {
    exports.last().map_or(0, |export| counts(export).values().sum())
}

async fn counted(collector: &Collector, envoy: &Envoy, requests: u64) {
    let found = collector.wait_for_counts(requests, SOON).await;
    found.unwrap_or_else(|error| {
        panic!("{requests} requests, {} counted: {error}\n{}", known(&collector.measured()), envoy.log())
    });
}

#[tokio::test]
async fn a_request_during_which_the_clock_is_set_back_takes_no_time_and_everything_goes_on_being_counted() {
    const HOUR: i64 = 3_600;
    let clock = Clock::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = bootstrap(&collector, &upstream);
    counting(&mut bootstrap);
    let launch = clock.around(Launch::new().unwrap().workers(WORKERS));
    let envoy = launch.start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    let to = inbound(&envoy);
    let mut requests = 0;
    for (round, step) in [-HOUR, -24 * HOUR].into_iter().enumerate() {
        let slow = tokio::spawn(async move { Client::new().send(Request::get(to, "/delay/1500")).await });
        let arrived = || upstream.arrivals().iter().filter(|arrival| arrival.path == "/delay/1500").count();
        let started = Instant::now();
        while arrived() <= round {
            assert!(started.elapsed() < SOON, "the slow request never arrives");
            sleep(Duration::from_millis(10)).await;
        }
        clock.step(step);
        assert_eq!(slow.await.unwrap().unwrap().status, 200);
        let load = load(to, "/status/200");
        assert!(load.goes_on(100, SOON).await);
        let tally = load.stop().await;
        assert!(tally.is_all(200), "{tally}");
        requests += 1 + tally.answered();
        counted(&collector, &envoy, requests).await;
    }
    let set_back = |stats: &Stats| 2 <= stats.tracelift("metrics.clock_back");
    let stats = until(&envoy, "requests that ended before they began are counted as such", set_back).await;
    // Those of the load that were under way at a step, as well.
    assert!(stats.tracelift("metrics.clock_back") <= 2 + 2 * CONNECTIONS as u64);
}

/// Each update makes another plugin in each VM, and the old one is drained for a second: they count into the same stream.
#[tokio::test]
async fn a_configuration_that_is_replaced_under_load_counts_every_request_once() {
    const UPDATES: u64 = 6;
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = bootstrap(&collector, &upstream);
    counting(&mut bootstrap);
    let watched = Watched::start(bootstrap).await;
    let to = watched.to;
    // Each over a connection of its own, since Envoy cuts idle ones when a drain ends.
    let load = Load::start(CONNECTIONS, move |_| Request::get(to, "/status/200").header("connection", "close"));
    for number in 1..=UPDATES {
        assert!(load.goes_on(50, SOON).await);
        watched.update(number);
        watched.wait_for_updates(number).await;
    }
    assert!(load.goes_on(50, SOON).await);
    let tally = load.stop().await;
    assert!(tally.is_all(200), "{tally}");
    counted(&collector, &watched.envoy, tally.answered()).await;
    let starts: BTreeSet<u64> = collector.measured().iter().flat_map(starts).collect();
    assert_eq!(starts.len(), 1, "one stream with one beginning");
}

/// A VM that traps takes along what it has counted since it shared its counts, and nothing else.
#[tokio::test]
async fn a_vm_that_traps_loses_at_most_what_it_counted_since_it_last_shared_it() {
    /// Requests after the last moment at which all were known to be shared.
    const FRESH: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trapping.wasm");
    std::fs::write(&path, trapping(&std::fs::read(module().unwrap()).unwrap())).unwrap();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = bootstrap(&collector, &upstream);
    counting(&mut bootstrap);
    bootstrap.set_module(&path);
    let envoy = launch(&bootstrap).await;
    let to = inbound(&envoy);
    let one = || async move { Client::new().send(Request::get(to, "/status/200")).await.unwrap().status };
    let before = 100;
    for _ in 0..before {
        assert_eq!(one().await, 200);
    }
    counted(&collector, &envoy, before).await;

    for _ in 0..FRESH {
        assert_eq!(one().await, 200);
    }
    assert_eq!(Client::new().send(with_many_headers(to)).await.unwrap().status, 503, "the request that trapped");
    let created = |stats: &Stats| stats.get("wasm.envoy.wasm.runtime.v8.created");
    let old = created(&envoy.admin().stats().await.unwrap());
    let (mut served, started) = (before + FRESH, Instant::now());
    // Envoy makes the VM anew when a request comes to that worker; until then it answers with 503, which no filter sees.
    while created(&envoy.admin().stats().await.unwrap()) == old {
        served += u64::from(one().await == 200);
        assert!(started.elapsed() < SOON, "the VM is not made anew\n{}", envoy.log());
    }
    for _ in 0..before {
        assert_eq!(one().await, 200);
        served += 1;
    }
    let in_bounds = |exports: &[Export]| (served - FRESH..=served).contains(&known(exports)).then_some(exports.len());
    let exports = collector.wait_for_measured(SOON, in_bounds).await;
    let exports = exports.unwrap_or_else(|error| panic!("of {served}: {error}\n{}", envoy.log()));
    // It stays there, and never fell.
    let after =
        collector.wait_for_measured(SOON, |all| (exports + 3 <= all.len()).then(|| all.to_vec())).await.unwrap();
    let totals: Vec<u64> = after.iter().map(|export| counts(export).values().sum()).collect();
    assert!(totals.is_sorted(), "{totals:?}");
    let lost = served - known(&after);
    println!("{lost} of the {FRESH} requests before the trap are lost");
    assert!(lost <= FRESH && served - FRESH <= known(&after), "{totals:?} of {served}");
}

/// The times at which the points of an export begin.
fn starts(export: &Export) -> Vec<u64> {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut starts = Vec::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let Some(Data::ExponentialHistogram(histogram)) = &metric.data else { panic!("{metric:?}") };
        starts.extend(histogram.data_points.iter().map(|point| point.start_time_unix_nano));
    }
    starts
}
