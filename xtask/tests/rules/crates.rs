//! The crates under `plugin/`, as Cargo knows them, and which of them may use which.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::source::{self, Found};
use crate::violation::Violation;

/// Folder of the crate that all others may use, and that uses none of them.
const ENGINE: &str = "engine";
const PLUGIN: &str = "plugin";

/// One crate.
pub(crate) struct Crate {
    /// Below `plugin/`.
    pub(crate) folder: String,
    /// Of its library and its programs; not of tests, benches and examples.
    pub(crate) roots: Vec<PathBuf>,
    /// Folders below `plugin/` of the crates that it is built with.
    uses: Vec<String>,
}

impl Crate {
    /// What its own code mentions.
    pub(crate) fn read(&self) -> Vec<Found> {
        let read = |root: &PathBuf| source::read_crate(&top(), root).unwrap_or_else(|error| panic!("{error:#}"));
        self.roots.iter().flat_map(read).collect()
    }

    /// A path as violations show it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(top()).unwrap_or(path).display().to_string()
    }
}

/// The crate that decides.
pub(crate) fn engine() -> Crate {
    let engine = of_the_plugin().into_iter().find(|crate_| crate_.folder == ENGINE);
    engine.unwrap_or_else(|| panic!("the workspace has no crate in {PLUGIN}/{ENGINE}"))
}

/// All crates of the workspace under `plugin/`.
pub(crate) fn of_the_plugin() -> Vec<Crate> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(top());
    let output = cargo.output().expect("Cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("Cargo prints JSON");
    let crates: Vec<Crate> = list(&metadata["packages"]).filter_map(read).collect();
    assert!(!crates.is_empty(), "the workspace has no crate in {PLUGIN}");
    crates
}

fn read(package: &Value) -> Option<Crate> {
    let folder = below_plugin(Path::new(text(&package["manifest_path"])).parent()?)?;
    let is_code =
        |target: &&Value| list(&target["kind"]).all(|kind| !["test", "bench", "example"].contains(&text(kind)));
    let roots = list(&package["targets"]).filter(is_code).map(|target| PathBuf::from(text(&target["src_path"])));
    let is_built_with = |dependency: &&Value| dependency["kind"] != "dev";
    let uses = list(&package["dependencies"])
        .filter(is_built_with)
        .filter_map(|dependency| below_plugin(Path::new(dependency["path"].as_str()?)));
    Some(Crate { roots: roots.collect(), uses: uses.collect(), folder })
}

fn below_plugin(folder: &Path) -> Option<String> {
    Some(folder.strip_prefix(top().join(PLUGIN)).ok()?.display().to_string())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Root of the repository.
fn top() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

fn check(crates: &[Crate]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for crate_ in crates {
        for used in crate_.uses.iter().filter(|used| *used != ENGINE || crate_.folder == ENGINE) {
            let problem =
                format!("depends on {PLUGIN}/{used}; only on {PLUGIN}/{ENGINE} is allowed, and for that on none");
            violations.push(Violation::of(&format!("{PLUGIN}/{}", crate_.folder), problem));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::violation::{assert_each_says, assert_none};

    #[test]
    fn shells_and_tools_use_the_engine_and_not_each_other() {
        assert_none(&check(&of_the_plugin()), "Move what both crates need into the engine.");
    }

    #[test]
    fn planted_dependencies_between_the_crates_are_found() {
        let crate_ = |folder: &str, uses: &[&str]| Crate {
            folder: folder.to_owned(),
            roots: Vec::new(),
            uses: uses.iter().map(|used| (*used).to_owned()).collect(),
        };
        let allowed = [crate_("engine", &[]), crate_("wasm", &["engine"]), crate_("tools", &["engine"])];
        assert_each_says(&check(&allowed), &[]);
        let planted = [crate_("engine", &["wasm"]), crate_("tools", &["engine", "wasm"])];
        assert_each_says(
            &check(&planted),
            &["plugin/engine: depends on plugin/wasm", "plugin/tools: depends on plugin/wasm"],
        );
    }
}
