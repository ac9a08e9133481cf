//! The crates whose code is in the modules, as Cargo resolves them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{run, workspace};

/// The modules that go out, and what they are compiled for; one architecture stands for those of the dynamic module.
pub(crate) const MODULES: [(&str, &str); 2] =
    [(workspace::MODULE, "wasm32-wasip1"), (workspace::DYNAMIC, "x86_64-unknown-linux-gnu")];
/// How the names of files with a licence or a notice begin, in capitals.
const BEGINNINGS: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A crate of others whose code is in a module.
#[derive(Clone, Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    pub(crate) repository: String,
    /// Of its archive in the registry, as `Cargo.lock` has it.
    pub(crate) sha256: String,
    /// Names and texts of its files with a licence, in order.
    pub(crate) texts: Vec<(String, String)>,
}

/// What a module consists of, by names and versions such as `prost 0.14.1`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Ours and those of others, each with what it depends on directly.
    pub(crate) depends: BTreeMap<String, BTreeSet<String>>,
    /// Those of this workspace.
    pub(crate) ours: BTreeSet<String>,
}

impl Tree {
    /// Of a module for a target, with the features that it has, but for what runs at build time. `cargo metadata` has the features of
    /// the whole workspace, and more crates with them.
    pub(crate) fn of(module: &str, target: &str) -> Result<Self> {
        let mut cargo = workspace::native_cargo();
        cargo.args(["tree", "--locked", "-p", module, "--target", target]);
        cargo.args(["-e", "normal,no-proc-macro", "--prefix", "depth", "--format", ";{p}"]);
        Self::read(&run::output(&mut cargo)?)
    }

    /// Lines such as `2;prost v0.14.1`: how deep, and which; behind ours their folder, behind those that stand above `(*)`.
    fn read(lines: &str) -> Result<Self> {
        let mut tree = Self::default();
        let mut above: Vec<String> = Vec::new();
        for line in lines.lines() {
            let (depth, package) = line.split_once(';').with_context(|| format!("cargo tree wrote {line:?}"))?;
            let depth: usize = depth.parse().with_context(|| format!("cargo tree wrote {line:?}"))?;
            let package = package.trim_end_matches(" (*)");
            let (titled, folder) = package.split_once(" (").map_or((package, ""), |(titled, folder)| (titled, folder));
            let name = titled.replacen(" v", " ", 1);
            if !folder.is_empty() {
                tree.ours.insert(name.clone());
            }
            above.truncate(depth);
            if let Some(parent) = above.last() {
                tree.depends.entry(parent.clone()).or_default().insert(name.clone());
            }
            tree.depends.entry(name.clone()).or_default();
            above.push(name);
        }
        Ok(tree)
    }

    /// Those of others.
    pub(crate) fn others(&self) -> impl Iterator<Item = &String> {
        self.depends.keys().filter(|name| !self.ours.contains(*name))
    }
}

/// Every crate of others in any of the modules, in order.
pub(crate) fn of_modules() -> Result<Vec<Crate>> {
    let mut names = BTreeSet::new();
    for (module, target) in MODULES {
        names.extend(Tree::of(module, target)?.others().cloned());
    }
    described(&names)
}

/// The crates of these names and versions, in order.
pub(crate) fn described(names: &BTreeSet<String>) -> Result<Vec<Crate>> {
    let mut cargo = workspace::native_cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    for (_, target) in MODULES {
        cargo.args(["--filter-platform", target]);
    }
    let metadata: Value = serde_json::from_str(&run::output(&mut cargo)?).context("cargo metadata wrote no JSON")?;
    let sums = sums(&fs::read_to_string(workspace::root().join("Cargo.lock")).context("could not read Cargo.lock")?);
    names.iter().map(|name| read(name, &metadata, &sums)).collect()
}

/// Checksums of a `Cargo.lock`, by names and versions.
fn sums(lock: &str) -> BTreeMap<String, String> {
    let packages = lock.split("[[package]]").filter_map(|package| {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
            line.strip_suffix('"')
        };
        Some((format!("{} {}", value("name")?, value("version")?), value("checksum")?.to_owned()))
    });
    packages.collect()
}

fn read(title: &str, metadata: &Value, sums: &BTreeMap<String, String>) -> Result<Crate> {
    let is_it = |package: &&Value| format!("{} {}", text(&package["name"]), text(&package["version"])) == title;
    let package = metadata["packages"].as_array().into_iter().flatten().find(is_it);
    let package = package.with_context(|| format!("cargo metadata does not describe {title}"))?;
    let folder = Path::new(text(&package["manifest_path"])).parent().context("a manifest is in a folder")?;
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let is_licence = BEGINNINGS.iter().any(|beginning| file.to_ascii_uppercase().starts_with(beginning));
        if is_licence && entry.file_type()?.is_file() {
            texts.push((file, fs::read_to_string(entry.path())?.replace("\r\n", "\n")));
        }
    }
    if texts.is_empty() {
        bail!("{title} has no file with its licence, which must go with the module");
    }
    texts.sort();
    Ok(Crate {
        name: text(&package["name"]).to_owned(),
        version: text(&package["version"]).to_owned(),
        licence: text(&package["license"]).to_owned(),
        repository: text(&package["repository"]).to_owned(),
        sha256: sums.get(title).with_context(|| format!("Cargo.lock has no checksum of {title}"))?.clone(),
        texts,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_says_who_depends_on_whom_and_which_are_ours() {
        let tree = Tree::read(
            "0;shell v0.2.0 (/a/folder)\n1;engine v0.2.0 (/another)\n2;prost v0.14.1\n3;bytes v1.2.3\n1;prost v0.14.1 (*)\n",
        )
        .unwrap();
        let of = |name: &str| tree.depends[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("shell 0.2.0"), ["engine 0.2.0", "prost 0.14.1"]);
        assert_eq!(of("engine 0.2.0"), ["prost 0.14.1"]);
        assert_eq!(of("prost 0.14.1"), ["bytes 1.2.3"]);
        assert_eq!(tree.others().collect::<Vec<_>>(), ["bytes 1.2.3", "prost 0.14.1"]);
        assert!(Tree::read("error: nothing here").is_err());
    }

    #[test]
    fn a_checksum_is_that_of_its_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\n\n\
            [[package]]\nname = \"a\"\nversion = \"2.0.0\"\nchecksum = \"bb\"\n\n[[package]]\nname = \"ours\"\nversion = \"0.2.0\"\n";
        let sums = sums(lock);
        assert_eq!((sums.len(), sums["a 1.0.0"].as_str(), sums["a 2.0.0"].as_str()), (2, "aa", "bb"));
    }
}
