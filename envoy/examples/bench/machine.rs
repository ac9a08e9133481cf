//! Where and when: without it a figure is a rumour.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tracelift_envoy::process::binary;

use crate::stage::Processors;

/// Processor, kernel, versions, the module, the date.
pub fn describe(module: &Path, processors: Processors) -> Result<Value> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let apart = if processors.measured.is_some() { "Envoy on one processor, load on another" } else { "one processor" };
    Ok(json!({
        "date": said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?,
        "processor": model.unwrap_or("unknown"),
        "processors": info.lines().filter(|line| line.starts_with("processor")).count(),
        "pinned": apart,
        "load_average": fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next(),
        "kernel": kernel.trim(),
        "envoy": envoy_version()?,
        "module_bytes": fs::metadata(module)?.len(),
    }))
}

/// `1.40.0`, of a line like `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy_version() -> Result<String> {
    let line = said(Command::new(binary()?).arg("--version"))?;
    Ok(line.split('/').rev().nth(3).unwrap_or(&line).to_owned())
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
