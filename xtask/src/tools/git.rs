//! The commit of the working tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{run, workspace};

/// The commit that the working tree is at, and whether tracked files differ from it.
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) is_dirty: bool,
    /// When it was made: UTC, RFC 3339.
    pub(crate) time: String,
}

impl Commit {
    /// Asks git; an error outside a clone.
    pub(crate) fn of_working_tree() -> Result<Self> {
        let id = run::output(&mut git(&["rev-parse", "HEAD"])).context("a release is built from a commit")?;
        let changed = run::output(&mut git(&["status", "--porcelain", "--untracked-files=no"]))?;
        let mut time = git(&["show", "--no-patch", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]);
        let time = run::output(time.env("TZ", "UTC0"))?;
        Ok(Self { id, is_dirty: !changed.is_empty(), time })
    }

    /// What the module is told.
    pub(crate) fn describe(&self) -> String {
        if self.is_dirty { format!("{}-dirty", self.id) } else { self.id.clone() }
    }
}

/// Clones the working tree's commit into `to`, which must not exist.
pub(crate) fn clone(to: &Path) -> Result<()> {
    let mut clone = git(&["clone", "--quiet", "--no-local"]);
    run::run(clone.arg(workspace::root()).arg(to))
}

/// Files of the working tree as they are, by their paths from its root: tracked ones, and new ones that are not ignored.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let listed = run::output(&mut git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let files = listed.split('\0').filter(|file| !file.is_empty()).map(PathBuf::from);
    Ok(files.filter(|file| workspace::root().join(file).is_file()).collect())
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace::root()).args(arguments);
    git
}
