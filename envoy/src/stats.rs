//! Envoy's counters and gauges, and the ledger of spans they must balance.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;

/// What the filter's names start with on `/stats`, as a wasm module and as a dynamic module. An Envoy has one of the two.
const PREFIXES: [&str; 2] = ["wasmcustom.tracelift.", "dynamicmodulescustom.tracelift."];

/// One reading of `/stats`: counters and gauges by their full name. Histograms and texts are left out.
#[derive(Clone, Debug, Default)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads the text form, `name: value` on each line.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    Some((name.to_owned(), value.trim().parse().ok()?))
                })
                .collect(),
        )
    }

    /// A counter or gauge by its full name; 0 when Envoy has not made it yet.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// One of the filter's own by its short name, such as `spans.offered`.
    pub fn tracelift(&self, name: &str) -> u64 {
        PREFIXES.iter().map(|prefix| self.get(&format!("{prefix}{name}"))).sum()
    }

    /// The filter's own whose short names start with `prefix`, by the rest of the name.
    pub fn family<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        PREFIXES.iter().flat_map(move |ours| {
            let full = format!("{ours}{prefix}");
            self.0
                .range(full.clone()..)
                .map_while(move |(name, value)| name.strip_prefix(full.as_str()).map(|rest| (rest, *value)))
        })
    }

    /// Sum over [`Self::family`].
    pub fn sum(&self, prefix: &str) -> u64 {
        self.family(prefix).map(|(_, value)| value).sum()
    }

    /// Every counter and gauge.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The filter's account of its spans.
    pub fn ledger(&self) -> Ledger {
        Ledger {
            offered: self.tracelift("spans.offered"),
            exported: self.tracelift("spans.exported"),
            discarded: self.sum("spans.discarded."),
            queued: self.tracelift("queue.spans"),
            in_flight: self.tracelift("exports.in_flight_spans"),
        }
    }
}

/// Where every span that was offered for export is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Spans that were to be exported.
    pub offered: u64,
    /// Taken by the collector.
    pub exported: u64,
    /// Lost, for any reason.
    pub discarded: u64,
    /// Waiting in a queue.
    pub queued: u64,
    /// In a batch whose answer is awaited, or that waits for its next try.
    pub in_flight: u64,
}

impl Ledger {
    /// The conservation law: no span is lost without a count.
    pub fn balances(&self) -> bool {
        self.offered == self.exported + self.discarded + self.queued + self.in_flight
    }

    /// Nothing waits any more, so the account is final until the next request.
    pub fn is_settled(&self) -> bool {
        self.queued == 0 && self.in_flight == 0 && self.balances()
    }
}

impl Sum for Ledger {
    fn sum<I: Iterator<Item = Self>>(ledgers: I) -> Self {
        ledgers.fold(Self::default(), |a, b| Self {
            offered: a.offered + b.offered,
            exported: a.exported + b.exported,
            discarded: a.discarded + b.discarded,
            queued: a.queued + b.queued,
            in_flight: a.in_flight + b.in_flight,
        })
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, exported, discarded, queued, in_flight } = self;
        write!(
            f,
            "{offered} offered = {exported} exported + {discarded} discarded + {queued} queued + {in_flight} in flight"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_skips_histograms() {
        let stats = Stats::parse(
            "wasmcustom.tracelift.spans.discarded.queue_full: 2\nwasmcustom.tracelift.spans.discarded.refused: 1\n\
             wasmcustom.tracelift.spans.exported: 4\nwasmcustom.tracelift.spans.offered: 7\n\
             wasmcustom.tracelift.exports.duration_ms: P0(nan,1) P25(nan,1.1)\nserver.state: 0\n",
        );
        assert_eq!(stats.tracelift("spans.offered"), 7);
        assert_eq!(stats.sum("spans.discarded."), 3);
        assert!(stats.ledger().is_settled(), "{}", stats.ledger());
        assert_eq!(stats.iter().count(), 5);
    }
}
