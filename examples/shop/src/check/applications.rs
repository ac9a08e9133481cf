//! The spans of the cart's own SDK: between those of its proxy, whole, once, and of no other trace.

use super::{Check, Evidence};
use crate::hops::{Head, Hop, Place};
use crate::mesh::GATEWAY;
use crate::plan::{Fault, Visit};
use crate::services::CART;
use crate::span::{Kind, Span};
use std::collections::{HashMap, HashSet};

/// All of one request, from the sidecar's outbound span up to its inbound one, and what hangs beside that way.
const WAY: [(&str, Kind); 3] =
    [("GET", Kind::Client), ("price cart", Kind::Internal), ("GET /carts/<int:visit>", Kind::Server)];
/// The one that may end with an exception.
const ASIDE: (&str, Kind) = ("read prices", Kind::Internal);

/// A request at the cart, and what became of it there.
struct Stay {
    visit: u64,
    trace_id: u128,
    fault: Option<Fault>,
    inbound: Hop,
    /// Its one call.
    outbound: Option<Hop>,
}

impl Stay {
    /// The application's caller said that the trace is sampled.
    fn is_sampled(&self) -> bool {
        self.inbound.head != Head::Dropped
    }

    /// It met a failure, of its own or of its call, in a trace that was dropped.
    fn met_failure(&self) -> bool {
        let of_call = self.outbound.as_ref().is_some_and(Hop::upgraded);
        !self.is_sampled() && (of_call || self.fault == Some(Fault::StalePrices))
    }

    /// The trace was upgraded, wherever that was.
    fn is_upgraded(&self) -> bool {
        !self.is_sampled() && self.inbound.must_be_kept()
    }
}

/// A trace's spans by their ids.
type Spans<'a> = HashMap<u64, &'a Span>;

/// Every parent that a span names is in the trace, or is the client's own.
pub fn parents(evidence: &Evidence) -> Check {
    let mut check = Check::new("every parent is in its trace");
    let traces = evidence.by_trace();
    let clients: HashMap<u128, u64> = evidence
        .heads()
        .filter_map(|head| Some((head.arrival.context.trace_id, head.visit.context?.span_id)))
        .collect();
    for (trace_id, spans) in &traces {
        let ids: HashSet<u64> = spans.iter().map(|span| span.span_id).collect();
        for span in spans {
            let Some(parent) = span.parent_id else { continue };
            let here = ids.contains(&parent) || clients.get(trace_id) == Some(&parent);
            check.case(here, || format!("{span}: its parent {parent:016x} is nowhere"));
        }
    }
    let cases = check.cases;
    check.detail(format!("{cases} parents"))
}

/// What the head sampled has the application's spans between those of its proxy.
pub fn sampled(evidence: &Evidence) -> Check {
    let check = Check::new("a sampled trace has the application's spans");
    whole(evidence, check, Stay::is_sampled, "sampled requests of the cart")
}

/// What failed below the application, or in it.
pub fn failed_here(evidence: &Evidence) -> Check {
    let check = Check::new("a failure that an application met has its spans");
    whole(evidence, check, Stay::met_failure, "requests in which the cart met a failure")
}

/// What failed anywhere.
pub fn failed_anywhere(evidence: &Evidence) -> Check {
    let check = Check::new("every failed trace has the application's spans");
    whole(evidence, check, Stay::is_upgraded, "upgraded requests of the cart")
}

fn whole(evidence: &Evidence, mut check: Check, wanted: impl Fn(&Stay) -> bool, what: &str) -> Check {
    let traces = evidence.by_trace();
    for stay in stays(evidence).iter().filter(|stay| wanted(stay)) {
        let found = is_whole(stay, &spans_of(&traces, stay.trace_id));
        check.case(found.is_ok(), || {
            format!("request {}, trace {:032x}: {}", stay.visit, stay.trace_id, found.err().unwrap_or_default())
        });
    }
    let (right, cases) = (check.cases - check.wrong.len() as u64, check.cases);
    let detail = if evidence.python { format!("{right} of {cases} {what}") } else { "no Python service".to_owned() };
    check.detail(detail)
}

