//! `cargo xtask schema`: the JSON Schema of the configuration, from the plugin's own types.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{run, workspace};

/// Where users and editors find it, in the tree.
const PUBLISHED: &str = "envoy/config.schema.json";

/// Writes the schema, or with `check` fails when the published one is not what the types say.
pub(crate) fn execute(check: bool) -> Result<()> {
    println!("Asking the plugin for its configuration schema …");
    let mut example = workspace::native_cargo();
    example.args(["run", "--quiet", "--package", workspace::PLUGIN, "--features", "schema", "--example", "schema"]);
    let schema = run::output(example.stderr(Stdio::inherit()))? + "\n";

    let path = workspace::root().join(PUBLISHED);
    let published = fs::read_to_string(&path).unwrap_or_default();
    if published == schema {
        println!("{PUBLISHED} is what the types say.");
    } else if check {
        bail!("{PUBLISHED} is not what the configuration's types say. Write it anew:\n  cargo xtask schema");
    } else {
        fs::write(&path, schema).with_context(|| format!("could not write {}", path.display()))?;
        println!("{PUBLISHED} written.");
    }
    Ok(())
}
