//! Exported spans: all that must be there, nothing else, and each with the right words.

use super::{Check, Evidence};
use crate::hops::{Failure, Head, Hop};
use crate::mesh::GATEWAY;
use crate::services::CART;
use crate::span::{Kind, Span};
use std::collections::{HashMap, HashSet};

/// Each pass through an Envoy that failed, whether or not anyone above noticed.
pub fn failing_hops(evidence: &Evidence) -> Check {
    present(evidence, "every failing hop's span is there", |hop| hop.failure.is_some(), "failing hops")
}

/// Each hop that saw nothing wrong, but is above one that did: it received the signal.
pub fn told_hops(evidence: &Evidence) -> Check {
    present(evidence, "every hop above a failure is there", |hop| hop.told, "hops that saw no failure themselves")
}

/// Each hop of a failed trace that had gone well, on another branch of the tree: it was recalled.
pub fn recalled_hops(evidence: &Evidence) -> Check {
    present(evidence, "every sibling of a failure is there", |hop| hop.recalled, "hops that had gone well")
}

/// A trace that the head sampled is whole.
pub fn sampled_hops(evidence: &Evidence) -> Check {
    present(
        evidence,
        "every hop of a sampled trace is there",
        |hop| hop.head == Head::Sampled,
        "hops of sampled traces",
    )
}

/// What is called after an upgrade was known in the calling pod, and all below.
pub fn later_hops(evidence: &Evidence) -> Check {
    let later = |hop: &Hop| matches!(hop.head, Head::Later | Head::BelowLater);
    present(evidence, "every call after an upgrade is there", later, "hops begun when their pod knew")
}

