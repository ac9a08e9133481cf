//! `cargo xtask deny`: licences, sources, doubled versions and, where their list can be fetched, known vulnerabilities.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::tools::cargo_deny;
use crate::{run, workspace};

/// For the list of vulnerabilities: a few MB, and no wait for a server that never answers.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Runs all checks; where the list of vulnerabilities is out of reach it says so and goes on.
pub(crate) fn execute() -> Result<()> {
    let program = cargo_deny::ensure()?;
    run::run(deny(&program).args(["check", "licenses", "bans", "sources"]))?;
    match run::run_within(deny(&program).args(["fetch", "db"]), FETCH_LIMIT) {
        Ok(()) => run::run(deny(&program).args(["--offline", "check", "advisories"])),
        Err(_) => {
            println!(
                "Known vulnerabilities were NOT checked: the RustSec list (a Git repository) cannot be fetched here."
            );
            Ok(())
        }
    }
}

fn deny(program: &Path) -> Command {
    let mut deny = Command::new(program);
    deny.current_dir(workspace::root()).args(["--config", "xtask/deny.toml", "--log-level", "error"]);
    deny
}
