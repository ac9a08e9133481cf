//! Answers and trace context: what clients and applications saw.

use super::{Check, Evidence};
use crate::plan::Visit;
use std::collections::{HashMap, HashSet};

/// No request failed that should not have, and none went well that should have failed.
pub fn answers(evidence: &Evidence) -> Check {
    let mut check = Check::new("every answer is the planned one");
    for answered in &evidence.answered {
        let (number, expected) = (answered.visit.number, answered.visit.expected_status());
        check.case(answered.status == Ok(expected), || {
            format!("request {number} ({:?}): {:?} instead of {expected}", answered.visit.fault, answered.status)
        });
    }
    let failed = evidence.answered.iter().filter(|answered| answered.visit.fault.is_some()).count();
    check.detail(format!("{} answers, {failed} with a planned failure", evidence.answered.len()))
}

/// How an upgrade travels is the mesh's own affair: the gateway takes it off.
pub fn silence(evidence: &Evidence) -> Check {
    let mut check = Check::new("no client sees the signal");
    for answered in &evidence.answered {
        let signal = &answered.signal;
        check.case(signal.is_none(), || format!("request {}: {signal:?}", answered.visit.number));
    }
    let cases = check.cases;
    check.detail(format!("{cases} answers without traceresponse and x-tracelift-signal"))
}

/// A request has one trace id wherever it goes, the client's if there was one; every hop has a span id of its own.
pub fn context(evidence: &Evidence) -> Check {
    let mut check = Check::new("one trace at every service");
    let visits = visits(evidence);
    let mut trace_of: HashMap<u64, u128> = HashMap::new();
    for arrival in &evidence.arrivals {
        let Some(visit) = visits.get(&arrival.visit) else { continue };
        let seen = arrival.context.trace_id;
        let expected = match &visit.context {
            Some(client) => client.trace_id,
            None => *trace_of.entry(arrival.visit).or_insert(seen),
        };
        check.case(seen == expected && seen != 0, || {
            format!("request {} at {}: trace {seen:032x}, not {expected:032x}", arrival.visit, arrival.service)
        });
    }
    let distinct: HashSet<u128> = trace_of.values().copied().collect();
    check.case(distinct.len() == trace_of.len(), || "two requests share a trace id".to_owned());
    let continued = visits.values().filter(|visit| visit.context.is_some()).count();
    check.detail(format!("{} arrivals, {continued} traces begun by a client", evidence.arrivals.len()))
}

/// Each Envoy puts its own span id in the place of its caller's.
pub fn own_ids(evidence: &Evidence) -> Check {
    let mut check = Check::new("every hop has its own span id");
    let clients = evidence.answered.iter().filter_map(|answered| Some(answered.visit.context?.span_id));
    let mut seen: HashSet<u64> = clients.collect();
    for arrival in &evidence.arrivals {
        let id = arrival.context.span_id;
        check.case(id != 0 && seen.insert(id), || {
            format!("request {} at {}: parent-id {id:016x} was seen before", arrival.visit, arrival.service)
        });
    }
    let cases = check.cases;
    check.detail(format!("{cases} parent-ids"))
}

/// `X-Amzn-Trace-Id` byte for byte, and another vendor's member of `tracestate`.
pub fn others(evidence: &Evidence) -> Check {
    let mut check = Check::new("headers of others arrive untouched");
    let visits = visits(evidence);
    for arrival in &evidence.arrivals {
        let Some(visit) = visits.get(&arrival.visit) else { continue };
        let expected = visit.amazon_header();
        check.case(arrival.context.amazon == expected, || {
            format!("request {} at {}: {:?}, not {expected:?}", arrival.visit, arrival.service, arrival.context.amazon)
        });
        let members: Vec<&str> = arrival.context.tracestate.split(',').filter(|m| m.starts_with("vendor=")).collect();
        let expected: Vec<String> = visit.context.iter().map(|_| visit.vendor_member()).collect();
        check.case(members == expected, || {
            format!("request {} at {}: {members:?}, not {expected:?}", arrival.visit, arrival.service)
        });
    }
    let cases = check.cases;
    check.detail(format!("{cases} headers"))
}

fn visits(evidence: &Evidence) -> HashMap<u64, &Visit> {
    evidence.answered.iter().map(|answered| (answered.visit.number, &answered.visit)).collect()
}
