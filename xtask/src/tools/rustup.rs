//! Asks rustup for a target or a component, with a limit: where its server cannot be reached it must not hold anybody up.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::run;

/// Remembers that a download failed, so that each later build does not wait for the same answer.
const UNREACHABLE: &str = "rustup-unreachable";
/// A download of 25 MB on a slow line, and still a bearable wait for one that never comes.
const LIMIT: Duration = Duration::from_secs(90);

/// Whether rustup manages the toolchain and is not known to be cut off from its server.
pub(crate) fn may_download() -> bool {
    run::find_on_path("rustup").is_some() && !cache::entry(UNREACHABLE).exists()
}

/// The note of an earlier failure, for messages.
pub(crate) fn unreachable_note() -> Option<String> {
    let path = cache::entry(UNREACHABLE);
    path.exists().then(|| format!("rustup could not download before; remembered in {}", path.display()))
}

/// `rustup <arguments>` for the toolchain that runs us. A failure is remembered until `cargo xtask clean-cache`.
pub(crate) fn download(arguments: &[&str]) -> Result<()> {
    println!("Running `rustup {}` (at most {} s) …", arguments.join(" "), LIMIT.as_secs());
    let mut rustup = Command::new("rustup");
    rustup.args(arguments).env("RUSTUP_MAX_RETRIES", "1");
    let result = run::run_within(&mut rustup, LIMIT);
    if let Err(error) = &result {
        let cache = Cache::lock()?;
        let note = cache.fill(UNREACHABLE, |dir| Ok(fs::write(dir.join("why"), format!("{error:#}\n"))?))?;
        println!("rustup cannot download here; remembered in {} (forget it: cargo xtask clean-cache)", note.display());
    }
    result.context("rustup could not download")
}