/// Each span of the application once, and the way from the sidecar's outbound span through them to its inbound one.
fn is_whole(stay: &Stay, spans: &Spans) -> Result<(), String> {
    let mut names: Vec<_> = spans.values().filter(|span| span.application).map(|span| named(span)).collect();
    let mut expected = [&WAY[..], &[ASIDE]].concat();
    names.sort_unstable();
    expected.sort_unstable();
    if names != expected {
        return Err(format!("the application's spans are {names:?}"));
    }
    let Place::Inbound { span_id, .. } = stay.inbound.place else { return Err("no inbound span".to_owned()) };
    let outbound = stay.outbound.as_ref().ok_or("no call")?;
    let mut at = spans.values().find(|span| outbound.is(span)).ok_or("no outbound span")?.parent_id;
    for step in WAY {
        let span = at.and_then(|id| spans.get(&id)).filter(|span| span.application && named(span) == step);
        at = span.ok_or_else(|| format!("above {step:?}: {at:016x?}"))?.parent_id;
    }
    if at == Some(span_id) { Ok(()) } else { Err(format!("the application's spans hang below {at:016x?}")) }
}

/// From an exception that the application caught and answered with 200 a chain of spans leads up to the gateway.
pub fn swallowed(evidence: &Evidence) -> Check {
    let mut check = Check::new("a swallowed exception is kept up to the gateway");
    let traces = evidence.by_trace();
    for stay in stays(evidence).iter().filter(|stay| stay.fault == Some(Fault::StalePrices)) {
        let spans = spans_of(&traces, stay.trace_id);
        let mut at = spans.values().find(|span| span.application && span.error && named(span) == ASIDE);
        let mut way = Vec::new();
        // A circle ends, too.
        while let Some(span) = at.filter(|_| way.len() < spans.len()) {
            way.push(*span);
            at = span.parent_id.and_then(|parent| spans.get(&parent));
        }
        let arrived = way.last().is_some_and(|span| (span.service.as_str(), span.kind) == (GATEWAY, Kind::Server));
        check.case(arrived, || {
            let last = way.last().map_or("nothing".to_owned(), ToString::to_string);
            format!("request {}, trace {:032x}: the way up ends at {last}", stay.visit, stay.trace_id)
        });
    }
    let (right, cases) = (check.cases - check.wrong.len() as u64, check.cases);
    check.detail(format!("{right} of {cases} exceptions that were answered with 200"))
}

/// No application span of a trace that was not kept, and a trigger on those that were released.
pub fn reasons(evidence: &Evidence) -> Check {
    let mut check = Check::new("an application exports nothing without a reason");
    let stays: HashMap<u128, Stay> = stays(evidence).into_iter().map(|stay| (stay.trace_id, stay)).collect();
    let mut released: HashMap<u128, bool> = HashMap::new();
    for span in evidence.spans.iter().filter(|span| span.application) {
        let stay = stays.get(&span.trace_id).filter(|stay| span.service == CART && stay.inbound.must_be_kept());
        check.case(stay.is_some(), || format!("{span}: it was not asked for"));
        *released.entry(span.trace_id).or_default() |= span.trigger.is_some();
        check.case(span.trigger.is_some() == span.priority.is_some(), || format!("{span}: trigger without a priority"));
    }
    for (trace_id, released) in &released {
        let right = stays.get(trace_id).is_none_or(|stay| *released != stay.is_sampled());
        check.case(right, || format!("trace {trace_id:032x}: released {released}, which the head did not ask for"));
    }
    let count = evidence.spans.iter().filter(|span| span.application).count();
    check.detail(format!("{count} spans of {} traces", released.len()))
}

/// What is still on its way has come, as far as it is demanded.
pub fn are_here(evidence: &Evidence) -> bool {
    [sampled(evidence), failed_here(evidence), failed_anywhere(evidence)].iter().all(Check::passed)
}

