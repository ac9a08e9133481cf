//! The inputs that are kept: `corpus/<target>/` spans the branches that fuzzing has reached, `found/<target>/` are inputs
//! that once broke something, each named by a sentence.

use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// One kept input.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Folder and file, such as `found/tracestate/a key of only at signs`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Every kept input of a target, sorted by name. A folder that is missing has none.
pub fn of(target: Target) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for folder in ["corpus", "found"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
        if !directory.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            kept.push(Kept { name: format!("{folder}/{}/{file}", target.name), path });
        }
    }
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kept)
}
