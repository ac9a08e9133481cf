//! A C++ compiler, which libFuzzer is compiled with.

use anyhow::{Result, bail};

use crate::run;
use crate::tools::debian;

/// What `cc` looks for where `CXX` names nothing.
const PROGRAMS: [&str; 3] = ["c++", "g++", "clang++"];
const PACKAGE: &str = "g++";

/// Installs one where there is none and we may.
pub(crate) fn ensure() -> Result<()> {
    let here = || std::env::var_os("CXX").is_some() || PROGRAMS.iter().any(|name| run::find_on_path(name).is_some());
    if here() {
        return Ok(());
    }
    if debian::can_install() {
        debian::install(&[PACKAGE])?;
    }
    if !here() {
        let line = if debian::is_debian() { debian::install_line(&[PACKAGE]) } else { "xcode-select --install".into() };
        bail!("a C++ compiler is missing; libFuzzer needs one. Run:\n  {line}");
    }
    Ok(())
}
