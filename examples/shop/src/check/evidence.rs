//! All that is known after a run.

use super::applications;
use crate::hops::Hop;
use crate::mesh::{Counted, GATEWAY};
use crate::plan::{Operation, Visit};
use crate::request::Request;
use crate::services::{BANK, MESHED};
use crate::span::{Span, randomness, threshold};
use crate::truth::{Answered, Arrival, Call, Event};
use std::collections::{BTreeMap, HashMap};

/// What services, clients, collector and Envoys have reported.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Share of traces that the head is configured to sample.
    pub ratio: f64,
    /// What the clients got.
    pub answered: Vec<Answered>,
    /// What the applications were asked.
    pub arrivals: Vec<Arrival>,
    /// What the applications asked for.
    pub calls: Vec<Call>,
    /// What the collector took.
    pub spans: Vec<Span>,
    /// What the Envoys counted.
    pub counted: BTreeMap<String, Counted>,
    /// Errors in the Envoys' logs, and all that an application logged.
    pub complaints: Vec<String>,
    /// The cart is an application with an SDK.
    pub python: bool,
}

/// What the head made of a request, as the storefront saw it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Which request.
    pub visit: &'a Visit,
    /// The storefront's arrival.
    pub arrival: &'a Arrival,
}

impl Head<'_> {
    /// R: what the gateway chose for a trace from outside (`rv`), else the low 56 bits of the trace-id.
    pub fn randomness(&self) -> u64 {
        let context = &self.arrival.context;
        randomness(&context.tracestate).unwrap_or((context.trace_id & ((1 << 56) - 1)) as u64)
    }

    /// It is a health probe.
    pub fn is_probe(&self) -> bool {
        self.visit.operation == Operation::Probe
    }
}

impl Evidence {
    /// Of a run that has not begun.
    pub fn new(ratio: f64) -> Self {
        Self {
            ratio,
            answered: Vec::new(),
            arrivals: Vec::new(),
            calls: Vec::new(),
            spans: Vec::new(),
            counted: BTreeMap::new(),
            complaints: Vec::new(),
            python: false,
        }
    }

