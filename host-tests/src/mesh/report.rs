//! What a run says in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::causes::Cause;
use super::digest::Digest;
use super::lies::Lies;
use super::options::Options;
use super::recall::Messages;
use super::topology::HOLD;
use super::violation::Violations;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// What did not hold.
    pub violations: Violations,
    /// Of everything that happened; the same for the same options and module.
    pub digest: Digest,
    /// What was counted.
    pub figures: Figures,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// From the first request to the last export.
    pub virtual_time: Duration,
    /// Requests from outside.
    pub requests: usize,
    /// Streams through a filter.
    pub hops: usize,
    /// Envoys with the filter.
    pub filters: usize,
    /// Traces; an application that carries no context on begins new ones.
    pub traces: usize,
    /// Traces that the head sampled.
    pub sampled_traces: usize,
    /// Traces that the head dropped, of which a failure was kept.
    pub error_traces: usize,
    /// Of those: the ones of which every hop was kept.
    pub whole: Share,
    /// Hops above a failure.
    pub ancestors: Share,
    /// Hops above a failure that an answer or the other listener could tell.
    pub reached: Share,
    /// Why the others could not be told.
    pub causes: BTreeMap<Cause, usize>,
    /// Every other hop of these traces that had not failed itself.
    pub siblings: Share,
    /// Of the siblings that were not kept: those in Envoys that never knew of the upgrade.
    pub unknown: usize,
    /// Spans that arrived at the collector.
    pub spans: usize,
    /// Triggers that a budget did not admit.
    pub shed: u64,
    /// Signals that were not believed.
    pub refused: u64,
    /// Spans that were discarded and counted so.
    pub discarded: u64,
    /// What liars did.
    pub lies: Lies,
    /// Recall requests between Envoys.
    pub messages: Messages,
    /// Bytes of a span that is held for a recall, on average.
    pub bytes_held: f64,
    /// Held spans that made room for newer ones.
    pub evicted: u64,
    /// Calls whose instance could not be asked in time.
    pub unasked: u64,
    /// Calls of SDKs that had recorded nothing.
    pub parents: Parents,
    /// VMs that trapped.
    pub traps: u32,
    /// The largest memory of a VM, in bytes.
    pub largest_memory: u64,
}

/// What became of spans whose parent an SDK had not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parents {
    /// They hang below a request of their pod.
    pub found: u64,
    /// Several requests could be meant.
    pub ambiguous: u64,
    /// None was known in time.
    pub unknown: u64,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that were kept.
    pub kept: usize,
    /// All of them.
    pub all: usize,
}

impl Share {
    /// In percent; 100 where there is nothing.
    pub fn percent(self) -> f64 {
        if self.all == 0 { 100.0 } else { 100.0 * self.kept as f64 / self.all as f64 }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} % ({} of {})", self.percent(), self.kept, self.all)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.figures;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, value: String| writeln!(f, "{name:<50} {value}");
        line(f, "Envoys with the filter", it.filters.to_string())?;
        line(f, "requests from outside, hops through a filter", format!("{}, {}", it.requests, it.hops))?;
        line(f, "virtual time", format!("{:.1} s", it.virtual_time.as_secs_f64()))?;
        line(f, "traces, sampled by the head", format!("{}, {}", it.traces, it.sampled_traces))?;
        line(f, "dropped traces with a failure that was kept", it.error_traces.to_string())?;
        line(f, "  hops above it that can be reached, kept", it.reached.to_string())?;
        line(f, "  all hops above it, kept", it.ancestors.to_string())?;
        for (cause, name) in Cause::NAMES {
            let count = it.causes.get(&cause).copied().unwrap_or(0);
            if 0 < count {
                line(f, &format!("    not: {name}"), count.to_string())?;
            }
        }
        line(f, "  their siblings, kept", it.siblings.to_string())?;
        if self.options.recall && it.siblings.kept < it.siblings.all {
            line(f, "    not: their Envoy could not be asked", it.unknown.to_string())?;
            line(f, "    not: no longer held there", (it.siblings.all - it.siblings.kept - it.unknown).to_string())?;
        }
        line(f, "  traces of which every hop was kept", it.whole.to_string())?;
        line(f, "spans at the collector, of all hops", format!("{} ({:.2} %)", it.spans, self.exported_percent()))?;
        line(f, "triggers shed, signals refused", format!("{}, {}", it.shed, it.refused))?;
        line(f, "spans discarded and counted", it.discarded.to_string())?;
        if 0.0 < self.options.liars {
            let Lies { pods, answers, believed, hidden, chosen, sampled, recalls, joins_refused } = it.lies;
            line(f, "pods that lie, in how many answers", format!("{pods}, {answers}"))?;
            line(f, "  hops kept, failures shed because of them", format!("{believed}, {hidden}"))?;
            line(f, "requests with ids of choice, sampled", format!("{chosen}, {sampled}"))?;
            line(f, "recalls that they sent", recalls.to_string())?;
            line(f, "requests of upgraded traces beyond their bound", joins_refused.to_string())?;
        }
        if self.options.recall {
            let Messages { sent, lost, .. } = it.messages;
            let each = self.messages_per_upgrade();
            line(f, "recall requests, lost, per trace upgraded", format!("{sent}, {lost}, {each:.2}"))?;
            let held = format!("{:.0} KiB", self.held_bytes_per_thousand() / 1024.0);
            line(f, "held per 1,000 dropped streams a second", format!("{held} ({:.0} bytes a span)", it.bytes_held))?;
            line(f, "held spans evicted, calls never asked", format!("{}, {}", it.evicted, it.unasked))?;
        }
        let Parents { found, ambiguous, unknown } = it.parents;
        line(f, "parents not recorded: found, ambiguous, unknown", format!("{found}, {ambiguous}, {unknown}"))?;
        line(f, "VMs that trapped", it.traps.to_string())?;
        line(f, "largest VM", format!("{} KiB", it.largest_memory / 1024))?;
        line(f, "digest", self.digest.to_string())?;
        if self.violations.is_empty() {
            return writeln!(f, "every invariant held");
        }
        writeln!(f, "\nVIOLATIONS\n{}", self.violations)
    }
}

impl Report {
    /// Recall requests for each trace that a failure kept.
    pub fn messages_per_upgrade(&self) -> f64 {
        self.figures.messages.sent as f64 / self.figures.error_traces.max(1) as f64
    }

    /// Bytes that are held where 1,000 streams a second are dropped.
    pub fn held_bytes_per_thousand(&self) -> f64 {
        self.figures.bytes_held * 1000.0 * HOLD.as_secs_f64()
    }

    /// Spans that were exported, of all that sampling everything would have exported.
    pub fn exported_percent(&self) -> f64 {
        100.0 * self.figures.spans as f64 / self.figures.hops.max(1) as f64
    }
}
