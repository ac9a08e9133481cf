//! Much of everything: routes, tenants, traces, errors, open streams.

use crate::stage::{Memory, SOON, Stage, WORKERS, balanced, inbound};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::{Bootstrap, Client, Collector, Request, flood};

/// Distinct routes, tenants and trace-ids.
const MANY: u64 = 100_000;
/// Errors of a storm.
const STORM: u64 = 30_000;
/// Requests that go ahead, and those that the twin gets to compare with.
const FEW: u64 = 10_000;
/// Connections of a flood.
const FLOODS: u64 = 16;

/// `/direct` is answered by Envoy itself, so that the load meets nothing slower than Envoy.
fn direct(bootstrap: &mut Bootstrap) {
    bootstrap.add_route("inbound", "/direct", json!({ "direct_response": { "status": 200 } })).unwrap();
    bootstrap.add_route("inbound", "/broken", json!({ "direct_response": { "status": 500 } })).unwrap();
}

/// Bytes that the queues of all workers may hold.
const QUEUE_BYTES: u64 = 4_194_304 * WORKERS as u64;

async fn many(change: impl FnMut(&mut Value), path: &'static str, status: u16, requests: u64) -> (Stage, u64) {
    let stage = Stage::start_with(Collector::start().await.unwrap(), change, direct).await;
    let head = move |number: u64| {
        let trace = format!("{number:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        format!(
            "GET {path}/item-{number}/of HTTP/1.1\r\nhost: tenant-{number}.example\r\nx-tenant: {number}\r\n\
             traceparent: 00-{trace}-{:016x}-02\r\ntracestate: t{number}=x\r\n",
            number + 1
        )
    };
    // One round before memory is looked at, so that pools and arenas are there.
    flood(inbound(&stage.with), FLOODS, FEW, head).await.unwrap();
    let memory = Memory::of(&stage.with);
    let others = move |number| head(number + FEW); // None of them twice.
    let with = flood(inbound(&stage.with), FLOODS, requests, others).await.unwrap();
    let without = flood(inbound(&stage.without), FLOODS, FEW, head).await.unwrap();
    println!("{requests} distinct {path}\n  with the filter:    {with}\n  without the filter: {without}");
    assert!(with.is_all(status) && without.is_all(status) && with.answered() == requests, "{with}");
    memory.stayed_within(QUEUE_BYTES);
    (stage, requests + FEW)
}

#[tokio::test]
async fn a_hundred_thousand_routes_tenants_and_traces_leave_memory_and_metrics_as_they_are() {
    let change = |json: &mut Value| {
        json["sampling"] = json!({ "ratio": 0.05, "mode": "independent" });
        json["attributes"] = json!({ "request_headers": ["x-tenant"] });
    };
    let (stage, requests) = many(change, "/direct", 200, MANY).await;
    let stats = stage.closed(requests).await;
    let (sampled, dropped) = (stats.sum("decisions.sampled."), stats.sum("decisions.dropped."));
    assert_eq!(sampled + dropped, requests);
    assert_eq!(stats.ledger().offered, sampled);
    let names = stats.family("").count();
    assert!(names < 200, "{names} metrics: none may be named by what a client sends");
    println!("  {}", stats.ledger());
}

/// An outage of everything: the budget sheds, whole traces at a time, and the queue's bounds hold what it admits.
#[tokio::test]
async fn an_error_storm_is_shed_by_the_budget_and_every_error_is_accounted_for() {
    let change = |json: &mut Value| {
        json["sampling"] = json!({ "ratio": 0 });
        json["upgrade"] = json!({ "traces_per_second": 50 });
    };
    let started = Instant::now();
    let (stage, requests) = many(change, "/broken", 500, STORM).await;
    let stats = stage.closed(requests).await;
    let (kept, shed) = (stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.shed"));
    println!("  {kept} upgraded, {shed} shed; {}", stats.ledger());
    assert_eq!(kept + shed, requests, "every error was charged");
    assert_eq!(stats.ledger().offered, kept);
    let most = 50 * (started.elapsed().as_secs() + 2);
    assert!(0 < kept && kept <= most, "{kept} upgrades where the budget admits {most}");
}

/// Long polls, event streams, sockets: nothing is kept of a stream but its own state, and it ends when the stream does.
#[tokio::test]
async fn streams_that_stay_open_cost_little_and_end_as_spans() {
    const OPEN: usize = 400;
    let stage = Stage::start(|json| json["sampling"] = json!({ "ratio": 0 })).await;
    let memory = Memory::of(&stage.with);
    let mut streams = Vec::new();
    for _ in 0..OPEN {
        streams.push(Client::new().send_and_hold(Request::get(inbound(&stage.with), "/silence")).await.unwrap());
    }
    let arrived = || stage.upstream.arrivals().iter().filter(|arrival| arrival.path == "/silence").count();
    let started = Instant::now();
    while arrived() < OPEN {
        assert!(started.elapsed() < SOON, "{} of {OPEN} arrived", arrived());
        sleep(Duration::from_millis(10)).await;
    }
    let pending = |stats: &tracelift_envoy::Stats| stats.tracelift("pending.spans") == OPEN as u64;
    stage.until("the open streams show in the gauge", pending).await;
    let loads = stage.load("/status/200");
    loads.go_on(500).await;
    loads.stop("while 400 streams are open").await.served();
    memory.stayed_within(0);

    drop(streams);
    let ended = |stats: &tracelift_envoy::Stats| stats.tracelift("pending.spans") == 0;
    let stats = stage.until("the streams have ended", ended).await;
    let triggered = stats.sum("upgrades.");
    assert!(OPEN as u64 <= triggered, "a client that leaves is a disconnect, which triggers: {triggered}");
    stage.settle().await;
    balanced(&stage.with).await;
}
