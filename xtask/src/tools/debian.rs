//! Packages of Debian and its derivatives, installed when we may.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Whether `install` can work here: a Debian, with us as root.
pub(crate) fn can_install() -> bool {
    is_debian() && is_root()
}

/// Whether packages of this system are Debian's.
pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && run::find_on_path("apt-get").is_some()
}

/// The line that a person runs where we may not install.
pub(crate) fn install_line(packages: &[&str]) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get update && {sudo}apt-get install -y {}", packages.join(" "))
}

/// Installs the packages, telling so. The package lists are fetched first: a new machine has none, or stale ones.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    println!("Installing Debian packages (about a minute): {}", packages.join(" "));
    run::run(&mut apt_get(&["update", "-qq"])).context("could not fetch Debian's package lists")?;
    let mut install = apt_get(&["install", "-y", "-qq", "--no-install-recommends"]);
    run::run(install.args(packages)).with_context(|| format!("could not install {}", packages.join(" ")))
}

/// The version that `install` would bring, by package lists fetched now; `None` where they know none.
pub(crate) fn candidate(package: &str) -> Option<String> {
    run::run(&mut apt_get(&["update", "-qq"])).ok()?;
    let said = run::output(Command::new("apt-cache").args(["policy", package])).ok()?;
    let version = said.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Another apt on a machine that has just started is common: wait for it rather than fail.
    command.args(["-o", "DPkg::Lock::Timeout=120"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    run::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}
