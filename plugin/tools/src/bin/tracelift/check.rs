//! `tracelift check`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tracelift_tools::manifest::{self, Report, Severity};

use crate::{Outcome, file};

/// Check a configuration, alone or inside a manifest
///
/// Takes the plugin configuration (JSON or YAML), Envoy bootstraps and xDS files, Istio `WasmPlugin` and `EnvoyFilter`, and
/// Envoy Gateway `EnvoyExtensionPolicy`, also several documents in one file. Every finding has its place:
/// `file:line:column: error: field: what is wrong`.
#[derive(Args)]
pub struct Check {
    /// Files; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Warnings count as errors
    #[arg(long)]
    deny_warnings: bool,
    /// A variable of the VM's environment, as Envoy will hand it over; those in a file are stronger
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
}

/// Reads `NAME=VALUE`.
pub fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("found no `=`; write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Serialize)]
struct Checked {
    file: String,
    #[serde(flatten)]
    report: Report,
}

impl Check {
    /// Findings go to standard output: they are what was asked for.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        let mut checked = Vec::new();
        for path in &self.files {
            let report = manifest::check_with(&file::read(path)?, &self.env);
            checked.push(Checked { file: path.display().to_string(), report });
        }
        let least = if self.deny_warnings { Severity::Warning } else { Severity::Error };
        let bad = checked.iter().any(|checked| checked.report.has(least));
        if json {
            file::print_json(&checked)?;
        } else {
            file::print(&text(&checked))?;
        }
        Ok(if bad { Outcome::Findings } else { Outcome::Fine })
    }
}

fn text(checked: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { file, report } in checked {
        for finding in &report.findings {
            text.push_str(&format!("{file}:{finding}\n"));
        }
        let count = |severity: Severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let accepted = report.configurations.iter().filter(|one| one.accepted).count();
        let all = report.configurations.len();
        text.push_str(&format!(
            "{file}: {accepted} of {all} configurations accepted, {errors} errors, {warnings} warnings\n"
        ));
    }
    text
}
