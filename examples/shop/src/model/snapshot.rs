//! One moment of the model, as the page gets it in JSON and the terminal prints it.

use super::bill::{Bill, Cost, DOLLARS_PER_MILLION, PRICE_READ};
use super::completeness::Tally;
use super::{Model, Requests, Settings, waterfall};
use crate::mesh::{Counted, GATEWAY};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

/// All that the views show.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The command line.
    pub settings: Settings,
    /// Seconds since the first request.
    pub uptime_s: f64,
    /// As the clients counted.
    pub requests: Requests,
    /// Recorded traces.
    pub traces: TraceCounts,
    /// Hops that saw a failure or are above one.
    pub hops: Counts,
    /// Failed requests, complete when each of these hops is at the collector.
    pub complete: Counts,
    /// Upgraded hops by trigger, all Envoys.
    pub upgrades: BTreeMap<String, u64>,
    /// Triggers that the budget did not admit, all Envoys.
    pub shed: u64,
    /// Three ways to sample this traffic.
    pub bill: Bill,
    /// Where the price comes from.
    pub price: Price,
    /// Each Envoy, the gateway first.
    pub envoys: Vec<EnvoyRow>,
    /// The latest failed traces, newest first.
    pub failed: Vec<FailedTrace>,
}

/// Recorded traces and spans.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TraceCounts {
    /// Requests that are no probes.
    pub seen: u64,
    /// Recorded, whole or in part.
    pub recorded: u64,
    /// Sampled by the head at the gateway.
    pub head_sampled: u64,
    /// Recorded because of a failure alone.
    pub upgraded: u64,
    /// Spans at the collector.
    pub spans: u64,
}

/// What failed against what is at the collector.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counts {
    /// All.
    pub failed: u64,
    /// At the collector.
    pub kept: u64,
    /// On its way.
    pub pending: u64,
    /// Did not come in time.
    pub missing: u64,
}

impl From<Tally> for Counts {
    fn from(Tally { kept, pending, missing }: Tally) -> Self {
        Self { failed: kept + pending + missing, kept, pending, missing }
    }
}

/// The unit price.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Price {
    /// US dollars per million traces recorded.
    pub dollars_per_million: f64,
    /// Year and month of the price page.
    pub read: &'static str,
}

/// One Envoy's counters.
#[derive(Clone, Debug, Serialize)]
pub struct EnvoyRow {
    /// Whose.
    pub name: String,
    /// Requests that the filter saw.
    pub requests: u64,
    /// Sampled by the head.
    pub sampled: u64,
    /// Dropped by the head and upgraded.
    pub upgraded: u64,
    /// Spans acknowledged by the collector.
    pub exported: u64,
    /// Spans lost, for any reason.
    pub discarded: u64,
    /// Spans in the queue or in flight.
    pub waiting: u64,
    /// offered = exported + discarded + queued + in flight.
    pub balances: bool,
}

/// A trace with a trigger.
#[derive(Clone, Debug, Serialize)]
pub struct FailedTrace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The request's line.
    pub request: String,
    /// What went wrong, in words.
    pub what: String,
    /// What the client got.
    pub status: Option<u16>,
    /// When its first span began, Unix milliseconds.
    pub at_unix_ms: u64,
    /// From the first start to the last end.
    pub duration_ms: f64,
    /// The head had sampled it anyway.
    pub head_sampled: bool,
    /// Its spans.
    pub rows: Vec<waterfall::Row>,
}

impl Model {
    /// This moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let elapsed = self.elapsed(now);
        let Requests { answered, probes, .. } = self.requests;
        let seen = answered - probes;
        let recorded = self.traces.recorded();
        let head_sampled = self.counted.get(GATEWAY).map_or(0, Counted::head_sampled);
        let mut upgrades = BTreeMap::new();
        for (trigger, count) in self.counted.values().flat_map(|counted| &counted.upgrades) {
            *upgrades.entry(trigger.clone()).or_insert(0) += count;
        }
        let mut envoys: Vec<_> = self.counted.iter().map(|(name, counted)| envoy_row(name, counted)).collect();
        let place =
            |name: &str| ["gateway", "storefront", "cart", "catalog", "payment"].iter().position(|n| *n == name);
        envoys.sort_by_key(|row| place(&row.name));
        Snapshot {
            settings: self.settings.clone(),
            uptime_s: elapsed.as_secs_f64(),
            requests: self.requests,
            traces: TraceCounts {
                seen,
                recorded,
                head_sampled,
                upgraded: recorded.saturating_sub(head_sampled),
                spans: self.traces.spans(),
            },
            hops: self.hops.hops().into(),
            complete: self.hops.traces().into(),
            upgrades,
            shed: self.counted.values().map(|counted| counted.shed).sum(),
            bill: Bill {
                everything: Cost::of(seen, elapsed),
                head_only: Cost::of(head_sampled, elapsed),
                tracelift: Cost::of(recorded, elapsed),
            },
            price: Price { dollars_per_million: DOLLARS_PER_MILLION, read: PRICE_READ },
            envoys,
            failed: self.failed_traces(now),
        }
    }

    fn failed_traces(&self, now: Instant) -> Vec<FailedTrace> {
        let described = self.traces.failed(now).map(|(trace_id, spans)| {
            let known = self.known.get(&trace_id);
            let client_span = known.and_then(|known| known.visit.context).map(|context| context.span_id);
            let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
            let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
            FailedTrace {
                trace_id: format!("{trace_id:032x}"),
                request: known.map(|known| known.visit.line()).unwrap_or_default(),
                what: known.and_then(|known| known.visit.fault).map_or("not planned", |fault| fault.label()).to_owned(),
                status: known.and_then(|known| known.status),
                at_unix_ms: start / 1_000_000,
                duration_ms: end.saturating_sub(start) as f64 / 1e6,
                head_sampled: known.is_some_and(|known| known.sampled),
                rows: waterfall::rows(spans, client_span),
            }
        });
        let mut failed: Vec<_> = described.collect();
        failed.sort_by_key(|trace| Reverse(trace.at_unix_ms));
        failed
    }
}

