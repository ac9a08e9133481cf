//! A panic in each kind of hook, by a library whose hooks panic when a file says so. Each costs one stream its tracing, or one
//! tick or answer its effect; it is counted, the first is logged, and traffic continues.

use crate::stage::{CONNECTIONS, SOON, bootstrap, inbound, until, with_workers};
use crate::watched::Watched;
use std::path::PathBuf;
use tempfile::TempDir;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Collector, Envoy, Launch, Load, Request, Stats, Tally, Upstream};

/// The library's; see `plugin/dynamic/src/faults.rs`.
const VARIABLE: &str = "TRACELIFT_PANIC_FILE";

/// Where the next panic is to be.
struct Trigger {
    file: PathBuf,
    _directory: TempDir,
}

impl Trigger {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { file: directory.path().join("place"), _directory: directory }
    }

    fn launch(&self) -> Launch {
        with_workers().environment(VARIABLE, &self.file)
    }

    /// The next time that this place is reached.
    fn pull(&self, place: &str) {
        replace_file(&self.file, place).unwrap();
    }

    fn has_fired(&self) -> bool {
        !self.file.exists()
    }
}

/// Requests whose answers have a body, and requests whose answers have trailers.
fn load(envoy: &Envoy) -> Load {
    let to = inbound(envoy);
    Load::start(CONNECTIONS, move |number| match number % 2 {
        0 => Request::get(to, "/cart"),
        _ => Request::grpc(to, "/answer.Trailers/Status0", b""),
    })
}

async fn panics(envoy: &Envoy, count: u64) {
    let counted = |stats: &Stats| stats.tracelift("panics") == count;
    until(envoy, &format!("{count} panics are counted"), counted).await;
}

/// One line says that it happened, one where, however many there were.
fn logged_once(envoy: &Envoy, first: &str) {
    let log = envoy.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("tracelift: a hook panicked"), lines("asked for at")), (1, 1), "{log}");
    assert_eq!(lines(&format!("asked for at {first}")), 1, "{log}");
}

#[track_caller]
fn served(tally: &Tally) -> u64 {
    assert!(tally.is_all(200), "{tally}");
    tally.answered()
}

#[tokio::test]
async fn a_panic_in_a_hook_of_a_stream_costs_that_stream_its_tracing_and_nothing_else() {
    let places = [
        "request_headers",
        "filter_new",
        "write",
        "response_headers",
        "response_body",
        "response_trailers",
        "stream_complete",
    ];
    let trigger = Trigger::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let envoy = trigger.launch().start(&bootstrap(&collector, &upstream)).await.unwrap_or_else(|e| panic!("{e}"));
    let load = load(&envoy);
    assert!(load.goes_on(100, SOON).await);
    for (count, place) in (1..).zip(places) {
        trigger.pull(place);
        panics(&envoy, count).await;
        assert!(load.goes_on(50, SOON).await, "requests wait after a panic at {place}");
    }
    // Of a stream that is complete already.
    trigger.pull("destroy");
    let count = places.len() as u64;
    panics(&envoy, count + 1).await;
    let served = served(&load.stop().await);
    let traced = |stats: &Stats| stats.ledger().offered == served - count && stats.ledger().is_settled();
    let ledger = until(&envoy, "all other streams have spans", traced).await.ledger();
    assert_eq!((ledger.exported, ledger.discarded), (collector.spans().len() as u64, 0));
    logged_once(&envoy, places[0]);
}

#[tokio::test]
async fn a_panic_on_the_main_thread_stops_neither_exports_nor_requests() {
    let trigger = Trigger::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let envoy = trigger.launch().start(&bootstrap(&collector, &upstream)).await.unwrap_or_else(|e| panic!("{e}"));
    let load = load(&envoy);
    for (count, place) in (1..).zip(["scheduled", "answer_arrived", "answer_ended"]) {
        trigger.pull(place);
        panics(&envoy, count).await;
        let spans = collector.spans().len();
        assert!(load.goes_on(200, SOON).await, "requests wait after a panic at {place}");
        collector.wait_for_spans(spans + 100, SOON).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    let served = served(&load.stop().await);
    let settled = |stats: &Stats| stats.ledger().offered == served && stats.ledger().is_settled();
    until(&envoy, "every span is accounted for", settled).await;
    logged_once(&envoy, "scheduled");
}

#[tokio::test]
async fn a_panic_while_a_configuration_comes_or_goes_is_a_refusal_or_nothing() {
    let trigger = Trigger::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let watched = Watched::launched(trigger.launch(), bootstrap(&collector, &upstream)).await;
    let to = watched.to;
    let load = Load::start(CONNECTIONS, move |_| Request::get(to, "/status/200").header("connection", "close"));
    assert!(load.goes_on(50, SOON).await);
    trigger.pull("config_new");
    watched.update(1);
    let refused = |stats: &Stats| stats.get("listener_manager.lds.update_rejected") == 1;
    until(&watched.envoy, "an update with a panic is refused", refused).await;
    panics(&watched.envoy, 1).await;
    assert!(load.goes_on(50, SOON).await);

    trigger.pull("config_destroy");
    watched.update(2);
    watched.wait_for_updates(1).await;
    panics(&watched.envoy, 2).await;
    watched.update(3);
    watched.wait_for_updates(2).await;
    let spans = collector.spans().len();
    assert!(load.goes_on(100, SOON).await);
    collector.wait_for_spans(spans + 20, SOON).await.unwrap_or_else(|error| panic!("{error}"));
    served(&load.stop().await);
    logged_once(&watched.envoy, "config_new");
}

#[tokio::test]
async fn a_panic_while_envoy_exits_delays_it_by_two_seconds_at_most() {
    let trigger = Trigger::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let envoy = trigger.launch().start(&bootstrap(&collector, &upstream)).await.unwrap_or_else(|e| panic!("{e}"));
    let load = load(&envoy);
    assert!(load.goes_on(50, SOON).await);
    served(&load.stop().await);
    trigger.pull("shutdown");
    assert!(envoy.terminate(SOON).await.unwrap_or_else(|error| panic!("{error}")).success());
    assert!(trigger.has_fired(), "the hook ran");
}
