//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::callgrind;
use crate::rounds::Extent;

/// What Tracelift costs a real Envoy, beside what Envoy has built in, and the report of all levels
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub struct Options {
    /// A level to report; may be given more than once [default: all]
    #[arg(long, value_name = "LEVEL")]
    pub level: Vec<Level>,
    /// A few minutes instead of half an hour: fewer rounds, wider intervals
    #[arg(long)]
    quick: bool,
    /// Times that all Envoys are started afresh
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    blocks: Option<u16>,
    /// Rounds of each scene in a block
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Requests that each variant gets in a round, or in each half of what Valgrind counts
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    requests: Option<u32>,
    /// Only variants whose name contains this, and the two that are compared with; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Only scenes whose name contains this: direct, upstream, HTTP/1.1, HTTP/2
    #[arg(long, value_name = "TEXT")]
    pub scene: Option<String>,
    /// With `callgrind`, also what single hostcalls cost an Envoy
    #[arg(long)]
    pub steps: bool,
    /// Another module to compare with the one just built; may be given more than once
    #[arg(long, value_name = "WASM")]
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
    /// Instructions of real Envoys, counted by Valgrind: repeatable where time is not
    Callgrind,
}

impl Options {
    /// Whether this level is asked for.
    pub fn wants(&self, level: Level) -> bool {
        self.level.is_empty() || self.level.contains(&level)
    }

    /// How much is measured.
    pub fn extent(&self) -> Extent {
        let (blocks, rounds, requests) = if self.quick { (1, 6, 2_000) } else { (3, 8, 8_000) };
        Extent {
            blocks: self.blocks.map_or(blocks, usize::from),
            rounds: self.rounds.map_or(rounds, usize::from),
            requests: self.requests.map_or(requests, |requests| requests as usize),
            lanes: 64,
        }
    }

    /// How much the level of Valgrind counts.
    pub fn counted(&self) -> callgrind::Extent {
        let requests = if self.quick { 500 } else { 1_500 };
        callgrind::Extent {
            warm_up: 800,
            requests: self.requests.map_or(requests, |requests| requests as usize),
            lanes: 16,
        }
    }

    /// Requests of the memory level, and starts.
    pub fn weights(&self) -> (usize, usize) {
        if self.quick { (20_000, 3) } else { (200_000, 7) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_run_has_the_pairs_that_a_figure_needs() {
        let options = Options::try_parse_from(["bench"]).unwrap();
        let Extent { blocks, rounds, .. } = options.extent();
        assert!(24 <= blocks * rounds && options.wants(Level::Memory));
        let quick = Options::try_parse_from(["bench", "--quick", "--rounds", "2", "--level", "envoy"]).unwrap();
        assert_eq!((quick.extent().rounds, quick.wants(Level::Micro)), (2, false));
        assert!(Options::try_parse_from(["bench", "--requests", "0"]).is_err());
    }

    #[test]
    fn valgrind_counts_less_when_it_is_to_be_quick_and_what_is_asked_for_when_a_number_is_named() {
        let parse =
            |args: &[&str]| Options::try_parse_from([&["bench", "--level", "callgrind"], args].concat()).unwrap();
        let (whole, quick, named) =
            (parse(&["--steps"]), parse(&["--quick"]), parse(&["--quick", "--requests", "200"]));
        assert!(whole.steps && !quick.steps && whole.wants(Level::Callgrind) && !whole.wants(Level::Envoy));
        assert!(quick.counted().requests < whole.counted().requests);
        assert_eq!((named.counted().requests, named.counted().warm_up), (200, whole.counted().warm_up));
    }
}
