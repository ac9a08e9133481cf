//! The commands, one file each.

mod bench;
mod build;
mod clean_cache;
mod counts;
mod demo;
mod deny;
mod dynamic;
mod earlier;
mod fuzz;
mod lint;
mod mesh;
mod options;
mod package;
mod playground;
mod python;
mod schema;
mod soak;
mod test;
mod tools;
mod wrapped;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and shows Tracelift. Each command fetches what it lacks and says so.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Xtask {
    #[command(subcommand)]
    pub(crate) command: XtaskCommand,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum XtaskCommand {
    /// Build the module that Envoy loads: target/tracelift.wasm
    ///
    /// Uses the Rust that runs this command when it has the target wasm32-wasip1, else Debian's Rust packages; fetches one of
    /// the two when neither is here. Prints the module's size in bytes, what they are spent on, and its SHA-256. The same
    /// sources give the same bytes wherever the tree is.
    Build(build::Build),
    /// Run everything: lint, build, all tests, and the demo's check
    ///
    /// A stage whose needs failed is skipped; the others all run. The last line is `N passed, M failed`, the sums of all test
    /// binaries; a stage that failed without a failed test counts as one.
    Test(test::Test),
    /// Check formatting, Clippy (native and wasm), Cargo.lock, the published schema and the dependencies
    Lint,
    /// Check the dependencies: licences, sources, doubled versions, known vulnerabilities
    ///
    /// Fetches cargo-deny when there is none. Rules and exceptions are in xtask/deny.toml. Where the list of vulnerabilities cannot
    /// be fetched it says so.
    Deny,
    /// Fuzz every parser, the configuration, OTLP answers and whole streams
    ///
    /// libFuzzer, guided by the branches of the native code, and for streams by those of the release module, which gets a counter
    /// beside each. Ends with a table of inputs tried; fails when one broke something, and says how to keep it as a test.
    Fuzz(fuzz::Fuzz),
    /// Run an Envoy for long under mixed traffic and faults, and judge memory, counters and the span balance
    Soak(soak::Soak),
    /// Run the demo: a shop in a small mesh, its collector, and what you would see
    ///
    /// Builds the module, fetches Envoy when there is none, and runs until Ctrl-C, which leaves no process behind.
    Demo(demo::Demo),
    /// Make the playground, the engine on one page, and serve it
    ///
    /// The page is target/playground/index.html: one file, which also opens without a server and without a network.
    Playground(playground::Playground),
    /// Measure what Tracelift costs: instructions, native benches, real Envoys beside their own tracers, memory
    ///
    /// One report in Markdown at the end, and as JSON in target/bench/bench.json. Everything takes about half an hour, alone on
    /// a machine with two processors or more; `--quick` a few minutes.
    Bench(bench::Bench),
    /// Make a release: the module with version and commit in it, its names apart, its SHA-256, and images for registries
    ///
    /// Writes target/package. Istio and Envoy Gateway fetch the image tagged with the version; pin its digest. Pushing
    /// needs skopeo, and takes the credentials that `skopeo login` or `docker login` left.
    Package(package::Package),
    /// Simulate a mesh of hundreds of Envoys and check what the filter promises; see `cargo xtask mesh --help`
    Mesh(mesh::Mesh),
    /// Write what follows from the plugin's types: the JSON Schema of the configuration, and the reference in docs
    ///
    /// The files are envoy/config.schema.json, docs/configuration.md and docs/telemetry.md.
    Schema {
        /// Write nothing; fail if a file is not what the types say
        #[arg(long)]
        check: bool,
    },
    /// Fetch what is missing (a Rust for wasm, Envoy, moto) and print where everything is
    Tools,
    /// Remove what was fetched into the cache folder
    ///
    /// The folder is $TRACELIFT_CACHE, else $XDG_CACHE_HOME/tracelift or ~/.cache/tracelift.
    CleanCache,
}

impl XtaskCommand {
    /// Runs the command to its end.
    pub(crate) fn execute(self) -> Result<ExitCode> {
        match self {
            Self::Build(build) => build.execute(),
            Self::Test(test) => return Ok(test.execute()), // Has said itself what failed: its last line is for machines.
            Self::Lint => lint::execute(),
            Self::Deny => deny::execute(deny::Advisories::IfThere),
            Self::Fuzz(fuzz) => fuzz.execute(),
            Self::Soak(soak) => soak.execute(),
            Self::Demo(demo) => demo.execute(),
            Self::Playground(playground) => playground.execute(),
            Self::Bench(bench) => bench.execute(),
            Self::Package(package) => package.execute(),
            Self::Mesh(mesh) => mesh.execute(),
            Self::Schema { check } => schema::execute(check),
            Self::Tools => tools::execute(),
            Self::CleanCache => clean_cache::execute(),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}
