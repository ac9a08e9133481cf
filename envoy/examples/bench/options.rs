//! The command line. `cargo xtask bench` reads this file too, so that help needs no build: nothing but clap in here.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What Tracelift costs a real Envoy, beside what Envoy has built in, and the report of all levels
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub struct Options {
    /// A level to report; may be given more than once [default: all]
    #[arg(long, value_name = "LEVEL")]
    pub level: Vec<Level>,
    /// A few minutes instead of half an hour: fewer rounds, wider intervals
    #[arg(long)]
    pub quick: bool,
    /// Times that all Envoys are started afresh
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub blocks: Option<u16>,
    /// Rounds of each scene in a block
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: Option<u16>,
    /// Requests that each variant gets in a round, or in each half of what Valgrind counts
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    pub requests: Option<u32>,
    /// Only variants whose name contains this, and those that they are compared with; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Only scenes whose name contains this: direct, upstream, HTTP/1.1, HTTP/2
    #[arg(long, value_name = "TEXT")]
    pub scene: Option<String>,
    /// With `callgrind`, also what single hostcalls cost an Envoy
    #[arg(long)]
    pub steps: bool,
    /// Another build to compare with the one just built, wasm or dynamic module; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub against: Vec<PathBuf>,
}

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Fuel and hostcalls, counted exactly on Wasmtime
    Instructions,
    /// Native benches of the hot paths
    Micro,
    /// Processor time of real Envoys
    Envoy,
    /// Memory of real Envoys, and their start
    Memory,
    /// Throughput and memory of Envoys with 1 to 8 workers
    Workers,
    /// Processor time of a worker's tick in real Envoys, with and without request metrics
    Ticks,
    /// Instructions of real Envoys, counted by Valgrind: repeatable where time is not
    Callgrind,
}

impl Options {
    /// Whether this level is asked for.
    pub fn wants(&self, level: Level) -> bool {
        self.level.is_empty() || self.level.contains(&level)
    }
}
