//! Machines that the dynamic module is built for, and what a build for another machine than this one needs.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::tools::{debian, rustup};
use crate::{run, workspace};

/// A machine with Linux and glibc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    /// Those that a release has a library for.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The one that we run on.
    pub(crate) fn host() -> Result<Self> {
        match Self::ALL.into_iter().find(|machine| machine.name() == ARCH) {
            Some(machine) => Ok(machine),
            None => bail!("the dynamic module is built on x86_64 and aarch64, and this machine is {ARCH}"),
        }
    }

    /// As Linux and Rust call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's target.
    pub(crate) fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.name())
    }

    /// Debian's C compiler for it, which links.
    fn linker(self) -> String {
        format!("{}-linux-gnu-gcc", self.name())
    }

    /// Debian's packages with that compiler and the C library to link with.
    fn packages(self) -> [&'static str; 2] {
        match self {
            Self::X86_64 => ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Aarch64 => ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }

    /// The variable by which Cargo takes another linker, where this is not the machine that we run on.
    pub(crate) fn linker_variable(self) -> Option<(String, String)> {
        let target = self.target().replace('-', "_").to_uppercase();
        (self.name() != ARCH).then(|| (format!("CARGO_TARGET_{target}_LINKER"), self.linker()))
    }

    /// Looks for what a build needs, and fetches it when it is missing and we may. Fails with what a person can do.
    pub(crate) fn ensure(self) -> Result<()> {
        if !self.has_standard_library() && rustup::may_download() {
            rustup::download(&["target", "add", &self.target()])?;
        }
        let is_missing = || self.name() != ARCH && run::find_on_path(&self.linker()).is_none();
        if is_missing() && debian::can_install() {
            debian::install(&self.packages())?;
        }
        if !self.has_standard_library() || is_missing() {
            bail!("{}", self.how_to_get_ready());
        }
        Ok(())
    }

    fn has_standard_library(self) -> bool {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
        rustc.current_dir(workspace::root()).args(["--print", "target-libdir", "--target", &self.target()]);
        let libraries = run::output(&mut rustc).and_then(|folder| Ok(fs::read_dir(folder)?));
        libraries.is_ok_and(|mut files| files.next().is_some())
    }

    fn how_to_get_ready(self) -> String {
        format!(
            "nothing here builds for {}: it takes Rust's standard library and a linker for it\n  rustup target add {}\n  {}   (Debian)",
            self.name(),
            self.target(),
            debian::install_line(&self.packages())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_machine_needs_another_linker() {
        let host = Machine::host().unwrap();
        assert_eq!(host.linker_variable(), None);
        host.ensure().unwrap();
        let variable = ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
        let other = Machine::Aarch64.linker_variable().unwrap_or((variable.0.to_owned(), variable.1.to_owned()));
        assert_eq!((other.0.as_str(), other.1.as_str()), variable);
    }

    #[test]
    fn who_cannot_build_for_a_machine_is_given_the_commands_that_change_it() {
        let text = Machine::Aarch64.how_to_get_ready();
        for command in ["rustup target add aarch64-unknown-linux-gnu", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"] {
            assert!(text.contains(command), "{text}");
        }
    }
}
