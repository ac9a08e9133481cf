//! Remembers that a stage passed with the files that it depends on, so that a run may leave it out and say so: on this machine, in the
//! cache, and for every machine, in a file of the tree that is written on request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::workspace;

/// What npm and Python put beside sources; never committed.
const NOT_OURS: [&str; 2] = ["node_modules", "__pycache__"];

/// The file of the tree: an object of the digest of each stage's inputs when it last passed and was recorded.
pub(crate) const RECORD: &str = "xtask/passed.json";

/// Who knows that a stage passed with its inputs as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It did on this machine.
    Here,
    /// The tree's record says so.
    Recorded,
}

/// Whether the stage passed with these files and folders as they are. One without any is never left out.
pub(crate) fn has_passed(stage: &str, inputs: &[&str]) -> Option<Known> {
    if inputs.is_empty() {
        return None;
    }
    let digest = digest(&workspace::root(), inputs).ok()?;
    if cache::entry(&mark(stage, &digest)).exists() {
        return Some(Known::Here);
    }
    (records(&workspace::root()).ok()?.get(stage) == Some(&digest)).then_some(Known::Recorded)
}

/// Remembers on this machine that it passed.
pub(crate) fn passed(stage: &str, inputs: &[&str]) -> Result<()> {
    let mark = mark(stage, &digest(&workspace::root(), inputs)?);
    Cache::lock()?.fill(&mark, |_| Ok(())).map(drop)
}

/// Writes into the tree's record that it passed.
pub(crate) fn record(stage: &str, inputs: &[&str]) -> Result<()> {
    let root = workspace::root();
    let mut records = records(&root)?;
    records.insert(stage.to_owned(), digest(&root, inputs)?);
    let path = root.join(RECORD);
    fs::write(&path, serde_json::to_string_pretty(&records)? + "\n")
        .with_context(|| format!("could not write {}", path.display()))
}

/// What the tree's record says, by stage.
fn records(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = root.join(RECORD);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not an object of digests", path.display()))
}

/// The cache's entry for a stage with inputs of this digest.
fn mark(stage: &str, digest: &str) -> String {
    format!("passed-{stage}-{}", digest.get(..12).unwrap_or(digest))
}

/// Of names and contents of all files.
fn digest(root: &Path, inputs: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    for input in inputs {
        collect(&root.join(input), &mut files)?;
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
        all.extend_from_slice(format!("{name}\n{}\n", sha256(&content)).as_bytes());
    }
    Ok(sha256(&all))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("could not read {}", path.display()))? {
        let entry = entry?;
        if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_names_and_contents_and_not_of_what_npm_installs() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let digest = || digest(dir.path(), &["application", "tool.rs"]).unwrap();
        write("application/deep/service.js", "1");
        write("tool.rs", "2");
        let first = digest();
        write("application/node_modules/api/index.js", "3");
        write("elsewhere.rs", "4");
        assert_eq!(digest(), first);
        write("application/deep/service.js", "5");
        let second = digest();
        assert_ne!(second, first);
        fs::rename(dir.path().join("application/deep"), dir.path().join("application/renamed")).unwrap();
        assert_ne!(digest(), second);
    }

    #[test]
    fn an_input_that_is_not_there_is_an_error_and_a_stage_without_inputs_always_runs() {
        assert!(digest(Path::new("/nonexistent"), &["file"]).is_err());
        assert_eq!(has_passed("lint", &[]), None);
    }
}
