//! Files of the command line; `-` is standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::bufread::MultiGzDecoder;

/// A manifest larger than this is none.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The whole text.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let mut reader = open(path)?.take(MAX_BYTES + 1);
    reader.read_to_string(&mut text).with_context(|| format!("could not read {} as UTF-8 text", path.display()))?;
    if MAX_BYTES < text.len() as u64 {
        bail!("{} has more than 64 MiB", path.display());
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)) // Some editors write a mark in front.
}

/// To be read line by line.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    if path.is_dir() {
        bail!("{} is a folder; name its files, as in {}/*.yaml", path.display(), path.display());
    }
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The same, with gzip undone.
pub fn open_log(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut reader = open(path)?;
    let start = reader.fill_buf().with_context(|| format!("could not read {}", path.display()))?;
    let others: [(&[u8], &str); 4] =
        [(b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"PK\x03\x04", "zip")];
    if let Some((_, name)) = others.iter().find(|(magic, _)| start.starts_with(magic)) {
        bail!("{} is compressed by {name}; allowed is text or gzip. Decompress it first", path.display());
    }
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { reader })
}

/// Prints; a reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("could not write to standard output"),
    }
}

/// Prints JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