fn named(span: &Span) -> (&str, Kind) {
    (&span.name, span.kind)
}

fn spans_of<'a>(traces: &HashMap<u128, Vec<&'a Span>>, trace_id: u128) -> Spans<'a> {
    traces.get(&trace_id).into_iter().flatten().map(|span| (span.span_id, *span)).collect()
}

/// Every request that came to the cart's application; none where that has no SDK.
fn stays(evidence: &Evidence) -> Vec<Stay> {
    if !evidence.python {
        return Vec::new();
    }
    let visits: HashMap<u64, &Visit> = evidence.answered.iter().map(|a| (a.visit.number, &a.visit)).collect();
    let mut stays: Vec<Stay> = Vec::new();
    let mut calls: HashMap<u64, Hop> = HashMap::new();
    for hop in evidence.hops().into_iter().filter(|hop| hop.envoy() == CART) {
        match hop.place {
            Place::Inbound { .. } => {
                let fault = visits.get(&hop.visit).and_then(|visit| visit.fault);
                stays.push(Stay { visit: hop.visit, trace_id: hop.trace_id, fault, inbound: hop, outbound: None });
            }
            _ => drop(calls.insert(hop.visit, hop)),
        }
    }
    for stay in &mut stays {
        stay.outbound = calls.remove(&stay.visit);
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::evidence::tests::a_run;
    use crate::check::{all, table};
    use crate::testing::span;

    /// The run of [`a_run`] with an SDK in the cart: its four requests are sampled; failed; swallowed; and well at the cart, with a
    /// failure elsewhere, of which the application learns by the list of upgrades.
    fn a_run_with_sdk() -> Evidence {
        let mut evidence = Evidence { python: true, ..a_run() };
        let arrivals = evidence.arrivals.clone();
        for arrival in arrivals.iter().filter(|arrival| arrival.service == CART) {
            let (number, trace_id) = (arrival.visit, arrival.context.trace_id);
            let id = |place: u64| number * 100 + place;
            let calls = evidence.calls.iter_mut().filter(|call| call.visit == number && call.service == CART);
            calls.for_each(|call| call.parent_id = id(53));
            let outbound = evidence.spans.iter_mut().find(|span| span.span_id == id(6));
            outbound.unwrap().parent_id = Some(id(53));
            for (name, kind, place, parent) in [
                ("GET /carts/<int:visit>", Kind::Server, 51, 5),
                ("price cart", Kind::Internal, 52, 51),
                ("GET", Kind::Client, 53, 52),
                ("read prices", Kind::Internal, 54, 52),
            ] {
                let own = span(CART, kind, trace_id, id(place), Some(id(parent))).of_application(name);
                let own = if arrival.context.sampled { own } else { own.released("error") };
                evidence.spans.push(own.build());
            }
        }
        evidence
    }

    fn failed(evidence: &Evidence) -> Vec<&'static str> {
        all(evidence).iter().filter(|check| !check.passed()).map(|check| check.name).collect()
    }

    fn own<'a>(evidence: &'a mut Evidence, number: u64, name: &str) -> &'a mut Span {
        let is = |span: &&mut Span| span.application && span.name == name && span.span_id / 100 == number;
        evidence.spans.iter_mut().find(is).unwrap()
    }

    /// Exports a span of the first request once more, with a change.
    fn again(evidence: &mut Evidence, name: &str, change: fn(&mut Span)) {
        let mut span = own(evidence, 1, name).clone();
        change(&mut span);
        evidence.spans.push(span);
    }

    fn lose(evidence: &mut Evidence, id: u64) {
        evidence.spans.retain(|span| span.span_id != id);
    }

    #[test]
    fn a_run_in_which_the_application_exports_what_it_should_passes() {
        let evidence = a_run_with_sdk();
        let checks = all(&evidence);
        assert!(checks.iter().all(Check::passed), "{}", table(&checks));
        assert!(evidence.is_settled());
    }

    #[test]
    fn without_an_sdk_nothing_is_asked_for_and_nothing_of_one_is_taken() {
        let mut evidence = a_run();
        assert!(stays(&evidence).is_empty() && are_here(&evidence));
        evidence.spans.push(span(CART, Kind::Internal, 1, 99, None).of_application("price cart").build());
        assert!(failed(&evidence).contains(&"an application exports nothing without a reason"));
    }

    #[test]
    fn each_defect_of_an_applications_spans_is_found_by_its_check() {
        const SAMPLED: &str = "a sampled trace has the application's spans";
        const MET: &str = "a failure that an application met has its spans";
        const PARENTS: &str = "every parent is in its trace";
        const REASONS: &str = "an application exports nothing without a reason";
        type Defect = fn(&mut Evidence);
        let cases: [(&str, Defect); 12] = [
            (SAMPLED, |e| lose(e, 154)),
            (MET, |e| lose(e, 254)),
            (MET, |e| lose(e, 353)),
            (PARENTS, |e| lose(e, 152)),
            (PARENTS, |e| lose(e, 252)),
            ("nothing is kept without a reason", |e| again(e, "GET", |_| ())),
            // Once more, by another id.
            (SAMPLED, |e| again(e, "read prices", |span| span.span_id = 199)),
            // Ours hang together, and beside the application's.
            (SAMPLED, |e| e.spans.iter_mut().find(|span| span.span_id == 106).unwrap().parent_id = Some(105)),
            ("parent ids link up", |e| own(e, 1, "GET").parent_id = Some(104)),
            (REASONS, |e| own(e, 1, "GET").trigger = Some("error".into())),
            (REASONS, |e| again(e, "GET", |span| (span.trace_id, span.span_id) = (7, 198))),
            ("no filter and no application had a problem", |e| e.complaints.push("cart: Traceback".into())),
        ];
        for (name, defect) in cases {
            let mut evidence = a_run_with_sdk();
            defect(&mut evidence);
            assert!(failed(&evidence).contains(&name), "{name} did not fail, only {:?}", failed(&evidence));
        }
    }

    #[test]
    fn of_a_trace_that_failed_elsewhere_the_spans_are_missed() {
        let mut evidence = a_run_with_sdk();
        evidence.spans.retain(|span| !span.application || span.span_id / 100 != 4);
        let check = whole(&evidence, Check::new("all"), Stay::is_upgraded, "requests");
        assert_eq!((check.cases, check.wrong.len()), (3, 1), "{:?}", check.wrong);
    }

    #[test]
    fn a_call_that_the_filter_hung_below_its_own_span_has_its_parent() {
        let mut evidence = a_run_with_sdk();
        let call = evidence.spans.iter_mut().find(|span| span.span_id == 406).unwrap();
        (call.parent_id, call.unrecorded_parent_id) = (Some(405), Some(453));
        assert!(links_and_parents(&evidence).iter().all(Check::passed), "{}", table(&links_and_parents(&evidence)));
    }

    fn links_and_parents(evidence: &Evidence) -> [Check; 2] {
        [parents(evidence), crate::check::spans::links(evidence)]
    }

    #[test]
    fn the_way_of_a_swallowed_exception_ends_at_the_gateway_or_is_broken() {
        let mut evidence = a_run_with_sdk();
        evidence.answered.iter_mut().find(|a| a.visit.number == 3).unwrap().visit.fault = Some(Fault::StalePrices);
        own(&mut evidence, 3, "read prices").error = true;
        let check = swallowed(&evidence);
        assert_eq!((check.cases, check.passed()), (1, true), "{:?}", check.wrong);
        lose(&mut evidence, 304);
        let wrong = swallowed(&evidence).wrong;
        assert!(wrong[0].contains("the way up ends at") && wrong[0].contains(": cart SERVER"), "{wrong:?}");
    }
}
