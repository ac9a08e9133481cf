//! Which configuration of which file a command is about.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use tracelift::policy::Policy;
use tracelift_tools::manifest::{self, Checked, Severity, Syntax};

use crate::file;

/// One configuration.
#[derive(Args)]
pub struct Choice {
    /// The configuration or a manifest with it; without it the defaults
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The plugin's name, where the file configures several
    #[arg(long, value_name = "NAME", requires = "config")]
    plugin: Option<String>,
    /// The listener's name, where the plugin is on several
    #[arg(long, value_name = "NAME", requires = "config")]
    listener: Option<String>,
}

/// What was chosen.
pub struct Chosen {
    /// What it says.
    pub policy: Policy,
    /// Which one it is, in words: file, place, plugin and listener, and that there are others.
    pub which: String,
}

/// A configuration that the filter would refuse; what is wrong with it was printed already.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused: correct it first, `tracelift check` tells all about it", self.0)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// What was refused.
    pub fn of(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl Choice {
    /// Reads the file and takes what was asked for, of several the first.
    pub fn read(&self) -> Result<Chosen> {
        let (text, name) = match &self.config {
            Some(path) => (file::read(path)?, path.display().to_string()),
            None => ("{}".to_owned(), "the defaults".to_owned()),
        };
        let report = manifest::check_file(&text, Syntax::of(&name), &[]);
        if report.has(Severity::Error) {
            for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Error) {
                eprintln!("{name}:{finding}");
            }
            return Err(Refused(name).into());
        }
        let all = report.configurations;
        let named = narrow(all, self.plugin.as_deref(), "--plugin", &name, |one| Some(one.name.as_str()))?;
        let left = narrow(named, self.listener.as_deref(), "--listener", &name, |one| one.listener.as_deref())?;
        let first = left.first().map(|one| &one.name);
        if left.iter().any(|one| Some(&one.name) != first) {
            let names = names(&left, |one| Some(one.name.as_str()));
            bail!("{name} configures {} plugins; choose one with --plugin: {}", left.len(), names.join(", "));
        }
        let others = left.len().saturating_sub(1);
        let listeners = names(&left, |one| one.listener.as_deref());
        let Some(chosen) = left.into_iter().next() else { bail!("{name} configures no plugin") };
        let mut which = if self.config.is_some() { describe(&name, &chosen) } else { name.clone() };
        if 0 < others {
            which.push_str(&format!("; the first of {}", others + 1));
            if 1 < listeners.len() {
                which.push_str(&format!(", --listener takes another: {}", listeners.join(", ")));
            }
        }
        let Some(policy) = chosen.policy else { return Err(Refused(name).into()) };
        Ok(Chosen { policy, which })
    }
}

/// Those with the wanted name; an error with the names that there are where none has it.
fn narrow(
    mut all: Vec<Checked>,
    wanted: Option<&str>,
    option: &str,
    file: &str,
    name: impl Fn(&Checked) -> Option<&str>,
) -> Result<Vec<Checked>> {
    let Some(wanted) = wanted else { return Ok(all) };
    let known = names(&all, &name);
    all.retain(|one| name(one) == Some(wanted));
    if all.is_empty() {
        let known = if known.is_empty() { "none: no plugin there has one".to_owned() } else { known.join(", ") };
        bail!("{option}: found {wanted}; allowed in {file} is {known}");
    }
    Ok(all)
}

fn names(all: &[Checked], name: impl Fn(&Checked) -> Option<&str>) -> Vec<String> {
    let names: BTreeSet<_> = all.iter().filter_map(name).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn describe(file: &str, chosen: &Checked) -> String {
    let listener = chosen.listener.as_ref().map(|name| format!(", listener {name}")).unwrap_or_default();
    format!("{file}:{}:{}: {}{listener}", chosen.at.line, chosen.at.column, chosen.name)
}
