//! What every story here needs.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::sleep;

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
