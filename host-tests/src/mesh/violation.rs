//! What must not happen, and did.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::options::Options;

/// Violations of one kind are told in words up to this many; further ones are counted.
const TOLD: usize = 5;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Virtual time since the start.
    pub at: Duration,
    /// Which.
    pub what: &'static str,
    /// Where, and what was found.
    pub details: String,
}

/// Every violation of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    told: Vec<Violation>,
    counts: BTreeMap<&'static str, usize>,
    command: String,
}

impl Violations {
    pub(crate) fn new(options: &Options) -> Self {
        Self { told: Vec::new(), counts: BTreeMap::new(), command: options.to_string() }
    }

    pub(crate) fn add(&mut self, at: Duration, what: &'static str, details: String) {
        let count = self.counts.entry(what).or_default();
        *count += 1;
        if *count <= TOLD {
            self.told.push(Violation { at, what, details });
        }
    }

    /// Whether everything held.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// The first ones of each kind.
    pub fn first(&self) -> &[Violation] {
        &self.told
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Violation { at, what, details } in &self.told {
            writeln!(f, "after {:.6} s: {what}: {details}", at.as_secs_f64())?;
        }
        for (what, count) in &self.counts {
            writeln!(f, "{count} times: {what}")?;
        }
        write!(f, "To repeat this run: {}", self.command)
    }
}
