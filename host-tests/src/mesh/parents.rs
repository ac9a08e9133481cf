//! Judging the tree: no span that arrived names a parent that is not exported, unless a counter says so.

use std::collections::BTreeMap;

use super::collector::Received;
use super::hop::{Hop, HopId, Side, When};
use super::simulation::Mesh;
use super::topology::PodId;

/// Of the span-ids that SDKs make one in 65,536 looks like a hop's, and is taken for one. Not two in a run.
const LOOKALIKES: u64 = 1;

impl Mesh {
    /// Checks where the span of a hop hangs, given the hop above. Returns whether it names a span that its application never exported.
    pub(crate) fn check_parent(
        &mut self,
        (id, above): (HopId, HopId),
        received: &Received,
        by_id: &BTreeMap<u64, HopId>,
    ) -> bool {
        let hop = &self.hops[id];
        let Some(own) = hop.came_with else {
            if received.parent != Some(self.hops[above].span) || received.unrecorded.is_some() {
                self.violation(id, "its span does not hang below the hop above");
            }
            return false;
        };
        if received.parent == Some(own) {
            return !self.applications.exported.contains(&own);
        }
        let ancestor = received.parent.and_then(|parent| by_id.get(&parent)).copied();
        if hop.incoming == Some(true) || received.unrecorded != Some(own) {
            self.violation(id, "its span does not hang below the call of its application");
        } else if !ancestor.is_some_and(|ancestor| self.may_be_above(hop, ancestor, above)) {
            self.violation(id, "its span hangs below a request that it was not made for");
        } else if ancestor.is_some_and(|ancestor| !self.is_exported(ancestor)) {
            self.violation(id, "its span hangs below a request that was not kept");
        }
        false
    }

    /// Requests of one trace that a pod served at the same time cannot always be told apart. Where there is one only, it is it.
    fn may_be_above(&self, hop: &Hop, ancestor: HopId, above: HopId) -> bool {
        let is_inbound = |other: &Hop| (other.pod, other.trace, other.side) == (hop.pod, hop.trace, Side::Inbound);
        let only = self.hops.iter().filter(|other| is_inbound(other)).count() == 1;
        ancestor == above || !only && is_inbound(&self.hops[ancestor])
    }

    /// Whether a hop's span was kept, by its line in the access log or by a recall. What trapped has none, and what ended without an answer
    /// is charged for its own failure, which a budget may not have admitted.
    fn is_exported(&self, id: HopId) -> bool {
        let hop = &self.hops[id];
        let charged_anew = hop.failed == Some(When::End) && hop.crowded;
        hop.is_kept() || hop.lost || charged_anew || self.recalled.contains_key(&(hop.pod, hop.trace))
    }

    /// Compares the spans without a parent with what was counted.
    pub(crate) fn check_orphans(&mut self, orphans: &BTreeMap<PodId, u64>) {
        let mut uncounted = 0;
        for (pod, orphans) in orphans {
            let Some(envoy) = &self.topology.pods[*pod].envoy else { continue };
            let counted = envoy.counter("tracelift.parents.ambiguous") + envoy.counter("tracelift.parents.unknown");
            uncounted += orphans.saturating_sub(counted);
        }
        if LOOKALIKES < uncounted {
            let details = format!("{uncounted} spans, which no counter mentions");
            self.violations.add(self.now - self.started, "spans have a parent that was not exported", details);
        }
    }
}
