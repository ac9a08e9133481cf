//! Exported spans: all that must be there, nothing else, and each with the right words.

use super::{Check, Evidence};
use crate::hops::{Hop, Place};
use crate::mesh::GATEWAY;
use crate::plan::Fault;
use crate::span::{Kind, Span};
use std::collections::{HashMap, HashSet};

/// Each pass through an Envoy that failed, whether or not anyone above noticed.
pub fn failing_hops(evidence: &Evidence) -> Check {
    present(evidence, "every failing hop's span is there", |hop| hop.failed, "failing hops")
}

/// A trace that the head sampled is whole.
pub fn sampled_hops(evidence: &Evidence) -> Check {
    present(evidence, "every hop of a sampled trace is there", |hop| hop.sampled, "hops of sampled traces")
}

fn present(evidence: &Evidence, name: &'static str, wanted: impl Fn(&Hop) -> bool, what: &str) -> Check {
    let mut check = Check::new(name);
    let traces = evidence.by_trace();
    for hop in evidence.hops().iter().filter(|hop| wanted(hop)) {
        let found = spans_of(&traces, hop.trace_id).filter(|span| hop.is(span)).count();
        check.case(found == 1, || format!("{} has {found} spans", hop.describe()));
    }
    let (right, cases) = (check.cases - check.wrong.len() as u64, check.cases);
    check.detail(format!("{right} of {cases} {what}"))
}

/// Each span belongs to a hop that failed or to a trace that the head sampled, and a trigger only to a failure.
pub fn reasons(evidence: &Evidence) -> Check {
    let mut check = Check::new("nothing is kept without a reason");
    let mut hops: HashMap<u128, Vec<Hop>> = HashMap::new();
    for hop in evidence.hops() {
        hops.entry(hop.trace_id).or_default().push(hop);
    }
    let mut ids = HashSet::new();
    for span in &evidence.spans {
        let hop = hops.get(&span.trace_id).and_then(|hops| hops.iter().find(|hop| hop.is(span)));
        let right = hop
            .is_some_and(|hop| if hop.failed { span.trigger.is_some() } else { hop.sampled && span.trigger.is_none() });
        check.case(right, || match hop {
            Some(hop) => format!(
                "{}: trigger {:?}, failed {}, sampled {}",
                describe(span),
                span.trigger,
                hop.failed,
                hop.sampled
            ),
            None => format!("{}: nobody saw such a request", describe(span)),
        });
        check.case(ids.insert(span.span_id), || format!("{}: exported twice", describe(span)));
    }
    check.detail(format!("{} spans", evidence.spans.len()))
}

/// What only Envoy knows is on the spans: refused connection, its own time limit, a caller that hung up.
pub fn flags(evidence: &Evidence) -> Check {
    let mut check = Check::new("Envoy's own reasons are on the spans");
    let traces = evidence.by_trace();
    let faults: HashMap<u64, Fault> =
        evidence.answered.iter().filter_map(|answered| Some((answered.visit.number, answered.visit.fault?))).collect();
    for hop in evidence.hops() {
        let Place::Outbound { service, peer, .. } = hop.place else { continue };
        let expected = match (faults.get(&hop.visit), service, peer) {
            (Some(Fault::WarehouseDown), "catalog", "warehouse") => "UF",
            (Some(Fault::BankTimeout), "payment", "bank") => "UT",
            (Some(Fault::Impatience), "storefront", "payment") => "DC",
            _ => continue,
        };
        let flags = spans_of(&traces, hop.trace_id).find(|span| hop.is(span)).and_then(|span| span.flags.as_deref());
        let right = flags.is_some_and(|flags| flags.split(',').any(|flag| flag == expected));
        check.case(right, || format!("{}: response flags {flags:?}, not {expected}", hop.describe()));
    }
    let cases = check.cases;
    check.detail(format!("{cases} of UF, UT and DC"))
}

/// `th:0` and a priority on what was kept for a failure, the head's `th` on the rest: adjusted counts stay exact.
pub fn thresholds(evidence: &Evidence) -> Check {
    let mut check = Check::new("exported thresholds and priorities");
    let head = evidence.threshold();
    for span in &evidence.spans {
        let expected = if span.trigger.is_some() { (Some(0), Some(1)) } else { (head, None) };
        check.case((span.th, span.priority) == expected && span.sampled, || {
            format!(
                "{}: trigger {:?}, tracestate {:?}, priority {:?}, sampled {}",
                describe(span),
                span.trigger,
                span.tracestate,
                span.priority,
                span.sampled
            )
        });
    }
    let upgraded = evidence.spans.iter().filter(|span| span.trigger.is_some()).count();
    check.detail(format!("{upgraded} spans with th:0, {} with the head's", evidence.spans.len() - upgraded))
}

/// A SERVER span hangs below its caller's CLIENT span, a CLIENT span below the SERVER span that its application was given.
pub fn links(evidence: &Evidence) -> Check {
    let mut check = Check::new("parent ids link up");
    let traces = evidence.by_trace();
    let heads = evidence.heads_by_trace();
    let given: HashSet<(&str, u128, u64)> = evidence
        .arrivals_in_mesh()
        .map(|arrival| (arrival.service, arrival.context.trace_id, arrival.context.span_id))
        .collect();
    for span in &evidence.spans {
        let exported = |kind: Kind| {
            spans_of(&traces, span.trace_id).find(|other| Some(other.span_id) == span.parent_id && other.kind == kind)
        };
        let right = match (span.service.as_str(), span.kind) {
            (GATEWAY, Kind::Server) => heads
                .get(&span.trace_id)
                .is_some_and(|head| span.parent_id == head.visit.context.map(|client| client.span_id)),
            (GATEWAY, Kind::Client) => exported(Kind::Server).is_some_and(|parent| parent.service == GATEWAY),
            // Whoever failed towards a caller failed for the caller, too, so its span was kept.
            (_, Kind::Server) => exported(Kind::Client).is_some_and(|parent| parent.service != span.service),
            (service, _) => span.parent_id.is_some_and(|parent| given.contains(&(service, span.trace_id, parent))),
        };
        check.case(right, || format!("{}: parent {:016x?}", describe(span), span.parent_id));
    }
    check.detail(format!("{} spans in {} traces", evidence.spans.len(), traces.len()))
}

/// The rule for probes: ratio 0, and no upgrade even when a probe fails.
pub fn probes(evidence: &Evidence) -> Check {
    let mut check = Check::new("no probe is exported");
    let traces = evidence.by_trace();
    let mut failed = 0;
    for head in evidence.heads().filter(|head| head.is_probe()) {
        failed += u64::from(head.arrival.outcome.failed());
        let trace_id = head.arrival.context.trace_id;
        check.case(!traces.contains_key(&trace_id), || format!("request {}, trace {trace_id:032x}", head.visit.number));
    }
    let cases = check.cases;
    check.detail(format!("{cases} probes, {failed} of them failed"))
}

fn spans_of<'a>(traces: &'a HashMap<u128, Vec<&'a Span>>, trace_id: u128) -> impl Iterator<Item = &'a Span> {
    traces.get(&trace_id).into_iter().flatten().copied()
}

fn describe(span: &Span) -> String {
    format!("trace {:032x}: {} {} {:016x}", span.trace_id, span.service, span.kind.name(), span.span_id)
}
