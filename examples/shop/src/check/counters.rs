//! The Envoys' own counters, against what happened and against themselves.

use super::{Check, Evidence};
use crate::hops::{Head, Hop};
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

/// One upgrade, by its trigger, for each hop that the head had dropped and that saw the failure or received its signal; the
/// gateway's two spans are one request.
pub fn upgrades(evidence: &Evidence) -> Check {
    let mut check = Check::new("counters count every upgrade");
    let hops = evidence.hops();
    let mut by_trigger: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, counted) in &evidence.counted {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let dropped = hops.iter().filter(|hop| hop.envoy() == name && hop.is_counted() && hop.head == Head::Dropped);
        for trigger in dropped.filter_map(Hop::trigger) {
            *expected.entry(trigger.to_owned()).or_default() += 1;
        }
        let upgraded = &counted.upgrades;
        check.case(*upgraded == expected, || format!("{name}: {upgraded:?}, not {expected:?}"));
        for (trigger, count) in upgraded {
            *by_trigger.entry(trigger).or_default() += count;
        }
    }
    let triggers: Vec<_> = by_trigger.iter().map(|(trigger, count)| format!("{trigger} {count}")).collect();
    check.detail(triggers.join(", "))
}

/// One decision `upgraded` for each call that began when its pod knew; what is below it has its parent for a reason.
pub fn later_calls(evidence: &Evidence) -> Check {
    let mut check = Check::new("counters count every later call");
    let hops = evidence.hops();
    let mut all = 0;
    for (name, counted) in &evidence.counted {
        let seen = counted.sampled.get("upgraded").copied().unwrap_or(0);
        let begun = hops.iter().filter(|hop| hop.envoy() == name && hop.head == Head::Later).count() as u64;
        all += seen;
        check.case(seen == begun, || format!("{name}: {seen} decisions, {begun} calls after an upgrade was known"));
    }
    check.detail(format!("{all} calls"))
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
        let received = evidence.spans.iter().filter(|span| !span.application && span.service == *name).count() as u64;
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
    let mut check = Check::new("no filter and no application had a problem");
    for (name, counted) in &evidence.counted {
        check.case(counted.problems.is_empty(), || format!("{name}: {:?}", counted.problems));
    }
    for complaint in &evidence.complaints {
        check.case(false, || complaint.clone());
    }
    check
}
