//! A program that is built of the Go modules of a lock in this tree, and of sources beside it where it is ours: a given one, or one in
//! the cache folder, else built now.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::tools::go;
use crate::{run, workspace};

/// A program, its package, and the folder of its `go.mod` and `go.sum`.
pub(crate) struct Locked {
    /// Names a binary to use instead of building one; also what the tests are given.
    pub(crate) variable: &'static str,
    /// In messages.
    pub(crate) title: &'static str,
    /// The binary, and what its entry in the cache begins with.
    pub(crate) program: &'static str,
    /// The package with `main`.
    pub(crate) package: &'static str,
    /// Where the lock is in this tree.
    pub(crate) folder: &'static str,
    /// The version of the package's module in the lock; where the sources are ours, of the module that they are about.
    pub(crate) version: &'static str,
    /// Files that are put beside the sources, by the module that has them, of that version, and their paths there.
    pub(crate) beside: (&'static str, &'static [&'static str]),
    /// Further arguments of `go build`.
    pub(crate) flags: &'static [&'static str],
    /// The argument that prints its version, and what is in what it prints.
    pub(crate) says: (&'static str, &'static str),
    /// How long a build takes.
    pub(crate) takes: &'static str,
    /// Where a person gets it.
    pub(crate) page: &'static str,
}

impl Locked {
    /// Its path: given, or built before; else built now, which takes Go and the network.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let Self { variable, title, program, version, page, .. } = self;
        if let Some(given) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = fs::canonicalize(&given).with_context(|| format!("{variable} is {}", given.display()))?;
            self.check(&path).with_context(|| format!("{variable} does not name {title}"))?;
            return Ok(path);
        }
        let built = cache::entry(&self.entry()?).join(program);
        if self.check(&built).is_ok() {
            return Ok(built);
        }
        self.build().with_context(|| {
            format!(
                "{title} {version} could not be built. Take one from {page}, and name it:\n  \
                 export {variable}=/path/to/{program}"
            )
        })
    }

    fn check(&self, path: &Path) -> Result<()> {
        let (argument, expected) = self.says;
        let said = run::output(Command::new(path).arg(argument))?;
        if !said.contains(expected) {
            bail!("{} says {:?}", path.display(), said.lines().next().unwrap_or_default());
        }
        Ok(())
    }

    fn lock(&self) -> go::Lock {
        go::Lock::at(&workspace::root().join(self.folder))
    }

    /// Where the one of today's lock is, or will be.
    fn entry(&self) -> Result<String> {
        Ok(format!("{}-{}", self.program, &sha256(&self.lock().content()?)[..16]))
    }

    fn build(&self) -> Result<PathBuf> {
        let Self { title, program, package, version, flags, takes, .. } = self;
        let go = go::ensure()?;
        let cache = Cache::lock()?;
        let built = cache::entry(&self.entry()?).join(program);
        if self.check(&built).is_ok() {
            return Ok(built); // Another xtask built it while this one waited for the lock.
        }
        println!("Building {title} {version} of Go modules ({takes}, once) …");
        let started = Instant::now();
        let dir = cache.fill(&self.entry()?, |dir| {
            let sources = dir.join("build");
            fs::create_dir(&sources)?;
            self.lock().copy_to(&sources)?;
            let scratch = go::Scratch::below(dir);
            let (module, files) = self.beside;
            for path in files {
                let from = scratch.module(&go, &sources, module, version)?.join(path);
                let name = from.file_name().context("a file has a name")?;
                fs::copy(&from, sources.join(name)).with_context(|| format!("could not copy {}", from.display()))?;
            }
            let output = format!("../{program}");
            let arguments = [&["build"], *flags, &["-o", &output, package]].concat();
            scratch.run(&go, &sources, &arguments)?;
            scratch.remove()?;
            Ok(fs::remove_dir_all(sources)?)
        })?;
        let binary = dir.join(program);
        self.check(&binary).with_context(|| format!("{title} was built and does not run"))?;
        println!("Built in {} s.", started.elapsed().as_secs());
        Ok(binary)
    }
}

/// For the tests of the programs.
#[cfg(test)]
impl Locked {
    /// Fails unless the lock has the version of the program's module.
    pub(crate) fn assert_version_is_locked(&self, module: &str) {
        let text = String::from_utf8(self.lock().content().unwrap()).unwrap();
        assert!(text.contains(&format!("{module} {}", self.version)), "{} {}", self.title, self.version);
        assert!(self.entry().unwrap().starts_with(self.program));
    }
}
