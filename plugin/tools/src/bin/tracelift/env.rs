//! `tracelift env`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use tracelift::config::{self, Environment, VARIABLES, Variable};
use tracelift_tools::manifest::{self, INSTEAD, Located, Syntax, unread};

use crate::check::variable;
use crate::{Outcome, file};

/// List the environment variables that the filter reads, their values here and their effect
///
/// "Here" is the environment of this command, and --env. Envoy hands the filter only what `vm_config.environment_variables`
/// names. Variables that SDKs read and the filter does not are listed behind, with what to do instead. The exit code is 1 when
/// a value cannot be used or a name is not known.
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
    name: String,
    fills: Option<&'static str>,
    meaning: String,
    value: Option<String>,
    effect: String,
    #[serde(skip)]
    bad: bool,
}

impl Env {
    /// Prints a table.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        for (name, _) in &self.env {
            if let Some(why) = unread(name) {
                bail!("--env: found {name}; {why}");
            }
            if !VARIABLES.iter().any(|variable| variable.name == name) {
                bail!("--env: found {name}; the filter reads only names that begin with OTEL_ or TRACELIFT_");
            }
        }
        let own = std::env::vars_os();
        let own = own.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let given: Vec<_> = self.env.iter().cloned().chain(own).collect();
        let environment: Environment = given.iter().cloned().collect();
        let text = self.config.as_deref().map_or_else(|| Ok("{}".to_owned()), file::read)?;
        let syntax = self.config.as_deref().map_or(Syntax::Json, |path| Syntax::of(&path.display().to_string()));
        let documents = manifest::documents(&text, syntax).ok();
        let written = documents.and_then(|documents| documents.into_iter().next()).map(|document| document.root);
        let json_text = written.as_ref().map_or_else(|| "{}".to_owned(), Located::to_json);
        // A refused configuration has no warnings; the variables are then shown as beside an empty one.
        let loaded = config::load(json_text.as_bytes(), &environment).or_else(|_| config::load(b"{}", &environment));
        let warnings = loaded.map(|loaded| loaded.warnings).unwrap_or_default();
        let known = VARIABLES.iter().map(|variable| row(variable, &environment, written.as_ref(), &warnings));
        let rows: Vec<_> = known.chain(instead(&environment, &warnings)).chain(unknown(&given)).collect();
        let bad = rows.iter().any(|row| row.bad);
        if json {
            file::print_json(&rows)?
        } else {
            file::print(&table(&rows))?
        }
        Ok(if bad { Outcome::Findings } else { Outcome::Fine })
    }
}

/// Those that people set first, and what to do in their place.
fn instead(environment: &Environment, warnings: &[String]) -> impl Iterator<Item = Row> {
    INSTEAD.iter().map(move |(name, meaning)| {
        let value = environment.get(name).map(str::to_owned);
        let effect = if value.is_some() { "none: the filter does not read it" } else { "not set" };
        let bad = warnings.iter().any(|warning| warning.starts_with(&["environment variable ", name, ":"].concat()));
        Row {
            name: (*name).to_owned(),
            fills: None,
            meaning: (*meaning).to_owned(),
            value,
            effect: effect.to_owned(),
            bad,
        }
    })
}

/// Names that begin like ours and are not known. Their values may be secrets.
fn unknown(given: &[(String, String)]) -> impl Iterator<Item = Row> {
    let known = |name: &str| INSTEAD.iter().any(|(known, _)| *known == name);
    given.iter().filter(move |(name, _)| !known(name)).filter_map(|(name, _)| {
        let why = unread(name)?;
        let (meaning, value) = ("Not known.".to_owned(), Some("(not shown)".to_owned()));
        Some(Row { name: name.clone(), fills: None, meaning, value, effect: format!("none: {why}"), bad: true })
    })
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
    let secret = [
        "export.headers",
        "force.keys",
        "sampling.session.key",
        "upgrade.recall.token",
        "upgrade.recall.previous_token",
        "upgrade.applications.token",
    ]
    .contains(&key);
    let shown = value.map(|value| if secret { "(not shown)".to_owned() } else { value.to_owned() });
    Row { name: name.to_owned(), fills, meaning: meaning.to_owned(), value: shown, effect, bad: warning.is_some() }
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
