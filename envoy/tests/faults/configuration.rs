//! Configurations that flap and listeners that are replaced, under load.

use crate::stage::{CONNECTIONS, Loads, SOON, WORKERS, bootstrap, closed, until};
use crate::watched::Watched;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Answer, Client, Collector, Filter, Load, ReceivedSpan, Request, Stats, Upstream};

fn loads(with: &Watched, without: &Watched) -> Loads {
    // Each request over a connection of its own: when a drain ends, Envoy cuts connections on which a client may just be
    // sending, with the filter and without.
    let request = |to| Request::get(to, "/status/200").header("connection", "close");
    let start = |to: SocketAddr| Load::start(CONNECTIONS, move |_| request(to));
    Loads { with: start(with.to), without: start(without.to) }
}

async fn pair(collector: &Collector, upstream: &Upstream) -> (Watched, Watched) {
    let bootstrap = bootstrap(collector, upstream);
    let mut twin = bootstrap.clone();
    twin.without_plugin();
    tokio::join!(Watched::start(bootstrap), Watched::start(twin))
}

/// Each update drains the listener's old filter chain and replaces it: old and new configuration live side by side in every
/// VM for the drain time of one second, four of them at once here.
#[tokio::test]
async fn a_configuration_that_flaps_twice_a_second_loses_no_request_and_no_span() {
    const UPDATES: u64 = 12;
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let (with, without) = pair(&collector, &upstream).await;
    let loads = loads(&with, &without);
    loads.go_on(100).await;
    for number in 1..=UPDATES {
        with.update(number);
        without.update(number);
        with.wait_for_updates(number).await;
        without.wait_for_updates(number).await;
        sleep(Duration::from_millis(500)).await; // The interval is the fault: operators are not faster.
    }
    loads.go_on(100).await;
    let both = loads.stop("configuration flaps").await;
    let served = both.served();

    let stats = closed(&with.envoy, served).await;
    let ledger = stats.ledger();
    println!("  {ledger}");
    assert_eq!((ledger.exported, ledger.discarded), (ReceivedSpan::distinct(&collector.spans()) as u64, 0));
    let decided = stats.sum("decisions.sampled.") + stats.sum("decisions.dropped.");
    assert_eq!(decided, served, "every request was decided once");
    assert_eq!(ledger.offered, stats.sum("decisions.sampled."));
    assert_ne!(stats.sum("decisions.dropped."), 0, "both configurations were in use");
    let accepted = stats.tracelift("config.accepted");
    // One for each VM; the dynamic module has one process.
    let takers = if Filter::of_this_run().unwrap().is_dynamic() { 1 } else { u64::from(WORKERS) };
    assert!(UPDATES * takers <= accepted, "{accepted} configurations were taken into use");
    assert_eq!(stats.sum("errors."), 0);
}

#[tokio::test]
async fn a_drained_listener_serves_what_is_on_the_way_and_its_spans_leave() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let (with, without) = pair(&collector, &upstream).await;
    let loads = loads(&with, &without);
    loads.go_on(100).await;
    // Slow requests that are on the way when the drain begins.
    let slow = |to: SocketAddr| Load::start(CONNECTIONS, move |_| Request::get(to, "/delay/700"));
    let slow = Loads { with: slow(with.to), without: slow(without.to) };
    let arrived = |path: &str| upstream.arrivals().iter().filter(|arrival| arrival.path == path).count();
    let started = std::time::Instant::now();
    while arrived("/delay/700") < 2 * CONNECTIONS {
        assert!(started.elapsed() < SOON, "the slow requests never arrive");
        sleep(Duration::from_millis(10)).await;
    }
    for watched in [&with, &without] {
        watched.envoy.admin().drain_listeners().await.unwrap();
    }
    let slow = slow.stop("slow requests while the listener drains").await;
    let both = loads.stop("the listener drains").await;
    // A drained listener takes no new connection, here as at the twin; requests on the way all get their answers.
    let slow_ones = slow.with.statuses.get(&200).copied().unwrap_or(0);
    assert!(CONNECTIONS as u64 <= slow_ones, "{}", slow.with);
    for tally in [&both.with, &slow.with, &both.without, &slow.without] {
        assert!(tally.statuses.keys().all(|status| *status == 200), "{tally}");
    }
    let answered = both.with.answered() + slow.with.answered();
    let stats = closed(&with.envoy, answered).await;
    assert_eq!((stats.ledger().exported, stats.ledger().discarded), (answered, 0));
    assert_eq!(collector.spans().len() as u64, answered);
}

/// Another environment is another VM. The old one is gone with its last listener, whatever its spans wait for.
#[tokio::test]
async fn what_a_replaced_vm_has_on_its_way_is_counted_as_lost() {
    const SENT: u64 = 6;
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    collector.always(Answer::AcceptAfter(Duration::from_secs(600)));
    let watched = Watched::start(bootstrap(&collector, &upstream)).await;
    for _ in 0..SENT {
        let request = Request::get(watched.to, "/status/200").header("connection", "close");
        assert_eq!(Client::new().send(request).await.unwrap().status, 200);
    }
    let on_the_way = |stats: &Stats| stats.ledger().in_flight == SENT;
    until(&watched.envoy, "all spans are on their way", on_the_way).await;
    let mut next = watched.bootstrap.clone();
    next.environment("OTEL_SERVICE_NAME", "another");
    replace_file(&watched.file, &next.listeners_as_discovery_response()).unwrap();
    watched.wait_for_updates(1).await;
    let settled = |stats: &Stats| stats.tracelift("spans.discarded.shutdown") == SENT && stats.ledger().is_settled();
    until(&watched.envoy, "what the old VM had on its way is counted", settled).await;
}
