//! Remembers that a stage passed with the files that it depends on, so that a run may leave it out and say so.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artefact::digest::sha256;
use crate::cache::{self, Cache};
use crate::workspace;

/// What npm and Python put beside sources; never committed.
const NOT_OURS: [&str; 2] = ["node_modules", "__pycache__"];

/// Whether the stage passed on this machine with these files and folders as they are. One without any is never left out.
pub(crate) fn has_passed(stage: &str, inputs: &[&str]) -> bool {
    !inputs.is_empty() && mark(stage, inputs).is_ok_and(|mark| cache::entry(&mark).exists())
}

/// Remembers that it passed.
pub(crate) fn passed(stage: &str, inputs: &[&str]) -> Result<()> {
    let mark = mark(stage, inputs)?;
    Cache::lock()?.fill(&mark, |_| Ok(())).map(drop)
}

/// The cache's entry for it.
fn mark(stage: &str, inputs: &[&str]) -> Result<String> {
    let digest = digest(&workspace::root(), inputs)?;
    Ok(format!("passed-{stage}-{}", digest.get(..12).unwrap_or(&digest)))
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
        assert!(!has_passed("lint", &[]));
    }
}
