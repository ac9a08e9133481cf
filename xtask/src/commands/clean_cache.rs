//! `cargo xtask clean-cache`: forgets what was fetched.

use anyhow::Result;

use crate::cache::{self, Cache};

pub(crate) fn execute() -> Result<()> {
    let dir = cache::dir();
    if !dir.exists() {
        println!("Nothing to remove: {} does not exist.", dir.display());
        return Ok(());
    }
    let removed = Cache::lock()?.clear()?;
    println!(
        "Removed from {}: {}",
        dir.display(),
        if removed.is_empty() { "nothing".into() } else { removed.join(", ") }
    );
    Ok(())
}
