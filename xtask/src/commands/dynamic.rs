//! What the test command does with the dynamic module: what its threads share is modelled, it is built, its callbacks are looked up in
//! every Envoy that it is promised for, and the stories of real Envoys run with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::artefact::elf::Elf;
use crate::artefact::library;
use crate::commands::build;
use crate::tools::envoy;
use crate::workspace;

/// A program of tests that run with the dynamic module.
pub(crate) struct Suite {
    package: &'static str,
    test: &'static str,
    /// Which of its stories, by how their paths begin; none is all. What else it has is the same with either module, or is told
    /// by the engine's own tests.
    stories: &'static [&'static str],
    /// The library whose hooks panic when they are asked to.
    pub(crate) with_faults: bool,
}

/// Of real Envoys. Each runs with the wasm module as well, but for the last two.
pub(crate) const SUITES: [Suite; 5] = [
    Suite { package: "tracelift-envoy", test: "end_to_end", stories: &[], with_faults: false },
    Suite {
        package: "tracelift-envoy",
        test: "faults",
        stories: &[
            "clock::",
            "collector::a_cluster",
            "collector::a_collector",
            "collector::failures",
            "configuration::",
            "liars::",
            "liars_signal::",
            "process::",
            "quantity::",
        ],
        with_faults: false,
    },
    Suite {
        package: "tracelift-envoy",
        test: "rollout",
        stories: &["change::", "counted::", "ledger::", "dashboards::every_metric"],
        with_faults: false,
    },
    Suite {
        package: "tracelift-envoy",
        test: "dynamic",
        stories: &["exit::", "fetched::", "gateway::", "libraries::", "updates::"],
        with_faults: false,
    },
    Suite { package: "tracelift-envoy", test: "dynamic", stories: &["panics::"], with_faults: true },
];

/// Its traces in X-Ray, which the stage of X-Ray runs.
pub(crate) const XRAY: Suite =
    Suite { package: "tracelift-xray", test: "xray", stories: &["outcomes::", "shop::"], with_faults: false };

/// Stories of these programs that are about the wasm module alone, and why. The test command prints them.
const WASM_ONLY: [(&str, &str); 9] = [
    ("trap::", "a dynamic module has no VM that traps: panics:: puts a panic into each hook instead"),
    (
        "configuration::what_a_replaced_vm_has_on_its_way_is_counted_as_lost",
        "its environment is the process's, which no update changes, and what waits passes to the next configuration",
    ),
    (
        "process::sigterm_does_not_wait_for_a_collector_that_hangs_and_loses_what_it_had_not_acknowledged",
        "with its bootstrap extension Envoy waits for two seconds: exit::",
    ),
    (
        "process::sigterm_before_the_first_export_loses_exactly_what_is_queued",
        "with its bootstrap extension Envoy waits for the answer: exit::",
    ),
    (
        "attributes::one_hostcall_reads_what_many_do_where_envoy_restricts_the_filter",
        "Envoy restricts the hostcalls of a VM, and a dynamic module has callbacks",
    ),
    ("artefact::", "meshes fetch images of the wasm module; the library is a file, or fetched by Envoy: fetched::"),
    ("canary::", "Istio's selectors choose among wasm plugins"),
    ("chart::", "the chart renders manifests of the wasm module"),
    ("manifests::", "as Istio and Envoy Gateway render the wasm module; gateway:: is the dynamic module's"),
];

impl Suite {
    /// Arguments of `cargo test`.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        chosen([self.package, self.test], self.stories, WASM_ONLY.iter().map(|(story, _)| *story))
    }
}

