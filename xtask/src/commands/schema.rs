//! `cargo xtask schema`: the JSON Schema of the configuration and the tables of `docs/`, from the plugin's own types.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{run, workspace};

/// Where users and editors find it, in the tree.
const SCHEMA: &str = "envoy/config.schema.json";
/// Pages with a table between markers.
const PAGES: [&str; 2] = ["docs/configuration.md", "docs/telemetry.md"];

/// Writes what the types say, or with `check` fails where the tree says something else.
pub(crate) fn execute(check: bool) -> Result<()> {
    println!("Asking the plugin for its configuration schema and reference …");
    let schema = run::output(example("schema").stderr(Stdio::inherit()))? + "\n";
    publish(SCHEMA, &schema, check)?;

    PAGES.iter().try_for_each(|name| {
        let page = run::output(example("reference").arg("--").arg(name).stderr(Stdio::inherit()))? + "\n";
        publish(name, &page, check)
    })
}

/// With all features, as the plugin's tests are built: what they share is built once.
fn example(name: &str) -> Command {
    let mut cargo = workspace::native_cargo();
    cargo.args(["run", "--package", workspace::TOOLS, "--all-features", "--example", name]);
    cargo
}

fn publish(name: &str, text: &str, check: bool) -> Result<()> {
    let path = workspace::root().join(name);
    let published = fs::read_to_string(&path).unwrap_or_default();
    if published == text {
        println!("{name} is what the types say.");
    } else if check {
        bail!("{name} is not what the configuration's types say. Write it anew:\n  cargo xtask schema");
    } else {
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        println!("{name} written.");
    }
    Ok(())
}
