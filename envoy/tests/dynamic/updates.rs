//! Many updates: under load with streams on every configuration, and thousands, after which nothing is left of them.

use crate::stage::{CONNECTIONS, SOON, bootstrap, inbound, launch, until, with_workers};
use crate::watched::Watched;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Filter, Load, ReceivedSpan, Request, Stats, Upstream};

/// Updates under load.
const UPDATES: u64 = 100;
/// Seconds for which each configuration stays beside its successors: most of the hundred are there at once.
const DRAIN: u32 = 10;
/// Filters of one listener that take up each of the [`CHANGES`] of their file: ten thousand updates together.
const FILTERS: u64 = 50;
const CHANGES: u64 = 200;
/// By what resident memory may grow through the last four fifths of them: less than 1 KiB for each.
const GROWTH: u64 = 8 << 20;

#[tokio::test]
async fn a_hundred_updates_under_load_lose_no_request_and_no_span_of_streams_on_the_old_configurations() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let launch = with_workers().drain_seconds(DRAIN);
    let watched = Watched::launched(launch, bootstrap(&collector, &upstream)).await;
    let to = watched.to;
    let request = move |path: &'static str| {
        Load::start(CONNECTIONS, move |_| Request::get(to, path).header("connection", "close"))
    };
    // Far shorter than a drain, which cuts what still runs at its end, and longer than many updates.
    let (quick, slow) = (request("/status/200"), request("/delay/600"));
    assert!(quick.goes_on(50, SOON).await && slow.goes_on(1, SOON).await);
    for number in 1..=UPDATES {
        watched.update(number);
        watched.wait_for_updates(number).await;
    }
    assert!(quick.goes_on(50, SOON).await && slow.goes_on(1, SOON).await);
    let (quick, slow) = (quick.stop().await, slow.stop().await);
    println!("{UPDATES} updates\n  quick: {quick}\n  slow:  {slow}");
    assert!(quick.is_all(200) && slow.is_all(200), "{quick}; {slow}");
    let served = quick.answered() + slow.answered();
    let settled = |stats: &Stats| {
        let (sampled, dropped) = (stats.sum("decisions.sampled."), stats.sum("decisions.dropped."));
        sampled + dropped == served && stats.ledger().offered == sampled && stats.ledger().is_settled()
    };
    let stats = until(&watched.envoy, "every request was decided once, and every span has left", settled).await;
    assert_eq!(
        (stats.ledger().exported, stats.ledger().discarded),
        (ReceivedSpan::distinct(&collector.spans()) as u64, 0)
    );
    assert_eq!((stats.sum("errors."), stats.tracelift("panics")), (0, 0));
}

/// A chain of so many filters of ours that come from one file, where there was one.
pub fn discovered(bootstrap: &mut Bootstrap, file: &Path, filters: u64) {
    let discovery = Bootstrap::from_yaml(include_str!("../../ecds/filter.yaml")).unwrap();
    let mut discovery = discovery.as_value().clone();
    discovery["config_discovery"]["config_source"]["path_config_source"]["path"] = json!(file);
    for listener in ["inbound", "outbound"] {
        let chain = bootstrap.connection_manager(listener).unwrap()["http_filters"].as_array_mut().unwrap();
        let copies = if listener == "inbound" { filters } else { 0 };
        chain.splice(..1, (0..copies).map(|_| discovery.clone()));
    }
}

/// Version `number` of the file.
fn write(file: &Path, filter: &Value, number: u64) {
    let mut filter = filter.clone();
    let text = &mut filter["typed_config"]["config"]["configuration"]["value"];
    let mut settings: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    settings["sampling"]["ratio"] = (1.0 - number as f64 / 1e6).into();
    *text = settings.to_string().into();
    let mut response = json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": filter["name"],
        "typed_config": filter["typed_config"],
    }] });
    Filter::of_this_run().unwrap().put_into(&mut response);
    replace_file(file, &response.to_string()).unwrap();
}

async fn taken_up(envoy: &Envoy, changes: u64) {
    const NAME: &str = "extension_config_discovery.http_filter.tracelift.config_reload";
    let taken = |stats: &Stats| changes <= stats.get(NAME);
    // Read by name: a page of all statistics takes longer than an update.
    let started = std::time::Instant::now();
    loop {
        let page = envoy.admin().get(&format!("/stats?filter={NAME}$")).await.unwrap().text();
        if taken(&Stats::parse(&page)) {
            return;
        }
        assert!(started.elapsed() < SOON, "change {changes} is not taken up: {page}\n{}", envoy.log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn ten_thousand_updates_leave_memory_as_it_was_and_the_last_one_serves() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tracelift.yaml");
    let mut bootstrap = bootstrap(&collector, &upstream);
    let filter = bootstrap.connection_manager("inbound").unwrap()["http_filters"][0].clone();
    discovered(&mut bootstrap, &file, FILTERS);
    write(&file, &filter, 0);
    let envoy = launch(&bootstrap).await;
    let mut early = 0;
    for number in 1..=CHANGES {
        write(&file, &filter, number);
        taken_up(&envoy, number + 1).await;
        if number == CHANGES / 5 {
            early = envoy.resident_bytes();
        }
    }
    let late = envoy.resident_bytes();
    let accepted = |stats: &Stats| FILTERS * CHANGES <= stats.tracelift("config.accepted");
    until(&envoy, "every filter took up every change", accepted).await;
    println!("{} updates: {} KiB after a fifth, {} KiB at the end", FILTERS * CHANGES, early >> 10, late >> 10);
    assert!(late < early + GROWTH, "{early} bytes became {late}");
    let reply = Client::new().send(Request::get(inbound(&envoy), "/cart")).await.unwrap();
    assert_eq!(reply.status, 200);
    let stats = until(&envoy, "each filter has its span", |stats| stats.ledger().exported == FILTERS).await;
    assert_eq!((stats.ledger().discarded, stats.tracelift("panics")), (0, 0));
}
