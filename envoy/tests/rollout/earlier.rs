//! The module of an earlier version, as a fleet has it while a rollout is under way. `earlier/README.md` says which.

use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

const COMPRESSED: &[u8] = include_bytes!("earlier/tracelift-a42f440.wasm.gz");

/// Writes the module into a folder.
pub fn module(folder: &Path) -> PathBuf {
    let (path, mut module) = (folder.join("earlier.wasm"), Vec::new());
    GzDecoder::new(COMPRESSED).read_to_end(&mut module).unwrap();
    fs::write(&path, module).unwrap();
    path
}
