//! `cargo xtask deny`: licences, sources, doubled versions and, where their list can be fetched, known vulnerabilities.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::tools::cargo_deny;
use crate::{run, workspace};

/// For the list of vulnerabilities: a few MB, and no wait for a server that never answers.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// What to do where the list of vulnerabilities is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// Say so and go on: a test run without a network.
    IfThere,
    /// Fail: a release.
    Required,
}

/// Runs all checks.
pub(crate) fn execute(advisories: Advisories) -> Result<()> {
    let program = cargo_deny::ensure()?;
    run::run(deny(&program).args(["check", "licenses", "bans", "sources"]))?;
    if advisories.go_on(run::run_within(deny(&program).args(["fetch", "db"]), FETCH_LIMIT))? {
        run::run(deny(&program).args(["--offline", "check", "advisories"]))?;
    }
    Ok(())
}

impl Advisories {
    /// Whether there is a list to look into.
    fn go_on(self, fetched: Result<()>) -> Result<bool> {
        const NONE: &str = "the RustSec list (a Git repository) cannot be fetched here";
        match (fetched, self) {
            (Ok(()), _) => Ok(true),
            (Err(problem), Self::Required) => {
                Err(problem.context(format!("no release without a look at known vulnerabilities: {NONE}")))
            }
            (Err(_), Self::IfThere) => {
                println!("Known vulnerabilities were NOT checked: {NONE}.");
                Ok(false)
            }
        }
    }
}

fn deny(program: &Path) -> Command {
    let mut deny = Command::new(program);
    deny.current_dir(workspace::root()).args(["--config", "xtask/deny.toml", "--log-level", "error"]);
    deny
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_release_needs_the_list_of_vulnerabilities_and_a_test_run_does_not() {
        assert!(!Advisories::IfThere.go_on(Err(anyhow!("no network"))).unwrap());
        let refused = Advisories::Required.go_on(Err(anyhow!("no network"))).unwrap_err();
        assert!(format!("{refused:#}").contains("no release without"), "{refused:#}");
        for advisories in [Advisories::IfThere, Advisories::Required] {
            assert!(advisories.go_on(Ok(())).unwrap());
        }
    }
}
