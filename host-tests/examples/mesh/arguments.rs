//! The command line. `cargo xtask mesh` reads this file too, so that help needs no build: nothing but clap in here.

use clap::Parser;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

/// How much may go wrong.
pub const TROUBLES: [&str; 3] = ["calm", "everyday", "storm"];
/// What may be broken on purpose.
pub const SABOTAGES: [&str; 12] = [
    "signal-eaten",
    "table-forgets",
    "sampled-forged",
    "spans-stolen",
    "books-cooked",
    "budget-ignored",
    "memory-unbounded",
    "recall-ignored",
    "recall-disowned",
    "edge-open",
    "sdk-believed",
    "stale-parents",
];

/// Simulate a mesh of Envoys with the release module in each, and check what the filter promises
///
/// Virtual time, one seed, no network: the same options give the same run. Fails when an invariant does not hold, and then
/// prints the command that repeats the run.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask mesh", bin_name = "cargo xtask mesh")]
pub struct Arguments {
    /// Seed of every choice; a fresh one unless given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Sidecars
    #[arg(long, default_value_t = 200)]
    pub pods: usize,
    /// Requests from outside
    #[arg(long, default_value_t = 10_000)]
    pub requests: usize,
    /// Share of the traces that the head samples
    #[arg(long, default_value_t = 0.01)]
    pub ratio: f64,
    /// Upgrades a second of each Envoy; 1000 unless given, 5 in a storm
    #[arg(long)]
    pub budget: Option<u32>,
    /// What the simulation injects: failures alone (calm), all that goes wrong in a mesh, crashes of VMs included (everyday),
    /// or that and services that fail whole (storm)
    #[arg(long, default_value = "everyday", value_parser = words(TROUBLES))]
    pub trouble: String,
    /// Let pods ask those that they called for what they hold: without it siblings of a failure stay dropped
    #[arg(long)]
    pub recall: bool,
    /// Share of the clients, and of the applications in pods, that lie, such as 0.3: they send trace-ids and randomness of
    /// their choice, write marks on their answers that no filter wrote, and ask others for what is not theirs
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub liars: f64,
    /// Let filters differ from pod to pod, as while a mesh is changed: a third of them is wrapped in Envoy's matcher
    #[arg(long)]
    pub mixed: bool,
    /// A module for another third, such as that of an earlier release; with `--mixed`
    #[arg(long, value_name = "FILE", requires = "mixed")]
    pub other: Option<std::path::PathBuf>,
    /// Break something on purpose, to see that it is found
    #[arg(long, value_parser = words(SABOTAGES))]
    pub sabotage: Option<String>,
    /// Run meshes of 10, 50, 200 and 500 pods, and print how the figures grow
    #[arg(long)]
    pub growth: bool,
}

fn words<const N: usize>(names: [&'static str; N]) -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(names)
}
