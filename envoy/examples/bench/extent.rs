//! How much is measured, by what was asked for.

use crate::callgrind;
use crate::options::Options;
use crate::rounds::Extent;
use crate::workers;

impl Options {
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

    /// How much the level of many workers measures.
    pub fn crowd(&self) -> workers::Extent {
        let (rounds, requests) = if self.quick { (4, 8_000) } else { (12, 24_000) };
        workers::Extent {
            rounds: self.rounds.map_or(rounds, usize::from),
            requests: self.requests.map_or(requests, |requests| requests as usize),
        }
    }

    /// Bursts of requests after which the level of ticks watches.
    pub fn bursts(&self) -> usize {
        if self.quick { 1 } else { 4 }
    }

    /// Requests of the memory level, and starts.
    pub fn weights(&self) -> (usize, usize) {
        if self.quick { (20_000, 3) } else { (200_000, 7) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Level;
    use clap::Parser;

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
