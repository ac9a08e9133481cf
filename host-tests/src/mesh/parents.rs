//! Judging the tree: no span that arrived names a parent that is not exported, unless a counter says so.

use std::collections::{BTreeMap, BTreeSet};

use super::collector::Received;
use super::finish::REFUSED;
use super::hop::{Hop, HopId, Side, When};
use super::simulation::Mesh;
use super::topology::PodId;

/// Of the span-ids that SDKs make one in 65,536 looks like a hop's, and is taken for one. Not two in a run.
const LOOKALIKES: u64 = 1;
/// Counts of spans that keep the parent-id of a span that is not exported.
const UNPLACED: [&str; 2] = ["tracelift.parents.ambiguous", "tracelift.parents.unknown"];

/// What the counters of each Envoy must mention.
#[derive(Default)]
pub(crate) struct Gaps {
    /// Spans below one that their application never exported.
    orphans: BTreeMap<PodId, u64>,
    /// Requests that were running when a span was hung below them, and were refused by a bound in the end.
    refused: BTreeMap<PodId, BTreeSet<HopId>>,
}

impl Mesh {
    /// Checks where the span of a hop hangs, given the hop above.
    pub(crate) fn check_parent(
        &mut self,
        (id, above): (HopId, HopId),
        received: &Received,
        (spans, by_id): (&BTreeMap<u64, Received>, &BTreeMap<u64, HopId>),
        gaps: &mut Gaps,
    ) {
        let hop = &self.hops[id];
        let Some(own) = hop.came_with else {
            if received.parent != Some(self.hops[above].span) || received.unrecorded.is_some() {
                self.violation(id, "its span does not hang below the hop above");
            }
            return;
        };
        if received.parent == Some(own) {
            *gaps.orphans.entry(hop.pod).or_default() += u64::from(!self.applications.exported.contains(&own));
            return;
        }
        let ancestor = received.parent.and_then(|parent| by_id.get(&parent)).copied();
        if hop.incoming == Some(true) || received.unrecorded != Some(own) {
            self.violation(id, "its span does not hang below the call of its application");
        } else if !ancestor.is_some_and(|ancestor| self.may_be_above(hop, ancestor, above)) {
            self.violation(id, "its span hangs below a request that it was not made for");
        } else if let Some(ancestor) = ancestor.filter(|ancestor| !self.is_exported(*ancestor, spans)) {
            gaps.refused.entry(hop.pod).or_default().insert(ancestor);
        }
    }

    /// Requests of one trace that a pod served at the same time cannot always be told apart. Where there is one only, it is it.
    fn may_be_above(&self, hop: &Hop, ancestor: HopId, above: HopId) -> bool {
        let is_inbound = |other: &Hop| (other.pod, other.trace, other.side) == (hop.pod, hop.trace, Side::Inbound);
        let only = self.hops.iter().filter(|other| is_inbound(other)).count() == 1;
        ancestor == above || !only && is_inbound(&self.hops[ancestor])
    }

    /// Whether a hop's span was kept, by its line in the access log or by a recall. What trapped has none; what ended without an answer is
    /// charged for its own failure, which a budget may not have admitted; and an application may lie that its trace was shed.
    fn is_exported(&self, id: HopId, spans: &BTreeMap<u64, Received>) -> bool {
        let hop = &self.hops[id];
        let charged_anew = hop.failed == Some(When::End) && hop.crowded;
        let hidden = hop.lied.contains(&Some(false));
        hop.is_kept() || hop.lost || charged_anew || hidden || spans.contains_key(&hop.span)
    }

    /// Compares what hangs below nothing with what was counted.
    pub(crate) fn check_gaps(&mut self, gaps: &Gaps) {
        let count = |mesh: &Self, pod: PodId, counters: &[&str]| {
            let envoy = mesh.topology.pods[pod].envoy.as_ref();
            envoy.map_or(0, |envoy| counters.iter().map(|name| envoy.counter(name)).sum::<u64>())
        };
        let uncounted = |(pod, orphans): (&PodId, &u64)| orphans.saturating_sub(count(self, *pod, &UNPLACED));
        let orphans: u64 = gaps.orphans.iter().map(uncounted).sum();
        let beyond =
            |(pod, all): (&PodId, &BTreeSet<HopId>)| (all.len() as u64).saturating_sub(count(self, *pod, &REFUSED));
        let dropped: u64 = gaps.refused.iter().map(beyond).sum();
        let at = self.now - self.started;
        if LOOKALIKES < orphans {
            let details = format!("{orphans} spans, which no counter mentions");
            self.violations.add(at, "spans have a parent that was not exported", details);
        }
        if 0 < dropped {
            let details = format!("{dropped} requests, which no counter mentions");
            self.violations.add(at, "spans hang below requests that were not kept", details);
        }
    }
}
