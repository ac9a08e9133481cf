//! A wall clock that steps: an NTP correction, a resumed virtual machine, an operator.

use crate::stage::{CONNECTIONS, SOON, WORKERS, bootstrap, closed, inbound, load};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tracelift_envoy::{Collector, Launch, Upstream};

/// A clock for one Envoy, which the test moves.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
    _directory: TempDir,
}

impl Clock {
    /// Compiles the library that goes between Envoy and the kernel.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (library, file) = (directory.path().join("clock.so"), directory.path().join("step"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/preload/stepping_clock.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut compile = Command::new(rustc);
        compile.args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-C", "panic=abort", "-o"]);
        let output = compile.arg(&library).arg(source).output().expect("rustc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let clock = Self { library, file, _directory: directory };
        clock.step(0);
        clock
    }

    /// An Envoy that is launched so lives by it.
    pub fn around(&self, launch: Launch) -> Launch {
        launch.environment("LD_PRELOAD", &self.library).environment("STEPPING_CLOCK", &self.file)
    }

    /// From now on the wall clock is so many seconds ahead. Written in place and never cut short: Envoy has the file mapped.
    pub fn step(&self, seconds: i64) {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.file).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_forth_and_a_day_back_stops_neither_requests_nor_exports() {
    const HOUR: i64 = 3_600;
    let clock = Clock::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut bootstrap = bootstrap(&collector, &upstream);
    bootstrap.plugin(|json| json["upgrade"]["latency_ms"] = 5_000.into()).unwrap();
    let launch = clock.around(Launch::new().unwrap().workers(WORKERS));
    let envoy = launch.start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));

    let load = load(inbound(&envoy), "/status/200");
    for step in [HOUR, -24 * HOUR, 0] {
        let spans = collector.spans().len();
        clock.step(step);
        // Spans that start after the step tell that the filter lives by the new time, and that they leave in it.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed() + step;
        let by_new_time = |start: u64| ((start / 1_000_000_000).cast_signed() - wall).abs() < 300;
        collector
            .wait_for(SOON, |all| {
                all[spans..].iter().find(|span| by_new_time(span.span.start_time_unix_nano)).map(drop)
            })
            .await
            .unwrap_or_else(|error| panic!("after a step of {step} s: {error}\n{}", envoy.log()));
        assert!(load.goes_on(200, SOON).await, "requests go on after a step of {step} s");
    }
    let tally = load.stop().await;
    println!("clock steps: {tally}");
    assert!(tally.is_all(200), "{tally}");
    let stats = closed(&envoy, tally.answered()).await;
    assert_eq!((stats.ledger().exported, stats.ledger().discarded), (tally.answered(), 0));
    // At least once: an export that was on the way when the clock leapt ahead counts as lost and is sent again.
    let ids: BTreeSet<String> = collector.spans().iter().map(|span| span.span_id()).collect();
    assert_eq!(ids.len() as u64, tally.answered());
    // Wrong are only spans that were open at a step: those of the load's connections, once for each step.
    let spans = collector.spans();
    let long = spans.iter().filter(|span| Duration::from_secs(60) < span.duration()).count();
    assert!(long <= 3 * CONNECTIONS, "{long} spans say that they took more than a minute");
}