fn envoy_row(name: &str, counted: &Counted) -> EnvoyRow {
    let ledger = counted.ledger;
    EnvoyRow {
        name: name.to_owned(),
        requests: counted.decisions(),
        sampled: counted.head_sampled(),
        upgraded: counted.upgrades.values().sum(),
        exported: ledger.exported,
        discarded: ledger.discarded,
        waiting: ledger.queued + ledger.in_flight,
        balances: ledger.balances(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Plan};
    use crate::span::Kind;
    use crate::testing::{arrival, call, span};
    use crate::truth::{Answered, Call, Event, Outcome};
    use std::time::Duration;

    const SETTINGS: Settings = Settings { ratio: 0.01, rate: 30.0, failures: 1.0, seed: 1 };

    /// Two requests that failed in the catalog, and the spans of the first.
    fn a_model(start: Instant) -> Model {
        let mut model = Model::new(SETTINGS, start);
        let plan = Plan { seed: 1, failures: 1.0 };
        let status = |number: u64| Ok(plan.visit(number).expected_status());
        let crashes = (0..).filter(|number| plan.visit(*number).fault == Some(Fault::CatalogCrash));
        for (number, trace_id) in crashes.zip([7, 8]) {
            if trace_id == 7 {
                let call = call("storefront", "catalog", 7, 3, Outcome::Status(500));
                model.note(start, &Event::Call(Call { visit: number, ..call }));
            }
            let mut seen = arrival("storefront", trace_id, 3, Outcome::Status(502));
            seen.visit = number;
            model.note(start, &Event::Arrival(seen));
            model.note(
                start,
                &Event::Answered(Answered { visit: plan.visit(number), status: status(number), signal: None }),
            );
        }
        model.receive(
            start + Duration::from_secs(1),
            [
                span("gateway", Kind::Server, 7, 1, None).upgraded(502).ms(0, 9).build(),
                span("gateway", Kind::Client, 7, 2, Some(1)).upgraded(502).ms(0, 9).build(),
                span("storefront", Kind::Server, 7, 3, Some(2)).upgraded(502).ms(1, 8).build(),
                span("storefront", Kind::Client, 7, 4, Some(3)).upgraded(500).peer("catalog").ms(2, 7).build(),
            ],
        );
        model
    }

    #[test]
    fn the_json_has_what_the_page_reads() {
        let start = Instant::now();
        let json = serde_json::to_value(a_model(start).snapshot(start + Duration::from_secs(10))).unwrap();
        let script = include_str!("../../web/app.js");
        for path in [
            "settings.ratio",
            "settings.rate",
            "settings.failures",
            "uptime_s",
            "requests.answered",
            "requests.probes",
            "requests.failed",
            "requests.unplanned",
            "traces.seen",
            "traces.recorded",
            "traces.head_sampled",
            "traces.upgraded",
            "traces.spans",
            "complete.failed",
            "complete.kept",
            "complete.pending",
            "complete.missing",
            "hops.failed",
            "hops.kept",
            "hops.pending",
            "hops.missing",
            "upgrades",
            "shed",
            "bill.everything",
            "bill.head_only",
            "bill.tracelift",
            "price.dollars_per_million",
            "price.read",
            "envoys",
            "failed",
        ] {
            assert!(json.pointer(&format!("/{}", path.replace('.', "/"))).is_some(), "{path} is not in the JSON");
            assert!(script.contains(&format!("state.{path}")), "the page does not read {path}");
        }
        for field in ["trace_id", "request", "what", "status", "at_unix_ms", "duration_ms", "head_sampled", "rows"] {
            assert!(!json["failed"][0][field].is_null() && script.contains(&format!("trace.{field}")), "{field}");
        }
        for field in
            ["depth", "service", "kind", "name", "offset_ms", "duration_ms", "error", "trigger", "parent_dropped"]
        {
            assert!(
                !json["failed"][0]["rows"][0][field].is_null() && script.contains(&format!("row.{field}")),
                "{field}"
            );
        }
    }

    #[test]
    fn failing_hops_are_counted_against_their_spans() {
        let start = Instant::now();
        let snapshot = a_model(start).snapshot(start + Duration::from_secs(3));
        // Of the first request: two of the gateway, one of the storefront and its call. Of the second: none came.
        assert_eq!((snapshot.hops.kept, snapshot.hops.missing), (4, 0));
        assert_eq!(snapshot.hops.failed, snapshot.hops.kept + snapshot.hops.pending);
        assert_eq!((snapshot.complete.failed, snapshot.complete.kept, snapshot.complete.missing), (2, 1, 0));
        assert_eq!((snapshot.traces.seen, snapshot.traces.recorded), (2, 1));
        assert_eq!(snapshot.bill.everything.traces, 2);
        assert_eq!(snapshot.failed[0].rows.len(), 4);
        assert_eq!(snapshot.requests.unplanned, 0);
    }
}
