//! `tracelift check`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tracelift::sampling::Steps;
use tracelift_tools::manifest::{self, Release, Report, Severity, Syntax};

use crate::{Outcome, file};

/// Check a configuration, alone or inside a manifest
///
/// Takes the plugin configuration (JSON or YAML), Envoy bootstraps, xDS files and dumps, Istio `WasmPlugin`,
/// `TrafficExtension` and `EnvoyFilter`, and Envoy Gateway `EnvoyExtensionPolicy`; several documents in one file, and files
/// in a ConfigMap or a compose file. Every finding has its place: `file:line:column: error: field: what is wrong`. A file
/// without Tracelift is an error where no other file has it, either.
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
    /// Warn about what this release of Envoy does not know, such as 1.36
    #[arg(long, value_name = "RELEASE")]
    envoy: Option<Release>,
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
            let file = path.display().to_string();
            let (text, syntax) = (file::read(path)?, Syntax::of(&file));
            let mut report = manifest::check_file(&text, syntax, &self.env);
            if let Some(release) = self.envoy {
                report.findings.extend(manifest::unknown_to(release, &text, syntax));
                report.findings.sort_by_key(|finding| (finding.at, finding.severity));
            }
            checked.push(Checked { file, report });
        }
        if checked.iter().any(|one| !one.report.configurations.is_empty()) {
            for one in checked.iter_mut().filter(|one| one.report.has_nothing) {
                one.report.findings.clear();
            }
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
        if all == 0 && report.findings.is_empty() {
            text.push_str(&format!("{file}: no configuration of Tracelift in here\n"));
            continue;
        }
        text.push_str(&format!(
            "{file}: {accepted} of {all} configurations accepted, {errors} errors, {warnings} warnings\n"
        ));
        if let Some(steps) = report.configurations.iter().filter_map(|one| one.steps).max() {
            let allowed = Steps::A_REQUEST;
            text.push_str(&format!("{file}: matching a request costs at most {steps} steps of {allowed}\n"));
        }
        for how in report.configurations.iter().filter_map(|one| one.cheaper).collect::<BTreeSet<_>>() {
            text.push_str(&format!("{file}: a request would cost less {how} (envoy/wrapped.yaml)\n"));
        }
    }
    text
}
