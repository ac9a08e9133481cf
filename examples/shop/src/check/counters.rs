//! The Envoys' own counters, against what happened and against themselves.

use super::{Check, Evidence};
use crate::hops::Place;
use crate::mesh::GATEWAY;
use crate::span::Kind;
use std::collections::BTreeMap;
use tracelift_envoy::Ledger;

/// One decision for each request that passed.
pub fn requests(evidence: &Evidence) -> Check {
    let mut check = Check::new("counters count every request");
    let mut all = 0;
    for (name, counted) in &evidence.counted {
        let (seen, passed) = (counted.decisions(), evidence.streams(name));
        all += seen;
        check.case(seen == passed, || format!("{name}: {seen} decisions, {passed} requests"));
    }
    check.detail(format!("{all} decisions in {} Envoys", evidence.counted.len()))
}

/// One upgrade for each failing hop that the head had dropped; the gateway's two spans are one request.
pub fn upgrades(evidence: &Evidence) -> Check {
    let mut check = Check::new("counters count every upgrade");
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for hop in evidence.hops().iter().filter(|hop| hop.failed && !hop.sampled) {
        let name = match hop.place {
            Place::Inbound { service, .. } | Place::Outbound { service, .. } => service,
            Place::Gateway(Kind::Server) => GATEWAY,
            Place::Gateway(_) => continue,
        };
        *expected.entry(name).or_default() += 1;
    }
    let mut by_trigger: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, counted) in &evidence.counted {
        let upgraded: u64 = counted.upgrades.values().sum();
        let failing = expected.get(name.as_str()).copied().unwrap_or(0);
        check.case(upgraded == failing, || format!("{name}: {upgraded} upgrades, {failing} failing hops"));
        for (trigger, count) in &counted.upgrades {
            *by_trigger.entry(trigger).or_default() += count;
        }
    }
    let triggers: Vec<_> = by_trigger.iter().map(|(trigger, count)| format!("{trigger} {count}")).collect();
    check.detail(triggers.join(", "))
}

/// offered = exported + discarded + queued + in flight, in each Envoy.
pub fn ledgers(evidence: &Evidence) -> Check {
    let mut check = Check::new("ledgers balance");
    for (name, counted) in &evidence.counted {
        check.case(counted.ledger.balances(), || format!("{name}: {}", counted.ledger));
    }
    let sum: Ledger = evidence.counted.values().map(|counted| counted.ledger).sum();
    check.detail(sum.to_string())
}

/// What the Envoys exported is what the collector has; nothing was discarded, nothing waits, the budget refused nothing.
pub fn losses(evidence: &Evidence) -> Check {
    let mut check = Check::new("nothing is lost or shed");
    for (name, counted) in &evidence.counted {
        let received = evidence.spans.iter().filter(|span| span.service == *name).count() as u64;
        let exported = counted.ledger.exported;
        check.case(exported == received, || format!("{name}: {exported} exported, {received} received"));
        let ledger = counted.ledger;
        check.case(ledger.discarded + ledger.queued + ledger.in_flight == 0, || format!("{name}: {ledger}"));
        check.case(counted.shed == 0, || {
            format!("{name}: the budget shed {} upgrades; too many failures a second for this check", counted.shed)
        });
    }
    check.detail(format!("{} spans received", evidence.spans.len()))
}

/// No counter of problems and no error in a log.
pub fn problems(evidence: &Evidence) -> Check {
    let mut check = Check::new("no filter had a problem");
    for (name, counted) in &evidence.counted {
        check.case(counted.problems.is_empty(), || format!("{name}: {:?}", counted.problems));
    }
    for complaint in &evidence.complaints {
        check.case(false, || complaint.clone());
    }
    check
}
