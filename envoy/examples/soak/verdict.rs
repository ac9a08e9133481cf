//! What must hold, and whether it did.

use crate::phase::Phase;
use crate::scene::{Line, Loads};
use std::fmt;
use tracelift_envoy::Tally;

/// Above the columns of a line.
pub const HEADINGS: &str = "     s phase              requests    MiB   offered  exported discarded  queued in flight  upgraded      shed  recalled  held KiB  law";

/// What memory may still grow by after the first round of all phases, in bytes.
const GROWTH: u64 = 32 << 20;
/// Lines of the first round, in which pools and arenas come to their size.
const WARM_UP: usize = Phase::ALL.len();

/// Collects what went wrong.
#[derive(Default)]
pub struct Verdict {
    lines: usize,
    /// Most memory of the first round, bytes.
    warm: u64,
    /// Most memory since, bytes.
    most: u64,
    vms: Option<u64>,
    broken: u64,
    /// Phases since the last one in which configurations flapped.
    since_flaps: Option<usize>,
    problems: Vec<String>,
}

impl Verdict {
    /// Judges a line.
    pub fn see(&mut self, line: &Line) {
        self.lines += 1;
        if self.lines <= WARM_UP {
            self.warm = self.warm.max(line.resident);
        }
        self.most = self.most.max(line.resident);
        if !line.stats.ledger().balances() {
            self.problems.push(format!("after {:.0} s: {}", line.at.as_secs_f64(), line.stats.ledger()));
        }
        // When a drain ends Envoy cuts the connections that are left, whether or not a client is just sending: with the
        // filter and without, as `envoy/tests/faults/configuration.rs` shows with a twin. At any other time no request breaks.
        self.since_flaps = if line.phase == Phase::ConfigurationFlaps.name() {
            Some(0)
        } else {
            self.since_flaps.map(|since| since + 1)
        };
        if self.broken < line.broken && self.since_flaps.is_none_or(|since| 1 < since) {
            let broken = line.broken - self.broken;
            self.problems
                .push(format!("{broken} requests broke in the phase that ended after {:.0} s", line.at.as_secs_f64()));
        }
        self.broken = line.broken;
        if Line::held_at_most() < line.held() {
            self.problems.push(format!(
                "after {:.0} s: {} bytes are held for a recall",
                line.at.as_secs_f64(),
                line.held()
            ));
        }
        let vms = line.stats.get("wasm.envoy.wasm.runtime.v8.active");
        if *self.vms.get_or_insert(vms) != vms {
            self.problems.push(format!("after {:.0} s: {vms} VMs; a worker's has trapped", line.at.as_secs_f64()));
        }
    }

    /// Judges the end.
    pub fn conclude(&mut self, last: &Line, tally: &Tally) {
        let ledger = last.stats.ledger();
        if !ledger.is_settled() {
            self.problems.push(format!("spans do not leave at the end: {ledger}"));
        }
        if last.held() != 0 {
            self.problems.push(format!("{} bytes are still held for a recall", last.held()));
        }
        if last.stats.sum("errors.") != 0 {
            self.problems.push(format!("{} hostcalls failed", last.stats.sum("errors.")));
        }
        let recalls = ["recall.released", "recall.requests.answered"].map(|name| last.stats.tracelift(name));
        if WARM_UP <= self.lines && recalls.contains(&0) {
            self.problems.push("nothing was recalled".to_owned());
        }
        if last.received < ledger.exported {
            self.problems.push(format!("{} exported, and the collector has {}", ledger.exported, last.received));
        }
        let failing = Loads::failing(tally.sent());
        let count = |status: u16| tally.statuses.get(&status).copied().unwrap_or(0);
        let (missing, others) = (failing.abs_diff(count(503)), tally.answered() - count(503) - count(200));
        if others != 0 || self.broken < missing || tally.sent() != tally.answered() + self.broken {
            self.problems.push(format!("{failing} requests were to get 503 and all others 200: {tally}"));
        }
        if last.floods.broken.is_some() || last.floods.statuses.keys().any(|status| ![200, 429, 500].contains(status)) {
            self.problems.push(format!("of the floods: {}", last.floods));
        }
        if WARM_UP < self.lines && self.warm + GROWTH < self.most {
            self.problems.push(format!("{} MiB became {} MiB", self.warm >> 20, self.most >> 20));
        }
    }

    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memory: at most {} MiB in the first round, {} MiB in all", self.warm >> 20, self.most >> 20)?;
        if self.broken != 0 {
            writeln!(f, "{} requests met a connection that Envoy cut at the end of a drain", self.broken)?;
        }
        for problem in &self.problems {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        let held =
            "PASSED: every request was answered as it was to be, the span balance held in every reading, memory stayed";
        write!(f, "{}", if self.passed() { held } else { "FAILED" })
    }
}