/// From every failure a chain of spans leads up to the gateway, whoever swallowed it.
pub fn complete_traces(evidence: &Evidence) -> Check {
    let mut check = Check::new("every failed trace is complete");
    let traces = evidence.by_trace();
    let failed = evidence.hops().into_iter().filter(|hop| hop.failure.is_some()).collect();
    for (trace_id, hops) in by_trace(failed) {
        let spans: HashMap<u64, &Span> = spans_of(&traces, trace_id).map(|span| (span.span_id, span)).collect();
        let broken = hops.iter().find(|hop| {
            let mut at = spans.values().find(|span| hop.is(span));
            // A circle ends, too.
            for _ in 0..spans.len() {
                let Some(span) = at.filter(|span| span.service != GATEWAY || span.kind != Kind::Server) else { break };
                at = span.parent_id.and_then(|parent| spans.get(&parent));
            }
            at.is_none_or(|span| span.service != GATEWAY)
        });
        check.case(broken.is_none(), || {
            broken.map(|hop| format!("{}: no chain of spans up to the gateway", hop.describe())).unwrap_or_default()
        });
    }
    let (right, cases) = (check.cases - check.wrong.len() as u64, check.cases);
    check.detail(format!("{right} of {cases} failed requests, from each failure up to the gateway"))
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

/// Each span belongs to a hop that failed, received a signal, was recalled, was called later or was sampled by the head, and says
/// which.
pub fn reasons(evidence: &Evidence) -> Check {
    let mut check = Check::new("nothing is kept without a reason");
    let hops = by_trace(evidence.hops());
    let mut ids = HashSet::new();
    for span in &evidence.spans {
        check.case(ids.insert(span.span_id), || format!("{span}: exported twice"));
        if span.application {
            continue; // Has a check of its own.
        }
        let right = hop_of(&hops, span).is_some_and(|hop| {
            let later = span.reason.as_deref() == Some("upgraded");
            hop.must_be_kept() && span.trigger.as_deref() == hop.trigger() && later == (hop.head == Head::Later)
        });
        check.case(right, || match hop_of(&hops, span) {
            Some(hop) => format!(
                "{}: trigger {:?}, reason {:?}; failure {:?}, told {}, head {:?}",
                span, span.trigger, span.reason, hop.failure, hop.told, hop.head
            ),
            None => format!("{span}: no service saw such a request"),
        });
    }
    check.detail(format!("{} spans", evidence.spans.len()))
}

/// What only Envoy knows is on the spans: refused connection, its own time limit, a caller that hung up.
pub fn flags(evidence: &Evidence) -> Check {
    let mut check = Check::new("Envoy's own reasons are on the spans");
    let traces = evidence.by_trace();
    for hop in evidence.hops() {
        let Some(Failure::Flag(expected)) = hop.failure else { continue };
        let flags = spans_of(&traces, hop.trace_id).find(|span| hop.is(span)).and_then(|span| span.flags.as_deref());
        let right = flags.is_some_and(|flags| flags.split(',').any(|flag| flag == expected));
        check.case(right, || format!("{}: response flags {flags:?}, not {expected}", hop.describe()));
    }
    let cases = check.cases;
    check.detail(format!("{cases} of UF, UT and DC"))
}

/// `th:0` on what was kept for a failure of its own, the head's `th` on what the head sampled, none where the probability is
/// not known at that hop; a priority on all that an upgrade kept. So adjusted counts stay exact.
pub fn thresholds(evidence: &Evidence) -> Check {
    let mut check = Check::new("exported thresholds and priorities");
    let hops = by_trace(evidence.hops());
    let sampled = evidence.threshold();
    let (mut whole, mut unknown) = (0, 0);
    for span in &evidence.spans {
        // One that belongs to no hop is reported elsewhere.
        let Some(hop) = hop_of(&hops, span) else { continue };
        let th = match (hop.failure, hop.head) {
            (Some(_), _) => Some(0),
            (None, Head::Sampled) => sampled,
            (None, _) => None,
        };
        whole += u64::from(hop.failure.is_some());
        unknown += u64::from(th.is_none());
        let expected = (th, hop.trigger().map(|_| 1));
        check.case((span.th, span.priority) == expected && span.sampled, || {
            format!(
                "{}: trigger {:?}, tracestate {:?}, priority {:?}, sampled {}; expected {expected:?}",
                span, span.trigger, span.tracestate, span.priority, span.sampled
            )
        });
    }
    let rest = check.cases - whole - unknown;
    check.detail(format!("{whole} spans with th:0, {rest} with the head's, {unknown} of unknown probability"))
}

/// A SERVER span hangs below its caller's CLIENT span, a CLIENT span below the SERVER span that its application was given, and
/// the spans of an application's SDK between the two.
pub fn links(evidence: &Evidence) -> Check {
    let mut check = Check::new("parent ids link up");
    let traces = evidence.by_trace();
    let heads = evidence.heads_by_trace();
    let given: HashSet<(&str, u128, u64)> = evidence
        .arrivals_in_mesh()
        .map(|arrival| (arrival.service, arrival.context.trace_id, arrival.context.span_id))
        .collect();
    for span in &evidence.spans {
        let parent = spans_of(&traces, span.trace_id).find(|other| Some(other.span_id) == span.parent_id);
        let exported = |kind: Kind| parent.filter(|parent| parent.kind == kind && !parent.application);
        let given_here = || {
            exported(Kind::Server).is_some_and(|parent| {
                let service = span.service.as_str();
                parent.service == service && given.contains(&(service, span.trace_id, parent.span_id))
            })
        };
        let own = || parent.filter(|parent| parent.application && parent.service == span.service);
        let right = match (span.service.as_str(), span.kind) {
            _ if span.application => own().is_some() || given_here(),
            (GATEWAY, Kind::Server) => heads
                .get(&span.trace_id)
                .is_some_and(|head| span.parent_id == head.visit.context.map(|client| client.span_id)),
            (GATEWAY, Kind::Client) => exported(Kind::Server).is_some_and(|parent| parent.service == GATEWAY),
            // Whoever is kept was answered up or called from above, so the caller's span is kept, too.
            (_, Kind::Server) => exported(Kind::Client).is_some_and(|parent| parent.service != span.service),
            // Below the SDK's span of the call, unless that was never recorded.
            (CART, _) if evidence.python && span.unrecorded_parent_id.is_none() => {
                own().is_some_and(|parent| parent.kind == Kind::Client)
            }
            _ => given_here(),
        };
        check.case(right, || format!("{span}: parent {:016x?}", span.parent_id));
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

fn by_trace(all: Vec<Hop>) -> HashMap<u128, Vec<Hop>> {
    let mut hops: HashMap<u128, Vec<Hop>> = HashMap::new();
    for hop in all {
        hops.entry(hop.trace_id).or_default().push(hop);
    }
    hops
}

fn hop_of<'a>(hops: &'a HashMap<u128, Vec<Hop>>, span: &Span) -> Option<&'a Hop> {
    hops.get(&span.trace_id)?.iter().find(|hop| hop.is(span))
}

fn spans_of<'a>(traces: &'a HashMap<u128, Vec<&'a Span>>, trace_id: u128) -> impl Iterator<Item = &'a Span> {
    traces.get(&trace_id).into_iter().flatten().copied()
}
