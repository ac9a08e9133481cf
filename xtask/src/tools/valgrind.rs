//! Valgrind, which counts the instructions of an Envoy.

use anyhow::{Result, bail};

use crate::run;
use crate::tools::debian;

/// The tool, and how it is spoken to while it runs.
const PROGRAMS: [&str; 2] = ["valgrind", "vgdb"];
const PACKAGE: &str = "valgrind";

/// Installs it where it is missing and we may.
pub(crate) fn ensure() -> Result<()> {
    let here = || PROGRAMS.iter().all(|name| run::find_on_path(name).is_some());
    if !here() && debian::can_install() {
        debian::install(&[PACKAGE])?;
    }
    if !here() {
        bail!(
            "Valgrind is missing, which counts the instructions of Envoy. Run:\n  {}\nor leave this level out by naming the \
             others with --level.",
            debian::install_line(&[PACKAGE])
        );
    }
    Ok(())
}
