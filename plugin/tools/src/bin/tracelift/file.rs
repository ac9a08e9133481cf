//! Files of the command line; `-` is standard input.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tracelift::policy::Policy;
use tracelift_tools::manifest::{self, Severity};

/// A manifest larger than this is none.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A configuration that the filter would refuse; what is wrong with it was told already.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused: correct it first, `tracelift check` tells all about it", self.0)
    }
}

impl std::error::Error for Refused {}

/// The whole text.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let mut reader = open(path)?.take(MAX_BYTES + 1);
    reader.read_to_string(&mut text).with_context(|| format!("could not read {} as UTF-8 text", path.display()))?;
    if MAX_BYTES < text.len() as u64 {
        bail!("{} has more than 64 MiB", path.display());
    }
    Ok(text)
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

/// The policy of a file, of the plugin with that name where there are several; the defaults without a file.
pub fn policy(path: Option<&Path>, plugin: Option<&str>) -> Result<Policy> {
    let (text, name) = match path {
        Some(path) => (read(path)?, path.display().to_string()),
        None => ("{}".to_owned(), "the default configuration".to_owned()),
    };
    let report = manifest::check(&text);
    if report.has(Severity::Error) {
        for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Error) {
            eprintln!("{name}:{finding}");
        }
        return Err(Refused(name).into());
    }
    let mut policies: Vec<_> = report.policies().collect();
    if let Some(plugin) = plugin {
        let names: BTreeSet<_> = policies.iter().map(|(name, _)| name.clone()).collect();
        policies.retain(|(name, _)| name == plugin);
        if policies.is_empty() {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            bail!("--plugin: found {plugin}; allowed in {name} is {names}");
        }
    }
    let first = policies.first().map(|(name, _)| name);
    // The same name on each listener of a pod is usual; their sampling is what is asked for.
    if plugin.is_none() && policies.iter().any(|(name, _)| Some(name) != first) {
        let names: Vec<_> = policies.iter().map(|(name, _)| name.as_str()).collect();
        bail!("{name} configures {} plugins; choose one with --plugin: {}", names.len(), names.join(", "))
    }
    let policy = policies.into_iter().next().map(|(_, policy)| policy);
    policy.with_context(|| format!("{name} configures no plugin"))
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
