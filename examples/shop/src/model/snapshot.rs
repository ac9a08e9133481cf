//! One moment of the model, as the page gets it in JSON and the terminal prints it.

use super::bill::{Bill, Cost, DOLLARS_PER_MILLION, PRICE_READ};
use super::completeness::Tally;
use super::failed::FailedTrace;
use super::story::{Story, StoryView};
use super::{Model, Requests, Settings};
use crate::mesh::Counted;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// All that the views show.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// As they are now.
    pub settings: Settings,
    /// Seconds since the first request.
    pub uptime_s: f64,
    /// Seconds since the settings were changed, or since the first request. All figures but those of Envoys are of that time.
    pub stretch_s: f64,
    /// As the clients counted.
    pub requests: Requests,
    /// Recorded traces.
    pub traces: TraceCounts,
    /// Hops that saw a failure or are above one.
    pub hops: Counts,
    /// Failed requests, complete when each of these hops is at the collector.
    pub complete: Counts,
    /// Of the kept ones, those that the head had sampled: all that head sampling alone would have kept.
    pub kept_by_head: u64,
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
    /// The rate of a story, where one runs or has run last.
    pub story: Option<StoryView>,
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

impl Model {
    /// This moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let elapsed = now.saturating_duration_since(self.stretch.since);
        let counts = self.stretch.counts(&self.counts());
        let seen = counts.requests.answered.saturating_sub(counts.requests.probes);
        let (recorded, head_sampled) = (counts.recorded, counts.head_sampled);
        let mut envoys: Vec<_> = self.counted.iter().map(|(name, counted)| envoy_row(name, counted)).collect();
        let place =
            |name: &str| ["gateway", "storefront", "cart", "catalog", "payment"].iter().position(|n| *n == name);
        envoys.sort_by_key(|row| place(&row.name));
        Snapshot {
            settings: self.settings.clone(),
            uptime_s: now.saturating_duration_since(self.started).as_secs_f64(),
            stretch_s: elapsed.as_secs_f64(),
            requests: counts.requests,
            traces: TraceCounts {
                seen,
                recorded,
                head_sampled,
                upgraded: recorded.saturating_sub(head_sampled),
                spans: counts.spans,
            },
            hops: counts.hops.into(),
            complete: counts.traces.into(),
            kept_by_head: counts.kept_by_head,
            upgrades: counts.upgrades,
            shed: counts.shed,
            bill: Bill {
                everything: Cost::of(seen, elapsed),
                head_only: Cost::of(head_sampled, elapsed),
                tracelift: Cost::of(recorded, elapsed),
            },
            price: Price { dollars_per_million: DOLLARS_PER_MILLION, read: PRICE_READ },
            envoys,
            failed: self.failed(now),
            story: self.story.as_ref().map(Story::view),
        }
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
    use crate::schedule::Schedule;
    use crate::span::Kind;
    use crate::testing::{arrival, call, span};
    use crate::truth::{Answered, Call, Event, Outcome};
    use std::time::Duration;

    const SETTINGS: Settings =
        Settings { ratio: 0.01, rate: 30.0, failures: 1.0, seed: 1, python: true, dynamic_module: false };

    /// Two requests that failed in the catalog, and the spans of the first.
    fn a_model(start: Instant) -> Model {
        let plan = Plan { seed: 1, failures: 1.0, slow: 0.0, applications: false };
        let mut model = Model::new(SETTINGS, Schedule::new(plan), start);
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
        let model = a_model(start);
        let json = serde_json::to_value(model.snapshot(start + Duration::from_secs(10))).unwrap();
        let whole = serde_json::to_value(model.whole_trace(7).unwrap()).unwrap();
        let scripts = [
            include_str!("../../web/app.js"),
            include_str!("../../web/controls.js"),
            include_str!("../../web/figures.js"),
            include_str!("../../web/trace.js"),
            include_str!("../../web/story.js"),
        ];
        let read = |what: String| scripts.iter().any(|script| script.contains(&what));
        for path in [
            "settings.ratio",
            "settings.rate",
            "settings.failures",
            "settings.python",
            "settings.dynamic_module",
            "uptime_s",
            "stretch_s",
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
            "kept_by_head",
            "upgrades",
            "shed",
            "bill.everything",
            "bill.head_only",
            "bill.tracelift",
            "price.dollars_per_million",
            "price.read",
            "envoys",
            "failed",
            "story",
        ] {
            assert!(json.pointer(&format!("/{}", path.replace('.', "/"))).is_some(), "{path} is not in the JSON");
            assert!(read(format!("state.{path}")), "the page does not read {path}");
        }
        for field in
            ["trace_id", "request", "what", "status", "at_unix_ms", "duration_ms", "head_sampled", "ratio", "spans"]
        {
            assert!(!json["failed"][0][field].is_null() && read(format!("trace.{field}")), "{field}");
            assert_eq!(json["failed"][0][field], whole[field]);
        }
        for field in [
            "depth",
            "service",
            "kind",
            "name",
            "offset_ms",
            "duration_ms",
            "error",
            "trigger",
            "parent_dropped",
            "application",
            "why",
            "attributes",
        ] {
            assert!(!whole["rows"][0][field].is_null() && read(format!("row.{field}")), "{field}");
        }
        assert!(model.whole_trace(9).is_none());
    }

    #[test]
    fn figures_begin_anew_when_the_settings_change_and_traces_stay() {
        let start = Instant::now();
        let mut model = a_model(start);
        model.change(start + Duration::from_secs(100), 0.5, 0.0);
        let snapshot = model.snapshot(start + Duration::from_secs(110));
        assert_eq!((snapshot.settings.ratio, snapshot.settings.failures), (0.5, 0.0));
        assert_eq!((snapshot.uptime_s, snapshot.stretch_s), (110.0, 10.0));
        assert_eq!((snapshot.requests.answered, snapshot.traces.recorded, snapshot.complete.kept), (0, 0, 0));
        assert_eq!((snapshot.failed.len(), snapshot.failed[0].spans), (1, 4));
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
        assert_eq!((snapshot.failed[0].spans, snapshot.kept_by_head), (4, 0));
        assert_eq!(snapshot.requests.unplanned, 0);
    }
}
