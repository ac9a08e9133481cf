//! The programs that the rollout's tests run beside Envoy: found on `PATH`, or installed where we may.

use anyhow::{Result, bail};

use crate::run;
use crate::tools::debian;

/// A program and Debian's package of it.
const PROGRAMS: [(&str, &str); 4] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
];

/// Sees to it that all of them are here.
pub(crate) fn ensure() -> Result<()> {
    let mut missing: Vec<&str> = missing().collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if !debian::can_install() {
        bail!("programs of these packages are not on PATH. Run:\n  {}", debian::install_line(&missing));
    }
    debian::install(&missing)
}

fn missing() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().filter(|(program, _)| run::find_on_path(program).is_none()).map(|(_, package)| *package)
}
