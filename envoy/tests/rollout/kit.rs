//! What every story here needs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::{Collector, Envoy, Ledger};

/// How long a condition may take to come true. Healthy runs need a fraction of a second.
pub const SOON: Duration = Duration::from_secs(20);

/// A program that `cargo xtask test` installs; by hand it is Debian's package of that name.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not on the PATH: run `cargo xtask package`, or install {package}"))
}

/// Waits until a condition holds that nothing announces.
pub async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < SOON, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What kustomize renders of a folder: `TRACELIFT_KUSTOMIZE`, else the one on the PATH.
pub fn kustomize(folder: &Path) -> String {
    let named = env::var_os("TRACELIFT_KUSTOMIZE").map(PathBuf::from);
    let rendered = Command::new(named.unwrap_or_else(|| program("kustomize", "kustomize")))
        .arg("build")
        .arg(folder)
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&rendered.stderr));
    String::from_utf8(rendered.stdout).unwrap()
}

/// What helm answers: `TRACELIFT_HELM`, else the one on the PATH.
pub fn helm(arguments: &[&str]) -> Output {
    let named = env::var_os("TRACELIFT_HELM").map(PathBuf::from);
    Command::new(named.unwrap_or_else(|| program("helm", "helm"))).args(arguments).output().unwrap()
}

/// Waits until the filter and the collector agree that exactly `exported` spans left and none was lost.
pub async fn settle(envoys: &[&Envoy], collector: &Collector, exported: usize) {
    let started = Instant::now();
    loop {
        let mut ledgers = Vec::new();
        for envoy in envoys {
            ledgers.push(envoy.admin().stats().await.unwrap().ledger());
        }
        let ledger: Ledger = ledgers.into_iter().sum();
        let received = collector.spans().len();
        let whole = ledger.is_settled() && ledger.exported == exported as u64 && ledger.discarded == 0;
        if whole && received == exported {
            return;
        }
        assert!(
            started.elapsed() < SOON,
            "{exported} spans should have been exported; the collector has {received}; the filters say {ledger}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// A `traceparent` of a caller: trace-ids count from `number`.
pub fn traceparent(number: u64, sampled: bool) -> String {
    let flags = if sampled { "03" } else { "02" };
    format!("00-4bf92f3577b34da6{number:016x}-00f067aa0ba902b7-{flags}")
}
