//! `tracelift env`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tracelift::config::{self, Environment, VARIABLES, Variable};
use tracelift_tools::manifest::{self, Located};

use crate::check::variable;
use crate::{Outcome, file};

/// List the environment variables that the filter reads, their values here and their effect
///
/// "Here" is the environment of this command, and --env. Envoy hands the filter only what `vm_config.environment_variables`
/// names. The exit code is 1 when a value cannot be used.
#[derive(Args)]
pub struct Env {
    /// A plugin configuration (JSON), which is stronger than any variable
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A variable, in place of the one of this command's environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    fills: Option<&'static str>,
    meaning: &'static str,
    value: Option<String>,
    effect: String,
    #[serde(skip)]
    bad: bool,
}

impl Env {
    /// Prints a table.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        let given = self.env.iter().cloned().chain(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        let environment: Environment = given.collect();
        let text = self.config.as_deref().map_or_else(|| Ok("{}".to_owned()), file::read)?;
        let written = manifest::documents(&text).ok().and_then(|documents| documents.into_iter().next());
        // A refused configuration has no warnings; the variables are then told as beside an empty one.
        let loaded = config::load(text.as_bytes(), &environment).or_else(|_| config::load(b"{}", &environment));
        let warnings = loaded.map(|loaded| loaded.warnings).unwrap_or_default();
        let rows: Vec<_> =
            VARIABLES.iter().map(|variable| row(variable, &environment, written.as_ref(), &warnings)).collect();
        let bad = rows.iter().any(|row| row.bad);
        if json {
            file::print_json(&rows)?
        } else {
            file::print(&table(&rows))?
        }
        Ok(if bad { Outcome::Findings } else { Outcome::Fine })
    }
}

fn row(variable: &Variable, environment: &Environment, written: Option<&Located>, warnings: &[String]) -> Row {
    let Variable { name, fills, weaker_than, meaning } = *variable;
    let value = environment.get(name);
    let about = ["environment variable ", name, ": "].concat();
    let warning = warnings.iter().find_map(|warning| warning.strip_prefix(&about));
    let key = fills.unwrap_or_default();
    let is_written = written.and_then(|written| written.path(&key.split('.').collect::<Vec<_>>())).is_some();
    // Headers and attributes are merged key by key.
    let replaces = is_written && !["export.headers", "resource"].contains(&key);
    let effect = match (value, warning) {
        (None, _) => "not set".to_owned(),
        (Some(_), Some(warning)) => warning.to_owned(),
        (Some(_), None) if replaces => format!("none: the configuration says {key}"),
        (Some(_), None) if weaker_than.is_some_and(|other| environment.get(other).is_some()) => {
            format!("none: {} is set", weaker_than.unwrap_or_default())
        }
        (Some(_), None) if fills.is_some() => format!("fills {key}"),
        (Some(_), None) => "in effect".to_owned(),
    };
    let secret = key == "export.headers";
    let shown = value.map(|value| if secret { "(not shown)".to_owned() } else { value.to_owned() });
    Row { name, fills, meaning, value: shown, effect, bad: warning.is_some() }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(&format!("{}\n    {}\n", row.name, row.meaning));
        match &row.value {
            Some(value) => text.push_str(&format!("    is \"{value}\": {}\n", row.effect)),
            None => text.push_str("    not set\n"),
        }
    }
    text
}