/// Arguments of `cargo test` for those stories of a package's program, but for some; no stories are all.
pub(crate) fn chosen(
    [package, test]: [&'static str; 2],
    stories: &[&'static str],
    left_out: impl Iterator<Item = &'static str>,
) -> Vec<&'static str> {
    let skipped = left_out.flat_map(|story| ["--skip", story]);
    ["--package", package, "--test", test, "--"].into_iter().chain(stories.iter().copied()).chain(skipped).collect()
}

/// Prints what is not run with the dynamic module.
pub(crate) fn print_what_is_left_out() {
    println!("With the wasm module only:");
    for (story, why) in WASM_ONLY {
        println!("  {story} {why}");
    }
}

/// Builds the library, checks it against the earlier Envoys and this one, and returns where it is.
pub(crate) fn checked(envoy: &Path) -> Result<PathBuf> {
    let library = build::dynamic_module()?;
    let earlier = envoy::ensure_earlier()?;
    for envoy in earlier.iter().map(PathBuf::as_path).chain([envoy]) {
        check_callbacks(&library, envoy)?;
    }
    Ok(workspace::dynamic_module())
}

/// Builds the library of the panics, and returns where it is.
pub(crate) fn with_faults() -> Result<PathBuf> {
    let path = workspace::dynamic_module_with_faults();
    build::write_if_changed(&path, &library::build_with_faults()?)?;
    Ok(path)
}

/// The command that runs the models of what Envoy's threads share. Apart, because the flag compiles everything anew.
pub(crate) fn models() -> Command {
    let mut cargo = workspace::native_cargo();
    cargo.args(["test", "--package", workspace::DYNAMIC, "--test", "loom"]);
    cargo.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", workspace::target_dir().join("loom"));
    cargo
}

/// Fails where an Envoy lacks a callback that the library needs.
fn check_callbacks(needs: &Elf, envoy: &Path) -> Result<()> {
    let missing = library::missing(needs, envoy)?;
    if !missing.is_empty() {
        bail!("{} has no {missing:?}, which the dynamic module needs", envoy.display());
    }
    println!("{} has every callback of the dynamic module.", envoy.display());
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

    /// Paths of the stories in a folder of tests, as `module::name`.
    fn stories(folder: &Path) -> Vec<String> {
        let mut stories = Vec::new();
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let Some(module) = file.file_stem().filter(|_| file.extension().is_some_and(|it| it == "rs")) else {
                continue;
            };
            let text = fs::read_to_string(&file).unwrap();
            let is_test = |part: &&str| ["test]", "tokio::test"].iter().any(|attribute| part.starts_with(attribute));
            let tests = text.split("#[").filter(is_test).filter_map(|test| test.split("fn ").nth(1)?.split('(').next());
            stories.extend(tests.map(|name| format!("{}::{name}", module.display())));
        }
        stories
    }

    /// The stories of a folder of tests; each chosen one, by how its path begins, is among them.
    pub(crate) fn stories_with(folder: &Path, chosen: &[&str]) -> Vec<String> {
        let there = stories(folder);
        for story in chosen {
            assert!(there.iter().any(|name| name.starts_with(story)), "{story} in {}", folder.display());
        }
        there
    }

    #[test]
    fn every_story_that_is_chosen_or_left_out_exists() {
        let mut left_out: Vec<_> = WASM_ONLY.iter().map(|(story, _)| *story).collect();
        for Suite { package, test, stories: chosen, .. } in SUITES.iter().chain([&XRAY]) {
            let top = if *package == "tracelift-xray" { "examples/xray" } else { "envoy" };
            let there = stories_with(&workspace::root().join(top).join("tests").join(test), chosen);
            left_out.retain(|story| !there.iter().any(|name| name.starts_with(story)));
        }
        assert_eq!(left_out, Vec::<&str>::new());
    }

    #[test]
    fn every_story_of_the_dynamic_module_alone_runs() {
        let chosen: Vec<_> =
            SUITES.iter().filter(|suite| suite.test == "dynamic").flat_map(|suite| suite.stories).collect();
        for story in stories(&workspace::root().join("envoy/tests/dynamic")) {
            assert!(chosen.iter().any(|chosen| story.starts_with(**chosen)), "{story}");
        }
    }
}