    /// Takes what was noted.
    pub fn events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Arrival(arrival) => self.arrivals.push(arrival),
                Event::Call(call) => self.calls.push(call),
                Event::Answered(answered) => self.answered.push(answered),
            }
        }
    }

    /// Every Envoy has counted every request, no span is on its way, and none can be recalled any more.
    pub fn is_settled(&self) -> bool {
        let received = self.spans.iter().filter(|span| !span.application).count();
        self.is_exported() && self.exported() == received as u64 && applications::are_here(self)
    }

    /// Every Envoy has counted every request, and a collector has taken what it had to export.
    pub fn is_exported(&self) -> bool {
        let counted = |name: &str| {
            self.counted
                .get(name)
                .is_some_and(|c| c.ledger.is_settled() && c.held == 0 && c.decisions() == self.streams(name))
        };
        MESHED.into_iter().chain([GATEWAY]).all(counted)
    }

    /// Spans that a collector has taken, as the Envoys count them.
    pub fn exported(&self) -> u64 {
        self.counted.values().map(|counted| counted.ledger.exported).sum()
    }

    /// How many requests passed the Envoy of that name, in and out.
    pub fn streams(&self, name: &str) -> u64 {
        let count = if name == GATEWAY {
            self.answered.len()
        } else {
            self.arrivals.iter().filter(|arrival| arrival.service == name).count()
                + self.calls.iter().filter(|call| call.service == name).count()
        };
        count as u64
    }

    /// Each request at the storefront, where the gateway's decision shows.
    pub fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let visits: HashMap<u64, &Visit> = self.answered.iter().map(|a| (a.visit.number, &a.visit)).collect();
        let front = self.arrivals.iter().filter(|arrival| arrival.service == "storefront");
        front.filter_map(move |arrival| visits.get(&arrival.visit).map(|visit| Head { visit, arrival }))
    }

    /// The same by trace.
    pub fn heads_by_trace(&self) -> HashMap<u128, Head<'_>> {
        self.heads().map(|head| (head.arrival.context.trace_id, head)).collect()
    }

    /// T as the head wrote it into `tracestate`; none when nothing was sampled.
    pub fn threshold(&self) -> Option<u64> {
        let sampled = self.arrivals.iter().filter(|arrival| arrival.context.sampled);
        sampled.filter_map(|arrival| threshold(&arrival.context.tracestate)).next()
    }

    /// Every pass through an Envoy that may be recorded: all but those of probes.
    pub fn hops(&self) -> Vec<Hop> {
        let mut arrivals: HashMap<u64, Vec<Arrival>> = HashMap::new();
        for arrival in &self.arrivals {
            arrivals.entry(arrival.visit).or_default().push(arrival.clone());
        }
        let mut calls: HashMap<u64, Vec<Call>> = HashMap::new();
        for call in &self.calls {
            calls.entry(call.visit).or_default().push(call.clone());
        }
        let of = |answered: &Answered| {
            let number = answered.visit.number;
            let arrivals = arrivals.get(&number).map_or(&[][..], Vec::as_slice);
            let calls = calls.get(&number).map_or(&[][..], Vec::as_slice);
            Request { answered, arrivals, calls }.hops()
        };
        self.answered.iter().flat_map(of).collect()
    }

    /// The spans by trace.
    pub fn by_trace(&self) -> HashMap<u128, Vec<&Span>> {
        let mut traces: HashMap<u128, Vec<&Span>> = HashMap::new();
        for span in &self.spans {
            traces.entry(span.trace_id).or_default().push(span);
        }
        traces
    }

    /// Arrivals behind a sidecar, or all of them with the bank's.
    pub fn arrivals_in_mesh(&self) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter().filter(|arrival| arrival.service != BANK)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::hops::Head as Decided;
    use crate::plan::Fault;
    use crate::span::Kind;
    use crate::testing::{SpanBuilder, span};
    use crate::truth::{Outcome, SeenContext};
    use tracelift_envoy::Ledger;

    /// T for one half.
    const TH: &str = "ot=th:8";

    /// Four requests at a ratio of one half: the first is sampled and well, the second dropped and fails in the catalog, the
    /// third is a dropped checkout whose cart swallows that, the fourth one whose cart is well and whose bank fails.
    pub fn a_run() -> Evidence {
        let mut evidence = Evidence::new(0.5);
        one_request(&mut evidence, 1, 0x80_0000_0000_0001, true, None);
        one_request(&mut evidence, 2, 0x7f_0000_0000_0002, false, Some(Fault::CatalogCrash));
        swallowed(&mut evidence, 3, 0x7e_0000_0000_0003);
        with_sibling(&mut evidence, 4, 0x7d_0000_0000_0004);
        let hops = evidence.hops();
        for name in MESHED.into_iter().chain([GATEWAY]) {
            let spans = evidence.spans.iter().filter(|span| span.service == name).count() as u64;
            let streams = evidence.streams(name);
            let ledger = Ledger { offered: spans, exported: spans, ..Ledger::default() };
            let mut counted = Counted { ledger, ..Counted::default() };
            let passed: Vec<_> = hops.iter().filter(|hop| hop.envoy() == name && hop.is_counted()).collect();
            let later = passed.iter().filter(|hop| hop.head == Decided::Later).count() as u64;
            counted.sampled.insert("upgraded".into(), later);
            counted.dropped.insert("parent".into(), streams - later);
            for trigger in passed.iter().filter(|hop| hop.head == Decided::Dropped).filter_map(|hop| hop.trigger()) {
                *counted.upgrades.entry(trigger.to_owned()).or_default() += 1;
            }
            evidence.counted.insert(name.to_owned(), counted);
        }
        evidence
    }

    fn one_request(evidence: &mut Evidence, number: u64, trace_id: u128, sampled: bool, fault: Option<Fault>) {
        let visit = Visit { number, operation: Operation::Cart, fault, context: None };
        let id = |hop: u64| number * 100 + hop;
        let (ok, tracestate) = (fault.is_none(), if sampled { TH } else { "" });
        let outcome = |failing: u16| Outcome::Status(if ok { 200 } else { failing });
        let hop = |builder: SpanBuilder, status: i64| match ok {
            true => builder.tracestate(TH).build(),
            false => builder.upgraded(status).build(),
        };
        evidence.answered.push(Answered { visit, status: Ok(visit.expected_status()), signal: None });
        evidence.spans.push(hop(span(GATEWAY, Kind::Server, trace_id, id(1), None), 502));
        evidence.spans.push(hop(span(GATEWAY, Kind::Client, trace_id, id(2), Some(id(1))), 502));
        for (place, service, peer, status) in
            [(3, "storefront", Some("cart"), 502), (5, "cart", Some("catalog"), 502), (7, "catalog", None, 500)]
        {
            let context = SeenContext {
                trace_id,
                span_id: id(place),
                sampled,
                tracestate: tracestate.to_owned(),
                amazon: visit.amazon_header(),
            };
            evidence.arrivals.push(Arrival { visit: number, service, context, outcome: outcome(status) });
            evidence
                .spans
                .push(hop(span(service, Kind::Server, trace_id, id(place), Some(id(place - 1))), i64::from(status)));
            if let Some(peer) = peer {
                let outcome = outcome(if peer == "catalog" { 500 } else { 502 });
                let parent_id = id(place);
                let (began, ended) = (place, 20 - place);
                evidence.calls.push(Call {
                    visit: number,
                    service,
                    peer,
                    trace_id,
                    parent_id,
                    sampled,
                    outcome,
                    began,
                    ended,
                });
                let client = span(service, Kind::Client, trace_id, id(place + 1), Some(parent_id)).peer(peer);
                evidence.spans.push(hop(client, 500));
            }
        }
    }

    fn with_sibling(evidence: &mut Evidence, number: u64, trace_id: u128) {
        let visit = Visit { number, operation: Operation::Checkout, fault: Some(Fault::BankError), context: None };
        let id = |hop: u64| number * 100 + hop;
        let server = |service, place| span(service, Kind::Server, trace_id, id(place), Some(id(place - 1)));
        let client = |service, place, peer, parent| {
            span(service, Kind::Client, trace_id, id(place), Some(id(parent))).peer(peer)
        };
        evidence.answered.push(Answered { visit, status: Ok(visit.expected_status()), signal: None });
        evidence.spans.extend([
            span(GATEWAY, Kind::Server, trace_id, id(1), None).upgraded(502).build(),
            client(GATEWAY, 2, "shop.example", 1).upgraded(502).build(),
            server("storefront", 3).upgraded(502).build(),
            client("storefront", 4, "cart", 3).recalled().build(),
            server("cart", 5).recalled().build(),
            client("cart", 6, "catalog", 5).recalled().build(),
            server("catalog", 7).recalled().build(),
            client("storefront", 8, "payment", 3).upgraded(502).build(),
            server("payment", 9).upgraded(502).build(),
            client("payment", 10, BANK, 9).upgraded(500).build(),
        ]);
        for (place, service, status) in
            [(3, "storefront", 502), (5, "cart", 200), (7, "catalog", 200), (9, "payment", 502), (11, BANK, 500)]
        {
            let (sampled, tracestate, amazon) = (false, String::new(), visit.amazon_header());
            let context = SeenContext { trace_id, span_id: id(place), sampled, tracestate, amazon };
            evidence.arrivals.push(Arrival { visit: number, service, context, outcome: Outcome::Status(status) });
        }
        for (service, peer, parent, status, began, ended) in [
            ("storefront", "cart", 3, 200, 1, 4),
            ("cart", "catalog", 5, 200, 2, 3),
            ("storefront", "payment", 3, 502, 5, 8),
            ("payment", BANK, 9, 500, 6, 7),
        ] {
            let (parent_id, sampled, outcome) = (id(parent), false, Outcome::Status(status));
            let call = Call { visit: number, service, peer, trace_id, parent_id, sampled, outcome, began, ended };
            evidence.calls.push(call);
        }
    }

    fn swallowed(evidence: &mut Evidence, number: u64, trace_id: u128) {
        let visit = Visit { number, operation: Operation::Checkout, fault: Some(Fault::Swallowed), context: None };
        let id = |hop: u64| number * 100 + hop;
        let server = |service, place| span(service, Kind::Server, trace_id, id(place), Some(id(place - 1)));
        let client = |service, place, peer| {
            span(service, Kind::Client, trace_id, id(place), Some(id(if place == 8 { 3 } else { place - 1 })))
                .peer(peer)
        };
        evidence.answered.push(Answered { visit, status: Ok(200), signal: None });
        evidence.spans.extend([
            span(GATEWAY, Kind::Server, trace_id, id(1), None).signalled().build(),
            client(GATEWAY, 2, "shop.example").signalled().build(),
            server("storefront", 3).signalled().build(),
            client("storefront", 4, "cart").signalled().build(),
            server("cart", 5).signalled().build(),
            client("cart", 6, "catalog").upgraded(500).build(),
            server("catalog", 7).upgraded(500).build(),
            client("storefront", 8, "payment").reason("upgraded").build(),
            server("payment", 9).reason("parent").build(),
            client("payment", 10, BANK).reason("parent").build(),
        ]);
        for (place, service, status) in
            [(3, "storefront", 200), (5, "cart", 200), (7, "catalog", 500), (9, "payment", 200), (11, BANK, 200)]
        {
            let (sampled, tracestate, amazon) = (9 <= place, String::new(), visit.amazon_header());
            let context = SeenContext { trace_id, span_id: id(place), sampled, tracestate, amazon };
            let outcome = Outcome::Status(status);
            evidence.arrivals.push(Arrival { visit: number, service, context, outcome });
        }
        for (service, peer, parent, status, began, ended) in [
            ("storefront", "cart", 3, 200, 1, 4),
            ("cart", "catalog", 5, 500, 2, 3),
            ("storefront", "payment", 3, 200, 5, 8),
            ("payment", BANK, 9, 200, 6, 7),
        ] {
            let (parent_id, sampled, outcome) = (id(parent), service == "payment", Outcome::Status(status));
            let call = Call { visit: number, service, peer, trace_id, parent_id, sampled, outcome, began, ended };
            evidence.calls.push(call);
        }
    }
}
